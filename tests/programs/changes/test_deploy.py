"""An installation on a board on paper: its stages, what is refused and when, the question, and what proves it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.programs.conftest import Lab, PaperTransport, make_trial

from microclaw.devices.registry.calls import AppState, EdgeLog, EdgesRead, LogLine
from microclaw.devices.registry.registry import Registry
from microclaw.errors import (
    AppNotFound,
    DeployRejected,
    DeviceLied,
    DeviceUnreachable,
    InvalidModule,
    OutcomeUnknown,
    PermissionRefused,
    PinClaimed,
    PinRefused,
    StoreError,
)
from microclaw.events import AskedProgram, Edge
from microclaw.hardware.boards.firmware import parse_firmware
from microclaw.host.store.devices import DeviceTable
from microclaw.programs.building import cached_compiler
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.changes.deployment import Deployment
from microclaw.programs.changes.results import Deployed
from microclaw.programs.patterns.displays import PYTHON_BOARDS
from microclaw.programs.proof.expectation_result import ExpectationResult
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.wire.host_api import EvidenceObject


async def test_every_stage_is_reported_with_its_numbers(lab: Any) -> None:
    done = await lab.deploy()
    assert [(step.stage, step.state, step.text) for step in lab.steps if step.state != "running"] == [
        ("compile", "done", "paper 1.0 -O3 -> 10 B"),
        ("check", "done", "module ok | no imports | stack 4 KB, heap 8 KB | uses pin 2"),
        ("try", "done", "10 s of board time in 0.02 s: 4 edges on pin 2, 0.500 s apart"),
        ("deploy", "done", "blink -> paper (paper:1), accepted"),
        ("verify", "done", "counted on the board: first edge after 0.06 s, next 0.500 s later"),
    ]
    assert (done.verified, done.replaced, done.evidence.kind, len(done.evidence.edges)) == (True, False, "counted", 2)
    assert (await lab.wanted(), await lab.states()) == (["blink"], ["done"])


async def test_a_bad_name_and_a_pin_that_only_the_trial_shows_are_refused(lab: Any) -> None:
    for name in ("", "a/b", "ü", "a b", "a" * 64, "-a", "a&heap=1"):
        with pytest.raises(DeployRejected) as caught:
            await lab.deploy(name)
        assert caught.value.next_step
    await lab.deploy()
    lab.trials["sly"] = structs.replace(lab.trials["blink"], roles={})
    with pytest.raises(PinRefused):
        await lab.deploy("sly", pin=None)
    assert (lab.running(), await lab.states()) == ({"blink": "v1"}, ["done"])


async def refuse_rows(lab: Any, act: str) -> None:
    """Let the store fail at each such write from now on."""
    trigger = f"CREATE TRIGGER full BEFORE {act} BEGIN SELECT RAISE(ABORT, 'no room'); END"
    await lab.change_log.database.write(lambda sql: sql.execute(trigger))


async def test_a_program_in_another_language_is_refused_with_a_board_that_takes_it(
    database: Any, change_log: Any, build_cache: Path
) -> None:
    transports = {"paper:1": PaperTransport("paper:1"), "paper:2": PaperTransport("paper:2", kinds=("py",))}
    ids = iter(("d1", "d2"))
    async with Registry(
        store=DeviceTable(database),
        open_transport=lambda endpoint, board: transports[endpoint],
        mint_id=lambda: next(ids),
        now_ms=lambda: 0,
    ) as registry:
        await registry.add("paper", "virtual", ["paper:1"])
        lab = Lab(registry, change_log, transports["paper:1"])
        lab.compile = cached_compiler(BuildCache(build_cache))
        lab.rebuild()
        with pytest.raises(DeployRejected) as alone:
            await lab.deploy(source="import machine\n")
        assert alone.value.next_step == f"choose a board whose firmware takes it: {PYTHON_BOARDS}"
        await registry.add("shelf", "virtual", ["paper:2"])
        with pytest.raises(DeployRejected) as refused:
            await lab.deploy(source="import machine\n")
        assert refused.value.next_step == "choose a device that takes it: -d shelf"
        lab.device_name = "shelf"
        with pytest.raises(DeployRejected) as reverse:
            await lab.deploy(source="void on_init(void) {\n}\n")
        assert reverse.value.next_step == "choose a device that takes it: -d paper"


async def test_an_installation_whose_proof_the_store_cannot_keep_is_done(
    lab: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await refuse_rows(lab, "INSERT ON proofs")
    done = await lab.deploy()
    assert (done.verified, await lab.states()) == (True, ["done"])
    assert "the proof of change 1 is not kept" in caplog.text


async def test_what_the_board_refused_has_no_unknown_outcome_when_the_store_fails(lab: Any) -> None:
    await refuse_rows(lab, "UPDATE ON changes")
    lab.transport.refused_wasm.add(b"\0asm\1\0\0\0bad")
    with pytest.raises(StoreError) as refused:
        await lab.deploy(source="bad")
    assert not isinstance(refused.value, OutcomeUnknown)
    with pytest.raises(OutcomeUnknown):
        await lab.deploy()


@pytest.mark.parametrize("act", ["install", "upgrade"])
async def test_what_the_board_refuses_or_traps_on_gives_way_to_the_former(lab: Any, act: str) -> None:
    await lab.deploy()
    lab.transport.refused_wasm.add(b"\0asm\1\0\0\0bad")
    with pytest.raises(InvalidModule):
        await lab.act(act, source="bad")
    assert [(step.state, step.text) for step in lab.steps[-2:]] == [
        ("done", "the former blink is back on paper"),
        ("failed", "invalid WASM version."),
    ]
    assert lab.running() == {"blink": "v1"}
    lab.transport.states["blink"] = AppState("blink", "trapped", "divide by zero", 8192, 0, 0, ())
    with pytest.raises(DeployRejected, match=r"the former blink is back$"):
        await lab.act(act, source="v2")
    assert (lab.running(), await lab.states()) == ({"blink": "v1"}, ["failed", "failed", "done"])
    [app] = await lab.change_log.desired()
    assert (await lab.change_log.image(app.version.sha256)).source == "v1"
    lab.transport.states["new"] = AppState("new", "exited", "Exception", 8192, 0, 0, ())
    lab.trials["new"] = make_trial(edges=(), pins=(4,), driven=(4,))
    with pytest.raises(DeployRejected, match=r"it was taken off$"):
        await lab.deploy("new", "v1", pin=None)
    assert lab.running() == {"blink": "v1"}
    assert lab.stages()[-1] == ("verify", "failed")


def test_the_answer_says_that_a_program_which_was_not_verified_stays_on_the_board() -> None:
    evidence = EvidenceObject("counted", "pin 2 never moved", ())
    row = Deployed(device="paper", name="blink", verified=False, evidence=evidence, proof="")
    assert ("board", "blink stays on paper: microclaw app uninstall blink -d paper") in row.lines()
    verified = Deployed(device="paper", name="blink", verified=True, evidence=evidence, proof="")
    assert "board" not in dict(verified.lines())


def times(*given: float, turns: int = 1, period: float = 0.0) -> list[float]:
    return [t_ms + period * turn for turn in range(turns) for t_ms in given]


def moves(times_ms: Sequence[float], *, pin: int = 2, level: int = 1, late_ms: float = 0.0) -> list[Edge]:
    """A pin that changes at each of these times, first to `level`."""
    return [Edge(late_ms + t_ms, pin, level ^ (i % 2)) for i, t_ms in enumerate(times_ms)]


HALF_S = times(0, 500, 1_000, 1_500)
QUARTER_S = times(0, turns=40, period=250)
BEAT = times(0, 100, 200, 300, turns=10, period=1_000)
FIVE = moves(times(0, 500, 1_000), pin=5)
BOTH = moves(HALF_S) + moves(HALF_S, pin=5)


# The edges of the trial, those on the board, and what they prove; None is "not verified".
EDGES: dict[str, tuple[list[Edge], list[Edge], str | None]] = {
    "as in the trial": (moves(HALF_S), moves(HALF_S, late_ms=60), "counted"),
    "at half the speed": (moves(HALF_S), moves([2 * t for t in HALF_S], late_ms=120), None),
    "it never moves": (moves(HALF_S), [], None),
    "one of two pins": (BOTH, moves(HALF_S, late_ms=60), None),
    "two pins out of step": (BOTH, moves(HALF_S, late_ms=60) + moves(HALF_S, pin=5, late_ms=460), None),
    "one edge of a rhythm is late": (moves([1, 2, 1_001], level=0), moves([31, 631, 1_031], level=0), None),
    "an uneven start settles": (moves(QUARTER_S), moves([2_900, 3_600, *times(4_100, turns=8, period=250)]), "counted"),
    "a slower one has its time to settle": (
        moves(times(0, turns=40, period=500)),
        moves([2_770, 3_444, *times(3_944, turns=20, period=500)]),
        "counted",
    ),
    "a wrong one has no more": (moves(QUARTER_S), moves(times(2_900, turns=99, period=700)), None),
    # The pin was set high by hand: a program that toggles it has its light on where it should be off.
    "all levels inverted": (moves(BEAT), moves([30, *(30.1 + t for t in BEAT)]), None),
    "not due for long": (moves([3_600_000]), [], "accepted"),
    "its level was there before": (moves([0, 60_000]), [], "accepted"),
    "edges of one moment": (moves([0, 0.2, 600_000]), moves([30, 30.2]), "accepted"),
    "one moves, the other was there before": (moves([0, 6_000]) + FIVE, moves(times(30, 530, 1_030), pin=5), "counted"),
    "one moves, the other does not": (moves([0, 6_000]) + FIVE, moves(times(30, 530, 1_030), pin=5), None),
}
WITHIN_MS = {"an uneven start settles": 6_000, "a wrong one has no more": 16_000, "not due for long": 1_000}


@pytest.mark.parametrize("name", EDGES)
async def test_edges_on_the_board_are_held_against_those_of_the_trial(lab: Any, name: str) -> None:
    tried, seen, kind = EDGES[name]
    pins = tuple(sorted({edge.pin for edge in tried}))
    lab.trials["blink"] = make_trial(edges=tuple(tried), pins=pins, driven=pins, board_ms=4e6)
    lab.transport.states["blink"] = AppState("blink", "running", None, 8192, 0, 0, pins)
    lab.transport.edges = sorted(seen, key=lambda edge: edge.t_ms)
    lab.transport.levels = {2: "there before" in name}
    done = await lab.deploy(pin=None)
    assert done.verified is {None: False, "accepted": None}.get(kind, True), done.evidence.text
    assert kind in (None, done.evidence.kind), done.evidence.text
    assert lab.transport.now_ms < WITHIN_MS.get(name, 60_000)
    assert done.agrees or (lab.steps[-1].state == "failed" and lab.steps[-1].next_step)


@pytest.mark.parametrize(
    ("meanwhile", "kind", "text"),
    [
        ({"now_ms": 1_000.0}, "counted", "the board restarted while it was watched"),
        ({"away": DeviceUnreachable("it went away", next_step="look")}, "accepted", "it went away"),
        ({"ticks": False, "edges": []}, "counted", ""),
    ],
    ids=["restarts", "leaves", "its clock stands still"],
)
async def test_a_board_that_is_lost_while_it_is_watched_proves_nothing(
    lab: Any, meanwhile: dict[str, Any], kind: str, text: str
) -> None:
    lab.plays("blink", 2)
    lab.transport.now_ms = 50_000.0
    wait = lab.transport.wait

    async def lost(seconds: float) -> None:
        await wait(seconds)
        for name, value in meanwhile.items():
            setattr(lab.transport, name, value)

    lab.transport.wait = lost
    lab.rebuild()
    done = await lab.deploy(pin=None)
    assert (done.verified, done.evidence.kind) == (False, kind)
    assert text in done.evidence.text
    assert await lab.wanted() == ["blink"]


async def test_an_edge_of_the_future_is_a_lie_to_who_reads_it_and_to_an_installation(lab: Any) -> None:
    act = lab.transport._do

    def lying(call: Any) -> Any:
        has_edges = isinstance(call, EdgesRead) and call.cursor == 0
        if has_edges:
            return EdgeLog((Edge(10_000, 2, 1),), 1, 0, 5_000)
        return act(call)

    lab.transport._do = lying
    with pytest.raises(DeviceLied):
        await lab.registry.get("paper").call(EdgesRead())
    assert not (await lab.deploy()).verified


async def test_a_printing_program_is_proved_by_its_own_line(lab: Any) -> None:
    lab.trials["hello"] = make_trial(log=("21 C",), edges=(), pins=(), driven=())
    act = lab.transport._do

    def printing(call: Any) -> Any:
        if call.method == "apps.install":
            lab.transport.lines.append(LogLine(1.0, "hello", "22.5 C"))
        return act(call)

    lab.transport._do = printing
    assert (await lab.deploy("hello", pin=None)).evidence.kind == "reported"


async def test_no_line_where_the_trial_had_one_at_once_is_evidence_against(lab: Any) -> None:
    lab.trials["hello"] = make_trial(log=("21 C",), edges=(), pins=(), driven=())
    done = await lab.deploy("hello", pin=None)
    assert (done.verified, done.evidence.kind) == (False, "reported")


async def test_a_line_that_the_trial_had_after_its_own_press_of_a_button_is_not_awaited_of_the_board(lab: Any) -> None:
    pressed = make_trial(log=("pressed",), edges=(), pins=(), driven=())
    lab.trials["bell"] = structs.replace(pressed, first_input_ms=pressed.lines[0].t_ms)
    done = await lab.deploy("bell", pin=None)
    assert (done.verified, done.evidence.kind) == (None, "accepted")


@pytest.mark.parametrize(("sees", "answer"), [(True, "seen on the board"), (False, "met in the trial; accepted only")])
async def test_an_expectation_says_what_the_board_showed(lab: Any, sees: bool, answer: str) -> None:
    lab.plays("blink", 2)
    lab.transport.sees = sees
    asked = parse_expectations("pin 2: period 1 s\nwhen pin 4 falls: pin 2 rises within 1 s")
    results = tuple(ExpectationResult(line, "met", "so it was") for line in asked.lines)
    lab.trials["blink"] = structs.replace(lab.trials["blink"], expected=results)
    done = await lab.deploy(pin=None)
    assert [result.answer for result in done.expected] == [answer, "met in the trial; accepted only"]
    assert lab.steps[-1].detail == tuple(result.line() for result in done.expected)
    assert all(line.endswith("(in the trial: so it was)") for line in lab.steps[-1].detail)


async def test_a_cancelled_watch_keeps_what_the_device_accepted_and_before_it_nothing_is_changed(lab: Any) -> None:
    def begin() -> None:
        assert "apps.install" not in lab.transport.calls
        raise asyncio.CancelledError

    lab.plays("blink", 2)
    lab.transport.edges.clear()
    with pytest.raises(asyncio.CancelledError):
        await lab.changes.deploy(lab.request("blink", source="v1", begin=begin), lab.steps.append)
    assert (lab.running(), await lab.states()) == ({}, [])
    accepted = asyncio.Event()
    deploying = lab.changes.deploy(
        lab.request("blink", source="v1"), lambda step: accepted.set() if step.stage == "deploy" else None
    )
    task = asyncio.create_task(deploying)
    await accepted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await lab.states() == ["done"]


async def test_the_devices_own_list_confirms_a_removal_also_of_what_it_lost(lab: Any) -> None:
    await lab.deploy()
    assert (await lab.act("uninstall")).undoable
    assert await lab.wanted() == []
    lab.foreign("ok7")
    lab.transport.ghosts = [("ok7",)]
    with pytest.raises(DeployRejected):
        await lab.act("uninstall", "ok7")
    assert lab.stages()[-1] == ("verify", "failed")
    lab.transport.ghosts = []
    await lab.deploy()
    lab.transport.apps.clear()
    lab.transport.calls.clear()
    await lab.act("uninstall")
    assert "apps.remove" not in lab.transport.calls
    await lab.deploy()
    lab.transport.swallow = True
    lab.transport.fail["apps.remove"] = AppNotFound("Uninstall WASM app failed: no app found.")
    await lab.act("uninstall")
    assert await lab.wanted() == []


@pytest.mark.parametrize("sees", [False, True])
async def test_an_install_that_the_list_contradicts_is_not_verified_and_a_late_list_is_read_again(
    lab: Any, sees: bool
) -> None:
    lab.transport.sees = sees
    lab.transport.ghosts = [("other",)]
    assert not (await lab.deploy()).verified
    assert lab.stages()[-1] == ("verify", "failed")
    lab.transport.calls.clear()
    lab.transport.ghosts = [("blink", "tick"), ("tick",)]
    await lab.act("uninstall")
    assert lab.stages()[-1] == ("verify", "done")


async def test_deployments_to_one_device_go_one_after_the_other_and_share_no_pin(lab: Any) -> None:
    pins = {"a": 4, "b": 5, "c": 6, "d": 4}
    found = await asyncio.gather(*(lab.deploy(name, pin=pin) for name, pin in pins.items()), return_exceptions=True)
    assert [type(one) for one in found] == [Deployment, Deployment, Deployment, PinClaimed]
    wanted = (method for method in lab.transport.calls if method in ("apps.list", "apps.install"))
    turns = [method for method, _ in groupby(wanted)]  # a deployment also lists after it installed
    assert turns[:6] == ["apps.list", "apps.install"] * 3


async def test_the_question_comes_after_the_trial_and_shows_what_would_happen(lab: Any) -> None:
    asked: list[tuple[str, tuple[str, ...], AskedProgram]] = []

    async def approve(text: str, detail: Sequence[str], program: AskedProgram, *_: object) -> None:
        assert lab.stages()[-1] == ("try", "done")
        assert lab.transport.calls.count("apps.install") == len(asked)
        assert any(program.sha256[:12] in line for line in detail)
        asked.append((text, tuple(detail), program))

    for source in ("v1", "v2", "v2"):
        await lab.deploy(source=source, approve=approve)
    (text, detail, first), (next_text, _, second), (_, _, same) = asked
    assert (text, next_text) == ("put blink on paper", "put blink on paper, in place of the blink that is there")
    for part in (
        "board: paper",
        "pins: 2 (drives 2)",
        "trial: 10 s of board time",
        "high 0.5 s, low 0.5 s, high 0.5 s, ",
    ):
        assert part in "\n".join(detail)
    assert detail[-2:] == ("source: 1 line", "    v1")
    assert (first.device, first.name, first.pins, first.replaces, first.diff) == ("paper", "blink", (2,), None, ())
    assert {pin for _, pin, _ in first.edges} == {2}
    assert (second.replaces, second.diff) == (first.sha256, ("@@ -1 +1 @@", "-v1", "+v2"))
    assert (same.replaces, same.diff) == (second.sha256, ())
    (installed,) = await lab.change_log.desired()
    assert installed.version.sha256 == same.sha256, "what was shown is what is there"


async def test_a_no_changes_nothing_on_the_board(lab: Any) -> None:
    async def approve(*_asked: object) -> None:
        raise PermissionRefused("declined by owner")

    with pytest.raises(PermissionRefused):
        await lab.deploy(approve=approve)
    step = lab.steps[-1]
    assert (step.stage, step.state, step.text) == ("approve", "failed", "declined by owner")
    assert (lab.running(), await lab.wanted()) == ({}, [])


async def test_a_described_firmwares_limit_holds_for_every_installation(lab: Any) -> None:
    async def describe(*words: str) -> None:
        await lab.registry.describe_firmware("paper", parse_firmware(words))

    async def meanwhile(*_asked: object) -> None:
        await describe("nodes=-i2c")

    with pytest.raises(DeployRejected):  # described again while it was tried
        await lab.deploy(approve=meanwhile)
    await describe("heap=4k", "timers=5")
    with pytest.raises(DeployRejected):
        await lab.deploy(heap_bytes=6000)
    assert "apps.install" not in lab.transport.calls
    await lab.deploy()
    installed = lab.transport.apps["blink"]
    assert (installed.heap_bytes, installed.timers) == (4096, 5), "what nobody asked for shrinks to it"
    lab.transport.apps.clear()
    await describe("nodes=-gpio")  # the paper image is no module that could be read: it is not taken on trust
    kept = await lab.reconciler.check(lab.device_id)
    assert (kept.put_back, lab.transport.apps) == ((), {})
    assert kept.problem
