"""A change that does not go through, at each of its stages: the board leaves, the host is killed, another one comes.

What is left is what the board lists, and nothing stays open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import AsyncMock

import pytest
from msgspec import structs

from microclaw.errors import CallRejected, DeviceTimeout, DeviceUnreachable, InstallInterrupted, MicroclawError
from microclaw.host.store.database import Database
from microclaw.programs.changes.change_log import AppVersion, ChangeLog, Claims, PutApp, RemoveApp, SetPwm
from microclaw.programs.changes.installer import recover_changes

PUT = "apps.install"
OFF = "apps.remove"
PREPARING = ("compile", "try", "approve", "apps.list")
CHANGING = (PUT, OFF, "gpio.set")
# Of each act: its stages that no other act has alike, and how blink stands before and after it.
ACTS: dict[str, tuple[tuple[str, ...], str | None, str | None]] = {
    "install": ((*PREPARING, PUT, "edges.read"), None, "listed"),
    "upgrade": ((OFF, PUT), "listed", "listed"),
    "uninstall": (("apps.list", OFF), "listed", None),
    "stop": ((OFF,), "listed", "stopped"),
    "start": ((PUT,), "stopped", "listed"),
    "level": (("gpio.get", "gpio.set"), None, None),
}
CUTS = {
    "board leaves": (DeviceUnreachable("it went away"), InstallInterrupted("it went away", outcome="unknown")),
    "no answer": (DeviceTimeout("no answer"), DeviceTimeout("no answer")),
    "host killed": (DeviceUnreachable("nothing more is sent"), DeviceUnreachable("nothing more is sent")),
}
EACH = [(act, stage) for act, (stages, _, _) in ACTS.items() for stage in stages]
CUT_SHORT = [
    (act, stage, cut, happened)
    for act, stage in EACH
    for cut in CUTS
    for happened in (False, True)
    if stage in CHANGING or (not happened and cut != "no answer")
]


async def prepared(lab: Any, act: str) -> Callable[[], Awaitable[Any]]:
    """The board as it is before the act; what does the act."""
    if ACTS[act][1] is not None:
        await lab.deploy()
    if ACTS[act][1] == "stopped":
        await lab.act("stop")
    lab.plays("blink", 2)

    async def approve(*asked: object) -> None:
        await lab.approve(*asked)

    lab.approve = AsyncMock()
    if act in ("install", "upgrade"):
        return lambda: lab.act(act, source="v2", approve=approve)
    return lambda: lab.set_pin(4) if act == "level" else lab.act(act)


def at(lab: Any, stage: str, happens: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]) -> None:
    """Let this happen at that stage, once, in place of the stage's own work; edges are read before, too."""
    left = [happens]
    called = set[str]()

    def hooked(work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def step(*args: Any, **more: Any) -> Any:
            is_here = "." not in stage or (args[0].method == stage and (stage != "edges.read" or PUT in called))
            called.add(getattr(args[0], "method", stage))
            return await (left.pop()(lambda: work(*args, **more)) if is_here and left else work(*args, **more))

        return step

    place, name = (lab.transport, "call") if "." in stage else (lab, {"try": "try_image"}.get(stage, stage))
    setattr(place, name, hooked(getattr(place, name)))
    lab.rebuild()


@pytest.mark.parametrize(("act", "stage", "cut", "happened"), CUT_SHORT)
async def test_what_the_board_lists_decides(
    lab: Any, database: Database, act: str, stage: str, cut: str, happened: bool
) -> None:
    do = await prepared(lab, act)
    error = CUTS[cut][stage == PUT]

    async def interrupted(work: Callable[[], Awaitable[Any]]) -> Any:
        if happened or "." not in stage:
            done = await work()
        else:
            done = None
        lab.transport.away = error
        if cut == "host killed":
            for ending in ("complete", "end"):  # the dead write nothing
                setattr(lab.change_log, ending, AsyncMock())
        if cut == "host killed" or "." in stage:
            raise error
        return done

    at(lab, stage, interrupted)
    told: Any = (await asyncio.gather(do(), return_exceptions=True))[0]
    assert isinstance(told, MicroclawError) or (stage == "edges.read" and not told.verified)
    if stage in CHANGING and cut != "host killed":
        assert (await lab.states())[0] == "unknown"
        assert act == "level" or lab.steps[-1].state == "failed"
    lab.transport.away = None
    lab.change_log = ChangeLog(database)
    lab.rebuild()
    kept = await lab.reconciler.check(lab.device_id)
    assert (kept.problem, kept.put_back) == (None, ("blink",) if act == "upgrade" else ())
    assert await lab.change_log.unfinished() == []
    _, before, after = ACTS[act]
    stands = after if (happened or stage == "edges.read") and act != "upgrade" else before
    assert (await lab.conditions()).get("blink") == stands
    assert lab.running() == ({"blink": "v2" if act == "install" else "v1"} if stands == "listed" else {})
    assert lab.transport.levels.get(4, 0) == (act == "level" and happened)
    changes = await lab.change_log.changes()
    [*states] = [change.state for change in changes if change.kind != "app.restore"]
    assert set(states[1 if stage in (*CHANGING, "edges.read") else 0 :]) <= {"done"}
    assert stage not in CHANGING or states[0] == ("done" if happened and act != "upgrade" else "failed")


@pytest.mark.parametrize(("act", "stage"), [(act, stage) for act, stage in EACH if stage in CHANGING])
async def test_what_the_board_refuses_leaves_everything_as_it_was(lab: Any, act: str, stage: str) -> None:
    do = await prepared(lab, act)
    lab.transport.fail[stage] = CallRejected("busy", next_step="again")
    with pytest.raises(MicroclawError):
        await do()
    assert ((await lab.conditions()).get("blink"), lab.transport.levels) == (ACTS[act][1], {})
    assert (await lab.states())[0] == "failed"
    assert act == "level" or lab.steps[-1].state == "failed"
    assert await lab.change_log.unfinished() == []


@pytest.mark.parametrize(("act", "stage"), EACH)
async def test_of_two_changes_at_once_the_second_waits_for_the_first(lab: Any, act: str, stage: str) -> None:
    do = await prepared(lab, act)
    later = list[asyncio.Task[object]]()

    async def meanwhile(work: Callable[[], Awaitable[Any]]) -> Any:
        later.extend(asyncio.create_task(lab.set_pin(pin)) for pin in (6, 7))
        await asyncio.sleep(0)
        later[0].cancel()
        return await work()

    at(lab, stage, meanwhile)
    lab.transport.calls.clear()
    await do()
    await asyncio.wait(later)
    assert (later[0].cancelled(), lab.transport.levels.get(6), lab.transport.levels[7]) == (True, None, 1)
    assert (await lab.conditions()).get("blink") == ACTS[act][2]
    assert set(await lab.states()) == {"done"}
    if act != "install" or stage not in PREPARING:  # where nobody has the board yet
        calls = [call for call in lab.transport.calls if call in (*CHANGING, "gpio.get", "edges.read")]
        assert calls[-3:] == ["gpio.get", "gpio.set", "gpio.get"]
        assert calls.count("gpio.set") == 1 + (act == "level")


@pytest.mark.parametrize("error", [None, DeviceUnreachable("nobody there", next_step="switch it on")])
async def test_a_board_that_does_not_answer_keeps_its_changes_open(lab: Any, error: MicroclawError | None) -> None:
    await lab.deploy()
    change_id = await lab.change_log.plan(lab.device_id, "app.remove", "remove", RemoveApp("blink"), None)
    lab.transport.away = error
    await lab.reconciler.check_due()
    assert [change.change_id for change in await lab.change_log.unfinished()] == [change_id] * (error is not None)


async def test_an_upgrade_of_a_forced_program_cut_short_leaves_none_and_an_unknown_pwm_is_told(lab: Any) -> None:
    await lab.deploy()
    before = structs.replace((await lab.change_log.desired())[0].version, claims=Claims(forced=True))
    after = AppVersion("f" * 64, 8192, 20, 180_000, (2,))
    await lab.change_log.plan(lab.device_id, "app.upgrade", "upgrade", PutApp("blink", after), PutApp("blink", before))
    await recover_changes(lab.registry.get("paper"), lab.change_log)
    assert lab.running() == {}
    await lab.change_log.plan(lab.device_id, "pwm.set", "pwm", SetPwm(5, 100, 5000), None)
    [told] = await recover_changes(lab.registry.get("paper"), lab.change_log)
    assert "unknown" in told
