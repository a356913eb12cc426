from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest
from msgspec import structs
from tests.apps.conftest import make_trial

from microclaw.apps.deployment import ChangeRequest, Deployment
from microclaw.apps.expectation_result import ExpectationResult
from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.trial import Trial
from microclaw.devices.calls import AppState, LogLine
from microclaw.errors import (
    AppExists,
    AppNotFound,
    CallRejected,
    DeployRejected,
    DeviceError,
    DeviceTimeout,
    DeviceUnreachable,
    InstallInterrupted,
    InvalidModule,
    PermissionRefused,
    PinClaimed,
    PinRefused,
    TooManyApps,
    TrialFailed,
)
from microclaw.events import AskedProgram, Edge, Step


def blink(name: str = "blink", source: str = "v1") -> ChangeRequest:
    return ChangeRequest(device="paper", name=name, source=source)


def texts(steps: list[Step]) -> list[tuple[str, str, str]]:
    return [(step.stage, step.state, step.text) for step in steps if step.state != "running"]


def wasm_of(lab: Any, name: str) -> bytes:
    wasm = lab.transport.apps[name].code
    assert isinstance(wasm, bytes)
    return wasm[8:]


async def test_every_stage_is_reported_with_its_numbers(lab: Any) -> None:
    lab.plays("blink", 2)
    done = await lab.deployer.deploy(blink(), lab.steps.append)
    assert texts(lab.steps) == [
        ("compile", "done", "paper 1.0 -O3 -> 10 B"),
        ("check", "done", "module ok | no imports | stack 4 KB, heap 8 KB | pin 2 free"),
        ("try", "done", "10 s of board time in 0.02 s: 4 edges on pin 2, 0.500 s apart"),
        ("deploy", "done", "blink -> paper (paper:1), accepted"),
        ("verify", "done", "counted on the board: first edge after 0.06 s, next 0.500 s later"),
    ]
    assert done.verified
    assert done.evidence.kind == "counted"
    assert len(done.evidence.edges) == 2
    assert not done.replaced
    assert [app.name for app in await lab.change_log.desired(lab.device_id)] == ["blink"]
    assert (await lab.change_log.change(done.change_id)).state == "done"


@pytest.mark.parametrize("name", ["", "a/b", "ü", "a b", "a" * 64, "-a", "a&heap=1"])
async def test_a_name_that_firmware_would_stumble_over_is_refused(lab: Any, name: str) -> None:
    with pytest.raises(DeployRejected) as caught:
        await lab.deployer.deploy(blink(name), lab.steps.append)
    assert caught.value.next_step


async def test_a_failed_trial_never_reaches_the_device(lab: Any) -> None:
    lab.plays("blink", 2)
    lab.trials["blink"] = replace(lab.trials["blink"], ok=False, error="it trapped: unreachable", next_step="look")
    with pytest.raises(TrialFailed):
        await lab.deployer.deploy(blink(), lab.steps.append)
    assert texts(lab.steps)[-1] == ("try", "failed", "it trapped: unreachable")
    assert "apps.install" not in lab.transport.calls
    assert await lab.change_log.changes() == ()


async def test_a_pin_that_only_the_trial_shows_is_refused_too(lab: Any) -> None:
    lab.plays("blink", 2)
    await lab.deployer.deploy(blink(), lab.steps.append)
    lab.trials["sly"] = replace(lab.trials["blink"], pins=(), driven=(2,))
    with pytest.raises(PinRefused):
        await lab.deployer.deploy(blink("sly"), lab.steps.append)


async def test_a_pin_that_another_app_uses_as_a_bus_is_refused_before_the_trial(lab: Any) -> None:
    lab.trials["temperature"] = make_trial(edges=(), pins=(8, 9), driven=())
    await lab.deployer.deploy(blink("temperature"), lab.steps.append)
    lab.plays("lamp", 8)
    lab.steps.clear()
    with pytest.raises(PinClaimed):
        await lab.deployer.deploy(blink("lamp"), lab.steps.append)
    assert [(stage, state) for stage, state, _ in texts(lab.steps)] == [("compile", "done"), ("check", "failed")]
    assert lab.tried == ["temperature"]


async def test_a_full_board_is_said_at_the_check_and_nobody_is_asked(lab: Any) -> None:
    lab.foreign("a", "b", "c")
    lab.plays("blink", 2)

    async def approve(text: str, detail: Sequence[str], program: AskedProgram | None = None, *_more: object) -> None:
        raise AssertionError("there is nothing to approve")

    with pytest.raises(TooManyApps):
        await lab.deployer.deploy(replace(blink(), approve=approve), lab.steps.append)
    assert texts(lab.steps)[-1][:2] == ("check", "failed")


async def test_the_old_image_is_restored_when_the_new_one_is_refused(lab: Any) -> None:
    lab.plays("blink", 2)
    await lab.deployer.deploy(blink(), lab.steps.append)
    lab.transport.refused_wasm.add(b"\0asm\1\0\0\0v2")
    with pytest.raises(InvalidModule):
        await lab.deployer.deploy(blink(source="v2"), lab.steps.append)
    assert wasm_of(lab, "blink") == b"v1"
    assert ("deploy", "done", "the former blink is back on paper") in texts(lab.steps)
    assert texts(lab.steps)[-1] == ("deploy", "failed", "invalid WASM version.")
    assert [change.state for change in await lab.change_log.changes()] == ["failed", "done"]


async def test_a_foreign_app_is_never_replaced_silently(lab: Any) -> None:
    lab.plays("blink", 2)
    lab.foreign("blink")
    with pytest.raises(AppExists) as caught:
        await lab.deployer.deploy(blink(), lab.steps.append)
    assert caught.value.next_step
    assert "apps.remove" not in lab.transport.calls


async def test_a_device_that_vanishes_mid_install_leaves_the_change_open(lab: Any) -> None:
    lab.plays("blink", 2)
    lab.transport.fail["apps.install"] = InstallInterrupted("it went away", outcome="unknown", next_step="look")
    with pytest.raises(InstallInterrupted):
        await lab.deployer.deploy(blink(), lab.steps.append)
    assert [change.state for change in await lab.change_log.changes()] == ["unknown"]
    assert await lab.change_log.desired() == ()


async def test_a_program_that_trapped_on_the_board_is_withdrawn(lab: Any) -> None:
    lab.plays("blink", 2)
    lab.transport.states["blink"] = AppState("blink", "trapped", "Exception: unreachable", 8192, 0, 0, ())
    with pytest.raises(DeployRejected):
        await lab.deployer.deploy(blink(), lab.steps.append)
    assert lab.transport.apps == {}
    assert texts(lab.steps)[-1][:2] == ("verify", "failed")
    assert [change.state for change in await lab.change_log.changes()] == ["failed"]


async def test_an_upgrade_that_trapped_on_the_board_gives_way_to_the_former(lab: Any) -> None:
    lab.plays("blink", 2)
    await lab.deployer.deploy(blink(), lab.steps.append)
    lab.transport.states["blink"] = AppState("blink", "trapped", "Exception: unreachable", 8192, 0, 0, ())
    with pytest.raises(DeployRejected):
        await lab.deployer.deploy(blink(source="v2"), lab.steps.append)
    assert wasm_of(lab, "blink") == b"v1"
    [app] = await lab.change_log.desired()
    assert (await lab.change_log.image(app.version.sha256)).source == "v1"


async def test_edges_unlike_the_trials_are_said_not_hidden(lab: Any) -> None:
    lab.plays("blink", 2)
    lab.transport.edges = [Edge(edge.t_ms * 2, edge.pin, edge.level) for edge in lab.transport.edges]
    done = await lab.deployer.deploy(blink(), lab.steps.append)
    assert not done.verified
    assert lab.steps[-1].state == "failed"
    assert lab.steps[-1].next_step


async def test_a_pin_that_never_moves_is_said(lab: Any) -> None:
    lab.plays("blink", 2)
    lab.transport.edges.clear()
    done = await lab.deployer.deploy(blink(), lab.steps.append)
    assert not done.verified


async def test_a_board_that_restarts_while_watched_is_said(lab: Any) -> None:
    lab.plays("blink", 2)
    lab.transport.now_ms = 50_000.0
    wait = lab.transport.wait

    async def restart(seconds: float) -> None:
        await wait(seconds)
        lab.transport.now_ms = 1_000.0

    lab.transport.wait = restart
    lab.rebuild()
    done = await lab.deployer.deploy(blink(), lab.steps.append)
    assert not done.verified


async def test_a_board_whose_clock_stands_still_proves_nothing(lab: Any) -> None:
    lab.plays("blink", 2)
    lab.transport.edges.clear()
    lab.transport.ticks = False
    lab.rebuild()
    done = await lab.deployer.deploy(blink(), lab.steps.append)
    assert (done.evidence.kind, done.verified) == ("accepted", False)


async def test_without_read_back_nothing_but_accepted_is_claimed(lab: Any) -> None:
    lab.plays("blink", 2)
    lab.transport.sees = False
    done = await lab.deployer.deploy(blink(), lab.steps.append)
    assert done.evidence.kind == "accepted"


@pytest.mark.parametrize(("tried", "note"), [("21 C", ""), ("hello", " (the trial had no line of that form)")])
async def test_a_printing_program_is_proved_by_its_own_line(lab: Any, tried: str, note: str) -> None:
    lab.trials["hello"] = replace(
        Trial(True, "running", (tried,), (), (), (), (), 0, 0, (), 10_000, 20), first_line_ms=5.0
    )

    install = lab.transport._do

    def printing(call: Any) -> Any:
        answer = install(call)
        if call.method == "apps.install":
            lab.transport.lines.append(LogLine(1.0, "hello", "22.5 C"))
        return answer

    lab.transport._do = printing
    done = await lab.deployer.deploy(blink("hello"), lab.steps.append)
    assert done.evidence.kind == "reported"


async def test_a_cancelled_watch_keeps_what_the_device_accepted(lab: Any) -> None:
    lab.plays("blink", 2)
    lab.transport.edges.clear()
    accepted = asyncio.Event()
    task = asyncio.create_task(
        lab.deployer.deploy(blink(), lambda step: accepted.set() if step.stage == "deploy" else None)
    )
    await accepted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [change.state for change in await lab.change_log.changes()] == ["done"]


async def test_a_deployment_says_when_it_begins_to_change_the_device(lab: Any) -> None:
    lab.plays("blink", 2)

    def begin() -> None:
        assert "apps.install" not in lab.transport.calls
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await lab.deployer.deploy(blink(), lab.steps.append, begin=begin)
    assert lab.transport.apps == {}
    assert await lab.change_log.changes() == ()


async def test_removing_confirms_by_the_devices_own_list(lab: Any) -> None:
    lab.plays("blink", 2)
    await lab.deployer.deploy(blink(), lab.steps.append)
    done = await lab.changes.apply(ChangeRequest("paper", "blink", "uninstall"), lab.steps.append)
    assert done.undoable
    assert await lab.change_log.desired() == ()


async def test_a_removal_that_the_list_contradicts_fails(lab: Any) -> None:
    lab.foreign("ok7", "other")
    lab.transport.ghosts = [("other", "ok7")]
    with pytest.raises(DeployRejected):
        await lab.changes.apply(ChangeRequest("paper", "ok7", "uninstall"), lab.steps.append)
    assert (lab.steps[-1].stage, lab.steps[-1].state) == ("verify", "failed")
    assert not any("no longer lists" in step.text for step in lab.steps)


@pytest.mark.parametrize("sees", [False, True])
async def test_an_install_that_the_list_contradicts_is_not_verified(lab: Any, sees: bool) -> None:
    lab.plays("blink", 2)
    lab.transport.sees = sees
    lab.transport.ghosts = [("other",)]
    done = await lab.deployer.deploy(blink(), lab.steps.append)
    assert not done.verified
    assert (lab.steps[-1].stage, lab.steps[-1].state) == ("verify", "failed")


async def test_a_list_that_is_late_with_an_install_is_read_again(lab: Any) -> None:
    lab.plays("blink", 2)
    lab.transport.ghosts = [(), ("blink",)]
    assert (await lab.deployer.deploy(blink(), lab.steps.append)).verified


async def test_two_deployments_to_one_device_go_one_after_the_other(lab: Any) -> None:
    for number, name in enumerate(("a", "b", "c")):
        lab.plays(name, number + 4)
    await asyncio.gather(*(lab.deployer.deploy(blink(name), lab.steps.append) for name in ("a", "b", "c")))
    wanted = (method for method in lab.transport.calls if method in ("apps.list", "apps.install"))
    turns = [method for method, _ in groupby(wanted)]  # a deployment also lists after it installed
    assert turns[:6] == ["apps.list", "apps.install"] * 3


async def test_an_unreachable_device_is_said_at_the_deploy_stage(lab: Any) -> None:
    lab.plays("blink", 2)
    lab.transport.away = DeviceUnreachable("nobody at paper:1", next_step="switch it on")
    with pytest.raises(DeviceUnreachable):
        await lab.deployer.deploy(blink(), lab.steps.append)
    assert texts(lab.steps)[-1] == ("deploy", "failed", "nobody at paper:1")
    assert await lab.change_log.changes() == ()


async def test_two_deployments_at_once_never_share_a_pin(lab: Any) -> None:
    lab.plays("a", 2)
    lab.plays("b", 2)
    ended = await asyncio.gather(
        *(lab.deployer.deploy(blink(name), lab.steps.append) for name in ("a", "b")), return_exceptions=True
    )
    assert [type(one) for one in ended] == [Deployment, PinClaimed]
    assert list(lab.transport.apps) == ["a"]


async def test_a_program_that_exited_on_the_board_is_withdrawn(lab: Any) -> None:
    lab.plays("blink", 2)
    lab.transport.states["blink"] = AppState("blink", "exited", "env.exit(1)", 8192, 0, 0, ())
    with pytest.raises(DeployRejected):
        await lab.deployer.deploy(blink(), lab.steps.append)
    assert lab.transport.apps == {}


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (DeviceUnreachable("gone", next_step="look"), "unknown"),
        (DeviceTimeout("no answer", next_step="look"), "unknown"),
        (CallRejected("Uninstall WASM app failed: busy", next_step="again"), "failed"),
    ],
)
async def test_a_removal_that_did_not_go_through_is_still_wanted(lab: Any, error: DeviceError, state: str) -> None:
    lab.plays("blink", 2)
    await lab.deployer.deploy(blink(), lab.steps.append)
    lab.transport.fail["apps.remove"] = error
    with pytest.raises(type(error)):
        await lab.changes.apply(ChangeRequest("paper", "blink", "uninstall"), lab.steps.append)
    assert [change.state for change in await lab.change_log.changes()] == [state, "done"]
    assert [app.name for app in await lab.change_log.desired()] == ["blink"]
    assert lab.steps[-1].state == "failed"


async def test_an_app_that_went_by_itself_counts_as_removed(lab: Any) -> None:
    lab.plays("blink", 2)
    await lab.deployer.deploy(blink(), lab.steps.append)
    lab.transport.swallow = True
    lab.transport.fail["apps.remove"] = AppNotFound("Uninstall WASM app failed: no app found.")
    await lab.changes.apply(ChangeRequest("paper", "blink", "uninstall"), lab.steps.append)
    assert await lab.change_log.desired() == ()


async def test_a_wanted_app_that_the_device_lost_can_still_be_removed(lab: Any) -> None:
    lab.plays("blink", 2)
    await lab.deployer.deploy(blink(), lab.steps.append)
    lab.transport.apps.clear()
    lab.transport.calls.clear()
    await lab.changes.apply(ChangeRequest("paper", "blink", "uninstall"), lab.steps.append)
    assert "apps.remove" not in lab.transport.calls
    assert await lab.change_log.desired() == ()


async def test_a_board_lost_while_watched_leaves_it_at_accepted(lab: Any) -> None:
    lab.plays("blink", 2)
    wait = lab.transport.wait

    async def vanish(seconds: float) -> None:
        await wait(seconds)
        lab.transport.away = DeviceUnreachable("it went away", next_step="look")

    lab.transport.wait = vanish
    lab.rebuild()
    done = await lab.deployer.deploy(blink(), lab.steps.append)
    assert (done.evidence.kind, done.verified) == ("accepted", False)
    assert [app.name for app in await lab.change_log.desired()] == ["blink"]


async def test_a_slow_program_is_not_waited_for(lab: Any) -> None:
    hour_ms = 3_600_000.0
    lab.trials["slow"] = replace(
        Trial(True, "running", (), (Edge(hour_ms, 2, 1),), (), (2,), (2,), 0, 0, (), 2 * hour_ms, 20)
    )
    lab.transport.states["slow"] = AppState("slow", "running", None, 8192, 0, 0, (2,))
    done = await lab.deployer.deploy(blink("slow"), lab.steps.append)
    assert done.verified
    assert done.evidence.kind == "accepted"
    assert lab.transport.now_ms < 1_000


def begins_unevenly(lab: Any, gap_ms: float, times_ms: Sequence[float]) -> None:
    """In the trial of a blink its edges are evenly apart, on the board they come at these times."""
    edges = tuple(Edge(gap_ms * i, 2, (i + 1) % 2) for i in range(40))
    lab.trials["blink"] = make_trial(edges=edges, pins=(2,), driven=(2,))
    lab.transport.edges = [Edge(time_ms, 2, (i + 1) % 2) for i, time_ms in enumerate(times_ms)]


async def test_a_board_that_starts_it_late_and_unevenly_is_watched_until_it_has_settled(lab: Any) -> None:
    begins_unevenly(lab, 250.0, (2_900.0, 3_600.0, *(4_100.0 + 250.0 * i for i in range(8))))
    done = await lab.deployer.deploy(blink(), lab.steps.append)
    assert done.verified
    assert lab.transport.now_ms < 6_000


async def test_a_slower_rhythm_has_the_time_that_it_takes_to_settle(lab: Any) -> None:
    begins_unevenly(lab, 500.0, (2_770.0, 3_444.0, *(3_944.0 + 500.0 * i for i in range(20))))
    done = await lab.deployer.deploy(blink(), lab.steps.append)
    assert done.verified


async def test_levels_that_are_all_inverted_are_no_proof_and_the_answer_says_why(lab: Any) -> None:
    """The pin was set high by hand: a program that toggles it has its light on where it should be off."""
    times = [t_ms + 1_000.0 * turn for turn in range(10) for t_ms in (0.0, 100.0, 200.0, 300.0)]
    lab.trials["beat"] = make_trial(edges=tuple(Edge(t, 2, (i + 1) % 2) for i, t in enumerate(times)))
    lab.transport.edges = [Edge(30.0, 2, 1), *(Edge(30.1 + t, 2, i % 2) for i, t in enumerate(times))]
    done = await lab.deployer.deploy(blink("beat"), lab.steps.append)
    assert not done.verified


async def test_a_rhythm_that_was_turned_is_watched_until_it_is_proved(lab: Any) -> None:
    times = [t_ms + 700.0 * turn for turn in range(12) for t_ms in (0.0, 100.0, 300.0)]
    lab.trials["odd"] = make_trial(edges=tuple(Edge(t, 2, (i + 1) % 2) for i, t in enumerate(times)))
    lab.transport.edges = [Edge(30.0, 2, 1), *(Edge(30.1 + t, 2, i % 2) for i, t in enumerate(times))]
    done = await lab.deployer.deploy(blink("odd"), lab.steps.append)
    assert (done.verified, done.evidence.kind) == (True, "counted"), done.evidence.text


async def test_a_wrong_rhythm_is_told_after_the_same_time_however_late_it_began(lab: Any) -> None:
    begins_unevenly(lab, 250.0, [2_900.0 + 700.0 * i for i in range(99)])
    done = await lab.deployer.deploy(blink(), lab.steps.append)
    assert not done.verified
    assert lab.transport.now_ms < 7_000


async def test_the_first_edge_alone_does_not_prove_a_slow_program(lab: Any) -> None:
    edges = (Edge(0.0, 2, 1), Edge(3_600_000.0, 2, 0))
    lab.trials["slow"] = replace(Trial(True, "running", (), edges, (), (2,), (2,), 0, 0, (), 4e6, 20))
    lab.transport.edges = [Edge(30.0, 2, 1)]
    done = await lab.deployer.deploy(blink("slow"), lab.steps.append)
    assert done.verified
    assert done.evidence.kind == "accepted"


async def test_a_pin_that_had_its_first_level_before_moves_when_the_second_edge_is_due(lab: Any) -> None:
    edges = (Edge(0.0, 2, 1), Edge(6_000.0, 2, 0), Edge(0.0, 5, 1), Edge(500.0, 5, 0), Edge(1_000.0, 5, 1))
    lab.trials["two"] = replace(Trial(True, "running", (), edges, (), (2, 5), (2, 5), 0, 0, (), 1e4, 20))
    lab.transport.edges = [Edge(30.0 + edge.t_ms, 5, edge.level) for edge in edges if edge.pin == 5]
    lab.transport.levels = {2: 1}
    done = await lab.deployer.deploy(blink("two"), lab.steps.append)
    assert done.verified
    lab.transport.edges = [Edge(lab.transport.now_ms + 30.0 + e.t_ms, 5, e.level) for e in edges if e.pin == 5]
    lab.transport.levels = {2: 0}
    done = await lab.deployer.deploy(blink("two"), lab.steps.append)
    assert not done.verified


async def test_a_level_that_was_there_before_is_no_proof(lab: Any) -> None:
    edges = (Edge(0.0, 2, 1), Edge(60_000.0, 2, 0))
    lab.trials["slow"] = replace(Trial(True, "running", (), edges, (), (2,), (2,), 0, 0, (), 4e6, 20))
    lab.transport.levels = {2: 1}
    done = await lab.deployer.deploy(blink("slow"), lab.steps.append)
    assert done.verified
    assert done.evidence.kind == "accepted"


async def test_each_pin_of_the_trial_must_move_on_the_board(lab: Any) -> None:
    lab.plays("two", 2, 5)
    lab.transport.edges = [edge for edge in lab.transport.edges if edge.pin == 2]
    done = await lab.deployer.deploy(blink("two"), lab.steps.append)
    assert not done.verified


async def test_pins_that_are_late_against_each_other_are_not_verified(lab: Any) -> None:
    lab.plays("two", 2, 5)
    late = [structs.replace(edge, t_ms=edge.t_ms + 400 * (edge.pin == 5)) for edge in lab.transport.edges]
    lab.transport.edges = sorted(late, key=lambda edge: edge.t_ms)
    done = await lab.deployer.deploy(blink("two"), lab.steps.append)
    assert not done.verified


async def test_a_rhythm_of_one_pin_is_compared_edge_by_edge(lab: Any) -> None:
    lab.trials["ramp"] = make_trial(edges=tuple(Edge(t, 2, i % 2) for i, t in enumerate((1.0, 2.0, 1001.0))))
    lab.transport.edges = [Edge(31.0, 2, 0), Edge(631.0, 2, 1), Edge(1031.0, 2, 0)]
    done = await lab.deployer.deploy(blink("ramp"), lab.steps.append)
    assert not done.verified


async def test_edges_of_one_moment_prove_nothing_of_what_follows(lab: Any) -> None:
    edges = (Edge(0.0, 2, 1), Edge(0.2, 2, 0), Edge(600_000.0, 2, 1))
    lab.trials["pump"] = make_trial(edges=edges, board_ms=1e6)
    lab.transport.edges = [Edge(30.0, 2, 1), Edge(30.2, 2, 0)]
    done = await lab.deployer.deploy(blink("pump"), lab.steps.append)
    assert done.evidence.kind == "accepted"


@pytest.mark.parametrize(("sees", "answer"), [(True, "seen on the board"), (False, "met in the trial; accepted only")])
async def test_an_expectation_says_what_the_board_showed(lab: Any, sees: bool, answer: str) -> None:
    lab.plays("blink", 2)
    lab.transport.sees = sees
    asked = parse_expectations("pin 2: period 1 s\nwhen pin 4 falls: pin 2 rises within 1 s")
    results = tuple(ExpectationResult(line.number, line.text, "met", "so it was") for line in asked.lines)
    lab.trials["blink"] = replace(lab.trials["blink"], expectations=asked, expected=results)
    done = await lab.deployer.deploy(blink(), lab.steps.append)
    assert [result.answer for result in done.expected] == [answer, "met in the trial; accepted only"]
    assert lab.steps[-1].detail == tuple(result.line() for result in done.expected)


async def test_the_question_comes_after_the_trial_and_shows_what_would_happen(lab: Any) -> None:
    lab.plays("blink", 2)
    asked: list[tuple[str, tuple[str, ...]]] = []

    async def approve(text: str, detail: Sequence[str], program: AskedProgram | None = None, *_more: object) -> None:
        asked.append((text, tuple(detail)))
        assert texts(lab.steps)[-1][:2] == ("try", "done")
        assert lab.transport.calls.count("apps.install") == len(asked) - 1

    await lab.deployer.deploy(replace(blink(), approve=approve), lab.steps.append)
    ((text, detail),) = asked
    shown = "\n".join(detail)
    assert text == "put blink on paper"
    assert detail[0].startswith("program: blink, 10 B, heap 8 KB")
    assert "board: paper" in shown
    assert "pins: 2 (drives 2)" in shown
    assert "trial: 10 s of board time" in shown
    assert "high at 0.000 s, low at 0.500 s" in shown
    assert "|" in next(line for line in detail if line.startswith("pin 2: "))
    assert detail[-2:] == ("source: 1 line", "    v1")
    await lab.deployer.deploy(replace(blink(source="v2"), approve=approve), lab.steps.append)
    assert asked[-1][0] == "put blink on paper, in place of the blink that is there"


async def test_the_question_has_the_program_and_what_changes_in_its_source(lab: Any) -> None:
    lab.plays("blink", 2)
    asked: list[AskedProgram] = []

    async def approve(text: str, detail: Sequence[str], program: AskedProgram | None = None, *_more: object) -> None:
        assert program is not None
        assert any(program.sha256[:12] in line for line in detail)
        asked.append(program)

    for source in ("v1", "v2", "v2"):
        await lab.deployer.deploy(replace(blink(source=source), approve=approve), lab.steps.append)
    first, second, same = asked
    assert (first.device, first.name, first.pins, first.replaces, first.diff) == ("paper", "blink", (2,), None, ())
    assert [pin for _, pin, _ in first.edges] == [2] * len(first.edges)
    assert first.edges
    assert (second.replaces, second.diff) == (first.sha256, ("@@ -1 +1 @@", "-v1", "+v2"))
    assert (same.replaces, same.diff) == (second.sha256, ())
    (installed,) = await lab.change_log.desired()
    assert installed.version.sha256 == same.sha256, "what was shown is what is there"


async def test_a_no_changes_nothing_on_the_board(lab: Any) -> None:
    lab.plays("blink", 2)

    async def approve(text: str, detail: Sequence[str], program: AskedProgram | None = None, *_more: object) -> None:
        raise PermissionRefused("declined by owner")

    with pytest.raises(PermissionRefused):
        await lab.deployer.deploy(replace(blink(), approve=approve), lab.steps.append)
    assert texts(lab.steps)[-1] == ("approve", "failed", "declined by owner")
    assert lab.transport.apps == {}
    assert list(await lab.change_log.desired()) == []
