"""Boards that are held up while a program runs: each right program is proved all the same, and no wrong one is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any, NamedTuple

import pytest
from msgspec import structs
from tests.programs.conftest import make_trial

from microclaw.devices.registry.calls import AppInstall, AppState
from microclaw.errors import DeviceTimeout
from microclaw.events import Edge
from microclaw.programs.proof.edge_comparison import Verification
from microclaw.programs.proof.verify import Baseline, Watch

TRIAL_MS = 10_000.0
RIGHT_SEEDS = range(5)
WRONG_SEEDS = range(2)


class Write(NamedTuple):
    """A level that a task writes, and how long it waits then."""

    pin: int
    level: int
    wait_ms: float


class Task(NamedTuple):
    """Writes over and over, after a first wait; `has_timer`: it waits until a time, and not for a time."""

    writes: Sequence[Write]
    first_ms: float = 0.0
    has_timer: bool = False
    turns: int = 1_000


class Hold(NamedTuple):
    """A time in which the board runs no program."""

    from_ms: float
    until_ms: float


def play(tasks: Sequence[Task], until_ms: float, holds: Sequence[Hold] = (), slowness: float = 1.0) -> list[Edge]:
    """Return the edges of a program, in whole milliseconds."""
    edges: list[Edge] = []
    for task in tasks:
        levels: dict[int, int] = {}
        due_ms = task.first_ms
        now_ms = _free_ms(due_ms, holds)
        for write in islice(cycle(task.writes), task.turns * len(task.writes)):
            if now_ms > until_ms:
                break
            if levels.get(write.pin, 0) != write.level:
                edges.append(Edge(float(round(now_ms)), write.pin, write.level))
            levels[write.pin] = write.level
            if task.has_timer:
                due_ms += write.wait_ms
            else:
                due_ms = now_ms + write.wait_ms * slowness
            now_ms = _free_ms(max(due_ms, now_ms), holds)
    return sorted(edges, key=lambda edge: edge.t_ms)


def _free_ms(t_ms: float, holds: Sequence[Hold]) -> float:
    """Return when something that is due then comes to run."""
    for hold in holds:
        if hold.from_ms <= t_ms < hold.until_ms:
            t_ms = hold.until_ms
    return t_ms


def blink(on_ms: float, off_ms: float | None = None, *, pin: int = 2, **more: Any) -> Task:
    return Task([Write(pin, 1, on_ms), Write(pin, 0, on_ms if off_ms is None else off_ms)], **more)


def flashes(*lengths_ms: float, dark_ms: float, rest_ms: float, pin: int = 2) -> Task:
    """Return a task that lights up for each of these times, and then rests."""
    writes = [write for length_ms in lengths_ms for write in (Write(pin, 1, length_ms), Write(pin, 0, dark_ms))]
    return Task([*writes, Write(pin, 0, rest_ms)])


def lights(*phases: tuple[int, float], dark_ms: float = 0.0) -> Task:
    """Return a task that lights one pin after the other, each for its time."""
    writes = [write for pin, on_ms in phases for write in (Write(pin, 1, on_ms), Write(pin, 0, dark_ms))]
    return Task(writes)


def counter(step_ms: float, bits: int) -> Task:
    """Return a task that counts in binary on pins 2 and up."""
    writes = []
    for number in range(1 << bits):
        writes += [Write(2 + bit, number >> bit & 1, 0.0) for bit in range(bits)]
        writes.append(Write(2, number & 1, step_ms))
    return Task(writes)


RIGHT: dict[str, list[Task]] = {
    "4 Hz": [blink(125)],
    "2 Hz": [blink(250)],
    "1 Hz": [blink(500)],
    "1 s on and off": [blink(1_000)],
    "0.25 Hz": [blink(2_000)],
    "10 Hz": [blink(50)],
    "a short flash each second": [blink(100, 900)],
    "a short flash each three seconds": [blink(50, 2_950)],
    "a long light": [blink(1_500, 500)],
    "a heart": [flashes(100, 100, dark_ms=100, rest_ms=600)],
    "three flashes": [flashes(200, 200, 200, dark_ms=200, rest_ms=1_000)],
    "SOS": [flashes(*[100] * 3, *[300] * 3, *[100] * 3, dark_ms=100, rest_ms=700)],
    "three flashes, once": [flashes(300, 300, 300, dark_ms=300, rest_ms=0)._replace(turns=1)],
    "five flashes, once": [blink(500, turns=5)],
    "it waits before it begins": [blink(500, first_ms=1_500)],
    "a timer": [blink(500, has_timer=True)],
    "a quick timer": [blink(100, has_timer=True)],
    "a slow timer": [blink(1_000, has_timer=True, first_ms=1_000)],
    "two pins in turn": [lights((2, 500), (4, 500))],
    "two pins together": [Task([Write(2, 1, 0), Write(4, 1, 500), Write(2, 0, 0), Write(4, 0, 500)])],
    "a running light": [lights((2, 200), (4, 200), (5, 200))],
    "a running light with gaps": [lights((2, 500), (4, 500), (5, 500), dark_ms=250)],
    "a traffic light": [lights((2, 1_000), (4, 500), (5, 1_000))],
    "a slow traffic light": [lights((2, 2_000), (4, 1_000), (5, 2_000))],
    "a counter": [counter(500, 2)],
    "two tasks": [blink(500), blink(700, pin=4)],
    "three tasks": [blink(250), blink(600, pin=4), blink(1_000, pin=5)],
    "three tasks that wait first": [blink(300, first_ms=300), blink(700, pin=4, first_ms=700), blink(1_100, pin=5)],
    "two timers": [blink(250, has_timer=True), blink(400, pin=4, has_timer=True)],
    "DHT and light": [Task([Write(2, 1, 2_268), Write(2, 0, 2_268)])],
}


SECOND = [blink(500)]
STEPS = [lights((2, 500), (4, 500), (5, 500))]
HEART = [flashes(100, 100, dark_ms=100, rest_ms=600)]
# What was tried, and what runs on the board in its place.
WRONG: dict[str, tuple[list[Task], list[Task]]] = {
    "half the period": (SECOND, [blink(250)]),
    "twice the period": (SECOND, [blink(1_000)]),
    "a fifth slower": (SECOND, [blink(600)]),
    "a fifth faster": (SECOND, [blink(400)]),
    "a quick one, a fifth slower": ([blink(100)], [blink(120)]),
    "a quick one, a fifth faster": ([blink(100)], [blink(80)]),
    "a slow one, a fifth slower": ([blink(2_000)], [blink(2_400)]),
    "another duty": ([blink(100, 900)], [blink(300, 700)]),
    "another duty of a light": (SECOND, [blink(700, 300)]),
    "high and low changed": ([blink(100, 900)], [blink(900, 100)]),
    "pins in another order": (STEPS, [lights((2, 500), (5, 500), (4, 500))]),
    "pins of a traffic light changed": (RIGHT["a traffic light"], [lights((2, 1_000), (5, 1_000), (4, 500))]),
    "a missing pin": (RIGHT["two tasks"], [blink(500)]),
    "a pin that stays dark in a row": (STEPS, [lights((2, 500), (4, 500))]),
    "one edge, then none": (SECOND, [Task([Write(2, 1, 1e6)])]),
    "ever slower": (SECOND, [Task([Write(2, 1 - i % 2, 500 * 1.12 ** (i + 1)) for i in range(40)])]),
    "OSO": (RIGHT["SOS"], [flashes(*[300] * 3, *[100] * 3, *[300] * 3, dark_ms=100, rest_ms=700)]),
    "a beat less": (HEART, [flashes(100, dark_ms=100, rest_ms=800)]),
    "every third beat is missing": ([blink(250)], [flashes(300, 250, dark_ms=250, rest_ms=500)]),
    "two pins out of step": (
        RIGHT["two pins together"],
        [Task([Write(2, 1, 400), Write(4, 1, 100), Write(2, 0, 400), Write(4, 0, 100)])],
    ),
    "without a pattern": (SECOND, [Task([Write(2, 1 - i % 2, 200 + i * 7919 % 900) for i in range(80)])]),
}


def late_play(tasks: Sequence[Task], rng: random.Random) -> list[Edge]:
    """Return a program's edges on a small board: held up at the start, rarely later, and a bit slow."""
    start_ms = rng.uniform(1_000, 5_000)
    froms = [rng.uniform(0, 4_000) for _ in range(rng.randint(0, 4))]
    froms += [rng.uniform(4_000, 12_000) for _ in range(rng.randint(0, 1))]
    holds = [Hold(from_ms, from_ms + rng.uniform(50, 1_500)) for from_ms in sorted(froms)]
    edges = play(tasks, 40_000, holds, rng.uniform(1.0, 1.1))
    return [structs.replace(edge, t_ms=round(start_ms) + edge.t_ms) for edge in edges]


async def verdict(lab: Any, tasks: Sequence[Task], seen: Sequence[Edge]) -> Verification:
    """Watch a board that has these edges for the program."""
    expected = play(tasks, TRIAL_MS)
    pins = tuple(sorted({edge.pin for edge in expected}))
    trial = make_trial(edges=tuple(expected), pins=pins, driven=pins)
    transport = lab.transport
    transport.apps["lamp"] = AppInstall("lamp", b"")
    transport.states["lamp"] = AppState("lamp", "running", None, 8192, 0, 0, pins)
    transport.edges = list(seen)
    transport.now_ms = 1_000.0
    return await Watch(lab.registry.get("paper"), "lamp", trial, Baseline(edge_cursor=0), sleep=transport.wait).verify()


@pytest.mark.parametrize("name", RIGHT)
async def test_a_right_program_is_proved_on_a_board_that_is_held_up(lab: Any, name: str) -> None:
    for seed in RIGHT_SEEDS:
        seen = late_play(RIGHT[name], random.Random(f"{name}{seed}"))
        found = await verdict(lab, RIGHT[name], seen)
        assert (found.agrees, found.evidence.kind) == (True, "counted"), (seed, found.evidence.text)


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_program_is_not_proved_by_a_board_that_is_held_up(lab: Any, name: str) -> None:
    tried, runs = WRONG[name]
    for seed in WRONG_SEEDS:
        found = await verdict(lab, tried, late_play(runs, random.Random(f"{name}{seed}")))
        assert (found.agrees, found.evidence.kind) != (True, "counted"), (seed, found.evidence.text)


async def test_a_board_that_does_not_answer_in_time_is_asked_again_and_not_for_ever(lab: Any) -> None:
    for method in ("apps.states", "edges.read"):
        lab.transport.fail[method] = DeviceTimeout("no answer within 15 s")
    found = await verdict(lab, SECOND, play(SECOND, TRIAL_MS))
    assert (found.agrees, found.evidence.kind) == (True, "counted")
    assert not lab.transport.fail
    lab.transport.sees = False
    lab.transport.fail["apps.list"] = DeviceTimeout("no answer within 15 s")
    found = await Watch(lab.registry.get("paper"), "lamp", make_trial(), Baseline(), sleep=lab.sleep).verify()
    assert (found.agrees, lab.transport.fail) == (True, {}), "a board that reports no states is asked for its list"
    lab.transport.sees = True
    lab.transport.away = DeviceTimeout("no answer within 15 s")
    lab.transport.calls.clear()
    found = await verdict(lab, SECOND, [])
    assert (found.agrees, found.evidence.kind, len(lab.transport.calls)) == (False, "accepted", 3)
