"""Acts on programs of a board that does not answer: kept, done once when it is back, told."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.programs.conftest import make_trial

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
from microclaw.host.store.apps import MAX_WAITING
from microclaw.programs.changes.change_log import ChangeOrigin, change_origin
from microclaw.programs.changes.deferring import MAX_TRIES, DeferredAct, DeferredChange, Order
from microclaw.programs.changes.deployment import Place
from microclaw.programs.changes.program_state import Act

OFF = DeviceUnreachable("nobody there", next_step="switch it on")
CUT = InstallInterrupted("it went away", outcome="unknown", next_step="look")
PLACE = Place("owner", "terminal", "terminal")


class Notes:
    def __init__(self, lab: Any) -> None:
        self.told: list[tuple[str, bool]] = []
        lab.tell = self._tell

    async def _tell(self, place: Place | None, device: str, note: str, alarm: str | None) -> None:
        assert (place, device) == (PLACE, "paper")
        assert alarm in (None, "deferred_failed")
        self.told.append((note, alarm is None))

    def went_well(self) -> list[bool]:
        return [is_well for _, is_well in self.told]


@pytest.fixture
def notes(lab: Any) -> Notes:
    lab.transport.away = OFF
    return Notes(lab)


async def order(
    lab: Any, name: str = "blink", act: Act = "install", source: str | None = "v1", **more: Any
) -> DeferredAct:
    request = lab.request(name, act, source=source if act in ("install", "upgrade") else None, **more)
    with change_origin(ChangeOrigin("turn-1", "owner")):
        kept: DeferredChange = await lab.deferrals.keep(request, PLACE, "nobody there", lab.steps.append)
    return kept.act


async def back(lab: Any, name: str = "blink", pin: int = 2) -> None:
    """The board answers again, and the reconciler looks."""
    lab.transport.away = None
    lab.monotonic_s += 60
    lab.transport.edges.clear()
    lab.plays(name, pin)
    await lab.reconciler.check_due()


async def meanwhile(lab: Any, act: Act = "install", name: str = "blink", source: str = "v0", pin: int = 2) -> None:
    """The board is there for one act."""
    lab.transport.away = None
    await (lab.deploy(name, source, pin) if act == "install" else lab.act(act, name))
    lab.transport.away = OFF


async def test_an_installation_is_tried_now_and_done_and_told_when_the_board_is_back(lab: Any, notes: Notes) -> None:
    act = await order(lab)
    assert lab.tried == ["blink"]
    assert act.order.version is not None
    assert (await lab.conditions(), await lab.states()) == ({"blink": "deferred"}, [])
    await lab.reconciler.check_due()
    assert notes.told == []
    assert lab.reconciler.status()[0].unreachable_since_ms is not None
    await back(lab)
    [(note, is_well)] = notes.told
    assert "deferred: install blink on paper: done. counted on the board" in note
    assert is_well
    assert lab.running() == {"blink": "v1"}
    [change] = await lab.change_log.changes()
    assert (change.state, change.turn, change.person) == ("done", "turn-1", "owner")
    await lab.reconciler.check_due()
    assert lab.transport.calls.count("apps.install") == 1
    assert len(notes.told) == 1


async def test_what_is_wrong_is_told_when_it_is_ordered(lab: Any, notes: Notes) -> None:
    lab.trials["blink"] = make_trial(ok=False, error="trapped")
    with pytest.raises(TrialFailed):
        await order(lab)
    with pytest.raises(AppNotFound):
        await order(lab, "none", "upgrade")
    await meanwhile(lab, name="other", pin=4)
    with pytest.raises(DeployRejected):
        await order(lab, "other", "start")
    assert await lab.deferrals.log.waiting() == ()


async def test_the_question_is_asked_when_it_is_ordered_and_a_pin_taken_since_is_not_forced(
    lab: Any, notes: Notes
) -> None:
    asked: list[str] = []

    async def no(text: str, *_: object) -> None:
        asked.append(text)
        raise PermissionRefused("no", next_step="ask again")

    with pytest.raises(PermissionRefused):
        await order(lab, approve=no)
    assert asked == ["put blink on paper, when it is back"]
    assert await lab.deferrals.log.waiting() == ()

    async def yes(text: str, *_: object) -> None:
        asked.append(text)

    await order(lab, approve=yes)
    await meanwhile(lab, name="other")  # it takes the pin
    await back(lab)
    assert len(asked) == 2
    [(note, is_well)] = notes.told
    assert "deferred: install blink on paper: failed. pin 2 is driven by other on paper" in note
    assert not is_well
    assert await lab.conditions() == {"other": "listed"}


async def test_pins_and_places_of_what_waits_are_claimed_when_the_next_is_ordered(lab: Any, notes: Notes) -> None:
    await meanwhile(lab)
    with pytest.raises(PinClaimed) as taken:
        await order(lab, "other")
    assert "microclaw app uninstall blink -d paper --when-back" in str(taken.value.next_step)
    await order(lab, act="uninstall")
    await order(lab, "other")
    with pytest.raises(PinClaimed):
        await order(lab, "third")
    await back(lab, "other")
    assert list(lab.running()) == ["other"]
    assert notes.went_well() == [True, True]
    lab.transport.away = OFF
    for number in range(lab.registry.get("paper").board.firmware.max_apps):
        lab.plays(f"a{number}", 4 + number)
        if number:
            await order(lab, f"a{number}")
    with pytest.raises(TooManyApps) as full:
        await order(lab, "a0")
    assert "a1 (deferred), a2 (deferred), other" in full.value.message
    assert "microclaw app cancel a1 -d paper" in str(full.value.next_step)
    await lab.deferrals.cancel("paper", "a1")
    await order(lab, "a0")


@pytest.mark.parametrize(("act", "left"), [("uninstall", {}), ("stop", {"blink": "stopped"})])
async def test_a_program_that_shall_go_is_not_put_back_first_and_a_stopped_one_is_started(
    lab: Any, notes: Notes, act: Act, left: dict[str, str]
) -> None:
    await meanwhile(lab)
    await order(lab, act=act)
    assert await lab.conditions() == {"blink": "deferred"}
    lab.transport.apps.clear()  # the board lost its power
    lab.transport.calls.clear()
    await back(lab)
    assert "apps.install" not in lab.transport.calls
    assert await lab.conditions() == left
    assert notes.went_well() == [True]
    if act == "stop":
        lab.transport.away = OFF
        await order(lab, act="start")
        await back(lab)
        assert await lab.conditions() == {"blink": "listed"}
        assert "start blink on paper: done. counted" in notes.told[-1][0]


async def test_a_newer_act_replaces_it_and_what_is_cancelled_is_not_done(lab: Any, notes: Notes) -> None:
    for source in ("v1", "v2"):
        await order(lab, source=source)
    await meanwhile(lab, source="v3")
    lab.plays("other", 4)
    await order(lab, "other")
    await lab.deferrals.cancel("paper", "other")
    with pytest.raises(AppNotFound):
        await lab.deferrals.cancel("paper", "other")
    await back(lab)
    assert (lab.running(), notes.told, await lab.states()) == ({"blink": "v3"}, [], ["done"])


@pytest.mark.parametrize(("waiting", "act"), [("install", "uninstall"), ("stop", "start")])
async def test_what_a_deferred_act_stands_in_the_way_of_names_it(
    lab: Any, notes: Notes, waiting: Act, act: Act
) -> None:
    if waiting == "stop":
        await meanwhile(lab)
    await order(lab, act=waiting)
    with pytest.raises(DeployRejected, match=f"{waiting} blink on paper is deferred") as refused:
        await order(lab, act=act)
    assert "microclaw app cancel blink -d paper" in str(refused.value.next_step)


async def test_undo_does_not_take_back_an_older_act_instead(lab: Any, notes: Notes) -> None:
    await meanwhile(lab, name="other", pin=4)
    lab.plays("blink", 2)
    await order(lab)
    with pytest.raises(DeployRejected):
        await lab.take_back()
    await lab.deferrals.cancel("paper", "blink")
    lab.transport.away = None
    await lab.take_back()
    assert lab.running() == {}
    lab.transport.away = OFF
    await order(lab)
    with pytest.raises(DeployRejected):
        await lab.take_back()


@pytest.mark.parametrize("happened", [True, False])
async def test_an_installation_that_is_cut_short_is_done_once(lab: Any, notes: Notes, happened: bool) -> None:
    await order(lab)
    lab.transport.swallow = happened
    lab.transport.fail["apps.install"] = CUT
    await back(lab)
    assert (notes.told, await lab.conditions()) == ([], {"blink": "deferred"})
    with pytest.raises(DeployRejected):
        await lab.deferrals.cancel("paper", "blink")
    lab.rebuild()
    await back(lab)
    [(note, is_well)] = notes.told
    assert ("the device's list says that it is done" in note) is happened
    assert is_well
    assert lab.transport.calls.count("apps.install") == (1 if happened else 2)
    assert await lab.conditions() == {"blink": "listed"}


@pytest.mark.parametrize(
    ("error", "tries", "words"),
    [
        (CUT, MAX_TRIES, f"failed. it was cut short {MAX_TRIES} times"),
        (InvalidModule("invalid WASM version."), 1, "failed. invalid WASM version."),
    ],
)
async def test_one_that_is_refused_or_cut_short_again_and_again_is_given_up_and_told(
    lab: Any, notes: Notes, error: Exception, tries: int, words: str
) -> None:
    await order(lab)
    for _ in range(MAX_TRIES + 1):
        lab.transport.fail["apps.install"] = error
        await back(lab)
    [(note, is_well)] = notes.told
    assert words in note
    assert not is_well
    assert lab.transport.calls.count("apps.install") == tries


async def test_an_outcome_that_could_not_be_told_is_told_later_as_it_was(lab: Any, notes: Notes) -> None:
    await order(lab)
    tell = lab.tell

    async def full(*_given: Any) -> None:
        raise Overloaded("the chat is full", next_step="wait")

    lab.tell = full
    await back(lab, "other", 7)  # of blink no edge comes
    lab.rebuild()
    lab.tell = tell
    await back(lab)
    assert notes.went_well() == [False]


async def test_a_device_keeps_so_many_acts_and_no_more(lab: Any, notes: Notes) -> None:
    act = DeferredAct(0, lab.device_id, "more", 0, Order("uninstall"), "owner", None, PLACE)
    for number in range(MAX_WAITING):
        await lab.deferrals.log.add(replace(act, name=f"p{number}"))
    with pytest.raises(Overloaded):
        await lab.deferrals.log.add(act)
