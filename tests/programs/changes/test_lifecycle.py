"""Stop, start, restart and upgrade on a board on paper: what is kept, what is refused, and their undo."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from microclaw.devices.registry.calls import AppState
from microclaw.errors import AppNotFound, DeployRejected, MicroclawError, PinClaimed, TooManyApps

STOPPED: tuple[dict[str, str], dict[str, str]] = ({}, {"blink": "stopped"})


async def stands(lab: Any) -> tuple[dict[str, str], dict[str, str]]:
    """The programs on the board, and what is told of them."""
    return lab.running(), await lab.conditions()


def changes_on_board(lab: Any) -> list[str]:
    return [name for name in lab.transport.calls if name in ("apps.remove", "apps.install")]


async def test_a_program_is_stopped_started_on_its_terms_restarted_and_each_is_undone(lab: Any) -> None:
    terms = {"heap_bytes": 4096, "timers": 7, "watchdog_ms": 9_000}
    await lab.deploy(**terms)
    stopped = await lab.act("stop")
    lab.rebuild()  # the host died
    await lab.reconciler.check_due()
    assert (await lab.reconciler.check(lab.device_id)).put_back == ()
    assert await stands(lab) == STOPPED
    back = await lab.take_back()
    assert back.taken[0].undone == stopped.change_id
    assert await stands(lab) == ({"blink": "v1"}, {"blink": "listed"})
    await lab.take_back(back.taken[0].by)
    assert await stands(lab) == STOPPED
    lab.plays("blink", 2)
    started = await lab.act("start")
    assert (started.evidence.kind, started.verified) == ("counted", True)
    assert await lab.change_log.desired(stopped=True) == ()
    app = lab.transport.apps["blink"]
    assert {name: getattr(app, name) for name in terms} == terms
    assert await lab.wanted() == ["blink"]
    lab.transport.calls.clear()
    lab.plays("blink", 2)
    assert (await lab.act("restart")).verified
    assert changes_on_board(lab) == ["apps.remove", "apps.install"]
    await lab.take_back()  # there is nothing to undo of a restart
    assert await stands(lab) == STOPPED


@pytest.mark.parametrize(
    ("asked", "meanwhile", "runs"), [("restart", "upgrade", {"blink": "v2"}), ("start", "uninstall", {})]
)
async def test_what_somebody_else_does_during_its_trial_counts(
    lab: Any, asked: str, meanwhile: str, runs: dict[str, str]
) -> None:
    await lab.deploy()
    if asked == "start":
        await lab.act("stop")
    trying = lab.try_image
    is_tried = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(*given: Any) -> Any:
        if not is_tried.is_set():
            is_tried.set()
            await go_on.wait()
        return await trying(*given)

    lab.try_image = slow
    lab.rebuild()
    one = asyncio.create_task(lab.act(asked))
    await is_tried.wait()
    await lab.act(meanwhile, **({"source": "v2"} if meanwhile == "upgrade" else {}))
    go_on.set()
    with pytest.raises(DeployRejected, match="somebody else"):
        await one
    assert lab.running() == runs


@pytest.mark.parametrize("act", ["deploy", "uninstall"])
async def test_what_is_done_over_a_stopped_program_is_undone_to_a_stopped_one(lab: Any, act: str) -> None:
    await lab.deploy()
    await lab.act("stop")
    if act == "deploy":
        await lab.deploy(source="v2")
        assert await stands(lab) == ({"blink": "v2"}, {"blink": "listed"})
    else:
        assert (await lab.act("uninstall")).undoable
        assert await stands(lab) == ({}, {})
    back = await lab.take_back()
    assert await stands(lab) == STOPPED
    if act == "uninstall":
        await lab.take_back(back.taken[0].by)
        assert await stands(lab) == ({}, {})
    else:
        await lab.act("start")
        assert lab.running() == {"blink": "v1"}


async def test_what_makes_no_sense_is_refused(lab: Any) -> None:
    async def refused(error: type[MicroclawError], *acts: str, name: str = "blink") -> None:
        for act in acts:
            with pytest.raises(error):
                await lab.act(act, name, **({"source": "v2"} if act == "upgrade" else {}))

    await refused(AppNotFound, "stop", "start", "upgrade")
    lab.foreign("theirs")
    await refused(DeployRejected, "stop", "start", "restart", "upgrade", name="theirs")
    await lab.deploy()
    lab.transport.states["blink"] = AppState("blink", "running", None, 0, 0, 0, (2,))
    await refused(DeployRejected, "start")
    await lab.act("stop")
    await refused(DeployRejected, "stop", "restart", "upgrade")
    assert (list(lab.running()), lab.tried) == (["theirs"], ["blink"])


async def test_a_program_whose_start_is_refused_stays_stopped(lab: Any) -> None:
    await lab.deploy()
    await lab.act("stop")
    await lab.deploy("other")
    with pytest.raises(PinClaimed):
        await lab.act("start")
    await lab.act("uninstall", "other")
    lab.foreign("a", "b", "c")
    with pytest.raises(TooManyApps):
        await lab.act("start")
    lab.transport.apps.clear()
    lab.transport.states["blink"] = AppState("blink", "trapped", "divide by zero", 0, 0, 0, (2,))
    with pytest.raises(DeployRejected):  # it traps on the board
        await lab.act("start")
    assert await stands(lab) == STOPPED


async def test_an_upgrade_keeps_the_terms_is_undone_and_gives_way_when_it_is_not_verified(lab: Any) -> None:
    await lab.deploy(heap_bytes=4096, timers=7, watchdog_ms=9_000)
    lab.plays("blink", 2)
    assert (await lab.act("upgrade", source="v2 is longer")).verified
    app = lab.transport.apps["blink"]
    assert (app.code[8:], app.heap_bytes, app.timers, app.watchdog_ms) == (b"v2 is longer", 4096, 7, 9_000)
    lab.plays("blink", 2)
    await lab.take_back()
    assert lab.running() == {"blink": "v1"}
    lab.transport.edges.clear()  # the trial blinks, and the board shows no edge
    with pytest.raises(DeployRejected):
        await lab.act("upgrade", source="v2")
    assert lab.running() == {"blink": "v1"}
    assert not (await lab.deploy(source="v2", pin=None)).verified
    assert lab.running() == {"blink": "v2"}, "only an upgrade gives way to the former"


@pytest.mark.parametrize(("sees", "most"), [(True, {"apps.list": 2, "apps.states": 4}), (False, {"apps.list": 3})])
async def test_an_act_looks_twice_at_the_board_and_verification_twice(
    lab: Any, sees: bool, most: dict[str, int]
) -> None:
    lab.transport.sees = sees
    for name in ("blink", "other"):
        lab.transport.states[name] = AppState(name, "running", None, 8192, 0, 0, (2,))
    acts: dict[str, Callable[[], Awaitable[Any]]] = {
        "install": lambda: lab.deploy(),
        "install over it": lambda: lab.deploy(source="v2"),
        "install beside it": lambda: lab.deploy("other", pin=4),
        "start": lambda: lab.act("start"),
        "restart": lambda: lab.act("restart"),
        "upgrade": lambda: lab.act("upgrade", source="v3"),
    }
    for act, begin in acts.items():
        if act == "start":
            await lab.act("stop")
        lab.plays("blink", 2)
        lab.transport.calls.clear()
        await begin()
        questions = Counter(lab.transport.calls)
        for method in ("apps.list", "apps.states"):
            assert questions[method] <= most.get(method, 0), (act, questions)
