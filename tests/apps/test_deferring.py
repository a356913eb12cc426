"""Acts on programs of a board that does not answer: kept, done once when it is back, told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.apps.conftest import make_trial

from microclaw.apps.change_log import made_by
from microclaw.apps.deferring import MAX_TRIES, Deferral, Order, away
from microclaw.apps.deployment import ChangeRequest
from microclaw.apps.late_proof import Place
from microclaw.apps.standing import Act
from microclaw.errors import (
    AppNotFound,
    DeployRejected,
    DeviceUnreachable,
    InstallInterrupted,
    InvalidModule,
    Overloaded,
    PermissionRefused,
    PinClaimed,
    TooManyApps,
    TrialFailed,
)
from microclaw.store.apps import MAX_WAITING

OFF = DeviceUnreachable("nobody there", next_step="switch it on")
PLACE = Place("owner", "terminal", "terminal")


class Notes:
    def __init__(self, lab: Any) -> None:
        self.told: list[tuple[str, bool]] = []
        lab.tell = self._tell

    async def _tell(self, place: Place | None, device: str, note: str, alarm: str | None) -> None:
        assert (place, device) == (PLACE, "paper")
        assert alarm in (None, "deferred_failed")
        self.told.append((note, alarm is None))


@pytest.fixture
def notes(lab: Any) -> Notes:
    lab.transport.away = OFF
    return Notes(lab)


async def order(lab: Any, name: str = "blink", source: str = "v1", **more: Any) -> Deferral:
    request = ChangeRequest("paper", name, source=source, place=PLACE, **more)
    with made_by("turn-1", "owner"):
        made: Deferral = await lab.deferrals.keep(request, "nobody there", lab.steps.append)
    return made


async def back(lab: Any, name: str = "blink", pin: int = 2) -> None:
    """The board answers again, and the reconciler looks."""
    lab.transport.away = None
    lab.monotonic_s += 60
    lab.transport.edges.clear()
    lab.plays(name, pin)
    await lab.reconciler.check_due()


async def deployed(lab: Any, name: str = "blink", pin: int = 2) -> None:
    lab.transport.away = None
    lab.plays(name, pin)
    await lab.deployer.deploy(ChangeRequest("paper", name, source="v0"), lab.steps.append)
    lab.transport.away = OFF


async def conditions(lab: Any) -> dict[str, str]:
    return {one.name: one.condition for one in await lab.catalogue.list_apps()}


async def states(lab: Any) -> list[str]:
    return [f"{change.kind} {change.state}" for change in await lab.change_log.changes()]


async def test_an_installation_is_tried_now_and_done_and_told_when_the_board_is_back(lab: Any, notes: Notes) -> None:
    device = lab.registry.get("paper")
    assert await away(device) == "nobody there"
    made = await order(lab)
    assert lab.tried == ["blink"]
    assert made.act.order.version is not None
    assert await conditions(lab) == {"blink": "deferred"}
    assert await states(lab) == []
    await lab.reconciler.check_due()
    assert notes.told == []
    assert lab.reconciler.status()[0].unreachable_since_ms is not None
    await back(lab)
    [(note, is_well)] = notes.told
    assert "deferred: install blink on paper: done. counted on the board" in note
    assert is_well
    assert lab.transport.apps["blink"].code[8:] == b"v1"
    [change] = await lab.change_log.changes()
    assert (change.state, change.turn, change.person) == ("done", "turn-1", "owner")
    await lab.reconciler.check_due()
    assert lab.transport.calls.count("apps.install") == 1
    assert len(notes.told) == 1


async def test_what_is_wrong_is_told_when_it_is_ordered(lab: Any, notes: Notes) -> None:
    lab.trials["blink"] = make_trial(ok=False, error="trapped")
    with pytest.raises(TrialFailed):
        await order(lab)
    assert await lab.deferrals.log.waiting() == ()


async def test_the_question_is_asked_when_it_is_ordered_and_not_again(lab: Any, notes: Notes) -> None:
    asked: list[str] = []

    async def no(text: str, _detail: Sequence[str], _program: object) -> None:
        asked.append(text)
        raise PermissionRefused("no", next_step="ask again")

    with pytest.raises(PermissionRefused):
        await order(lab, approve=no)
    assert asked == ["put blink on paper, when it is back"]
    assert await lab.deferrals.log.waiting() == ()

    async def yes(text: str, _detail: Sequence[str], _program: object) -> None:
        asked.append(text)

    await order(lab, approve=yes)
    await back(lab)
    assert len(asked) == 2
    assert "blink" in lab.transport.apps


async def test_a_pin_that_was_taken_meanwhile_is_told_and_not_forced(lab: Any, notes: Notes) -> None:
    await order(lab)
    lab.transport.away = None
    lab.plays("other", 2)
    await lab.deployer.deploy(ChangeRequest("paper", "other", source="o"), lab.steps.append)
    await back(lab)
    [(note, is_well)] = notes.told
    assert "deferred: install blink on paper: failed. pin 2 is driven by other on paper" in note
    assert not is_well
    assert list(lab.transport.apps) == ["other"]
    assert await conditions(lab) == {"other": "listed"}


async def test_pins_of_what_waits_are_claimed_when_the_next_is_ordered(lab: Any, notes: Notes) -> None:
    await deployed(lab)
    with pytest.raises(PinClaimed):
        await order(lab, "other")
    await lab.deferrals.keep(ChangeRequest("paper", "blink", "uninstall", place=PLACE), "off", lab.steps.append)
    await order(lab, "other")
    with pytest.raises(PinClaimed):
        await order(lab, "third")
    await back(lab, "other")
    assert list(lab.transport.apps) == ["other"]
    assert [is_well for _, is_well in notes.told] == [True, True]


async def test_there_is_room_for_no_more_than_the_board_takes(lab: Any, notes: Notes) -> None:
    limit = lab.registry.get("paper").board.firmware.max_apps
    for number in range(limit):
        lab.plays(f"a{number}", 4 + number)
        await order(lab, f"a{number}")
    lab.plays("more", 3)
    with pytest.raises(TooManyApps):
        await order(lab, "more")


@pytest.mark.parametrize(("act", "left"), [("uninstall", {}), ("stop", {"blink": "stopped"})])
async def test_a_program_that_shall_go_is_not_put_back_first(
    lab: Any, notes: Notes, act: Act, left: dict[str, str]
) -> None:
    await deployed(lab)
    await lab.deferrals.keep(ChangeRequest("paper", "blink", act, place=PLACE), "off", lab.steps.append)
    assert await conditions(lab) == {"blink": "deferred"}
    lab.transport.apps.clear()  # the board lost its power
    lab.transport.calls.clear()
    await back(lab)
    assert "apps.install" not in lab.transport.calls
    assert await conditions(lab) == left
    assert [is_well for _, is_well in notes.told] == [True]


async def test_a_stopped_program_is_started(lab: Any, notes: Notes) -> None:
    await deployed(lab)
    with pytest.raises(DeployRejected):
        await lab.deferrals.keep(ChangeRequest("paper", "blink", "start", place=PLACE), "off", lab.steps.append)
    lab.transport.away = None
    await lab.act("stop")
    lab.transport.away = OFF
    await lab.deferrals.keep(ChangeRequest("paper", "blink", "start", place=PLACE), "off", lab.steps.append)
    await back(lab)
    assert await conditions(lab) == {"blink": "listed"}
    assert [note for note, _ in notes.told if "start blink on paper: done. counted" in note]


async def test_an_upgrade_that_is_not_verified_leaves_the_former_version(lab: Any, notes: Notes) -> None:
    await deployed(lab)
    lab.trials["blink"] = make_trial(pins=(4,), driven=(4,), edges=())
    request = ChangeRequest("paper", "blink", "upgrade", source="v1", place=PLACE)
    await lab.deferrals.keep(request, "off", lab.steps.append)
    lab.trials["blink"] = make_trial(ok=False, error="trapped")
    lab.transport.away = None
    await lab.reconciler.check_due()
    assert [is_well for _, is_well in notes.told] == [False]
    assert lab.transport.apps["blink"].code[8:] == b"v0"
    with pytest.raises(AppNotFound):
        await lab.deferrals.keep(ChangeRequest("paper", "none", "upgrade", source="x"), "off", lab.steps.append)


async def test_a_newer_act_on_the_program_replaces_it(lab: Any, notes: Notes) -> None:
    first = await order(lab)
    second = await order(lab, source="v2")
    assert (first.replaces, second.replaces) == (False, True)
    lab.transport.away = None
    lab.plays("blink", 2)
    await lab.deployer.deploy(ChangeRequest("paper", "blink", source="v3"), lab.steps.append)
    await back(lab)
    assert lab.transport.apps["blink"].code[8:] == b"v3"
    assert notes.told == []
    assert await states(lab) == ["app.deploy done"]


async def test_what_is_cancelled_is_not_done(lab: Any, notes: Notes) -> None:
    await order(lab)
    await lab.deferrals.cancel("paper", "blink")
    with pytest.raises(AppNotFound):
        await lab.deferrals.cancel("paper", "blink")
    await back(lab)
    assert lab.transport.apps == {}
    assert notes.told == []


async def test_undo_does_not_take_back_an_older_act_instead(lab: Any, notes: Notes) -> None:
    await deployed(lab, "other", 4)
    lab.plays("blink", 2)
    await order(lab)
    with pytest.raises(DeployRejected):
        await lab.take_back()
    await lab.deferrals.cancel("paper", "blink")
    lab.transport.away = None
    await lab.take_back()
    assert lab.transport.apps == {}
    lab.transport.away = OFF
    await order(lab)
    with pytest.raises(DeployRejected):
        await lab.take_back()


@pytest.mark.parametrize("happened", [True, False])
async def test_an_installation_that_is_cut_short_is_done_once(lab: Any, notes: Notes, happened: bool) -> None:
    await order(lab)
    lab.transport.swallow = happened
    lab.transport.fail["apps.install"] = InstallInterrupted("it went away", outcome="unknown", next_step="look")
    await back(lab)
    assert notes.told == []
    assert await conditions(lab) == {"blink": "deferred"}
    with pytest.raises(DeployRejected):
        await lab.deferrals.cancel("paper", "blink")
    lab.rebuild()
    again = Notes(lab)
    await back(lab)
    [(note, is_well)] = again.told
    assert ("the device's list says that it is done" in note) is happened
    assert is_well
    assert lab.transport.calls.count("apps.install") == (1 if happened else 2)
    assert await conditions(lab) == {"blink": "listed"}


async def test_one_that_is_cut_short_again_and_again_is_given_up(lab: Any, notes: Notes) -> None:
    await order(lab)
    for _ in range(MAX_TRIES + 1):
        lab.transport.fail["apps.install"] = InstallInterrupted("it went away", outcome="unknown", next_step="look")
        await back(lab)
    [(note, is_well)] = notes.told
    assert f"failed. it was cut short {MAX_TRIES} times" in note
    assert not is_well
    assert lab.transport.calls.count("apps.install") == MAX_TRIES


async def test_a_refusal_of_the_board_is_told_and_is_the_end(lab: Any, notes: Notes) -> None:
    await order(lab)
    lab.transport.fail["apps.install"] = InvalidModule("invalid WASM version.")
    await back(lab)
    assert [is_well for _, is_well in notes.told] == [False]
    assert await states(lab) == ["app.deploy failed"]
    await back(lab)
    assert lab.transport.calls.count("apps.install") == 1


async def test_an_outcome_that_could_not_be_told_is_told_later(lab: Any, notes: Notes) -> None:
    await order(lab)
    tell = lab.tell

    async def full(*_given: Any) -> None:
        raise Overloaded("the chat is full", next_step="wait")

    lab.tell = full
    await back(lab)
    lab.rebuild()
    lab.tell = tell
    await back(lab)
    assert [is_well for _, is_well in notes.told] == [True]


async def test_a_device_keeps_so_many_acts_and_no_more(lab: Any, notes: Notes) -> None:
    for number in range(MAX_WAITING):
        await lab.deferrals.log.keep(lab.device_id, f"p{number}", Order("uninstall"), PLACE)
    with pytest.raises(Overloaded):
        await lab.deferrals.log.keep(lab.device_id, "more", Order("uninstall"), PLACE)
