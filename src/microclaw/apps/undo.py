"""Takes changes back: all of the newest turn, newest first. Each undo is itself a change in the change log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from microclaw.apps.change_log import Change, DeviceAction, SetLevel, SetPwm
from microclaw.apps.changes import ProgramChanges
from microclaw.apps.deferring import DeferredLog
from microclaw.apps.deployment import ChangeRequest, Made
from microclaw.apps.direct_io import DirectIo, PinChange, booted_ms, sees_pins
from microclaw.apps.installer import Installer
from microclaw.apps.undoable import (
    change_text,
    check_known_before,
    check_undoable,
    newest,
    older_step,
    previous,
    request_instead,
    to_take_back,
)
from microclaw.auth.gate import Gate
from microclaw.devices.call_text import duty_words
from microclaw.devices.device import Device
from microclaw.errors import (
    DeployRejected,
    DeviceTimeout,
    DeviceUnreachable,
    MicroclawError,
    UndoIncomplete,
)
from microclaw.events import Evidence, Report, Step
from microclaw.text import format_duration

_LOOK_BACK: Final = 500


async def _check_not_restarted(
    device: Device, change: Change, pin: int, history: Sequence[Change], now_ms: Callable[[], int]
) -> None:
    """Raise DeployRejected when the board restarted after the level before `change` was set."""
    boot_ms = await booted_ms(device, now_ms)
    if boot_ms is None or boot_ms <= _held_ms(device, change, history):
        return
    ago = format_duration(round((now_ms() - boot_ms) / 1000) * 1000, decimals=2)
    raise DeployRejected(
        f"{device.name} restarted {ago} ago: the level that pin {pin} had before is not brought back",
        next_step=f"set it as it is to be now; {older_step(change, history)}",
    )


def _held_ms(device: Device, change: Change, history: Sequence[Change]) -> int:
    """The last time at which the level before the change was known: at the change if read then, else when set."""
    if isinstance(change.forward, SetLevel) and isinstance(change.inverse, SetLevel) and sees_pins(device):
        return change.at_ms
    before = previous(change, history)
    return before.at_ms if before is not None and before.forward == change.inverse else change.at_ms


class UndoChoice(Struct, frozen=True):
    """The change that the person `by` wants undone: the one with this number, else all of their newest turn or request.

    With `device_id` it is the newest turn that changed that device, and only its changes there unless `whole`. With
    `conversation` it is the newest of that conversation. With `anyone` the newest turn of whomever, wherever.
    """

    by: str
    change_id: int | None = None
    device_id: str | None = None
    whole: bool = False
    anyone: bool = False
    conversation: str | None = None

    def covers(self, change: Change) -> bool:
        """True if it is one of those of which the newest is meant."""
        is_own = self.anyone or (change.person == self.by and self.conversation in (None, change.conversation))
        return is_own and self.change_id is None and self.device_id in (None, change.device_id)


class UndoneChange(Struct, frozen=True):
    """The change that was reverted, the change that did it, and the evidence.

    `restored` is how it is now: "pin 4 of lamp is low again"; None for a program.
    """

    undone: Change
    by: Change
    evidence: Evidence
    restored: str | None = None


class UndoReport(Struct, frozen=True):
    """The changes that one undo reverted, newest first, at least one. `text` names all of them."""

    taken: tuple[UndoneChange, ...]
    text: str


class Undo:
    """Everybody reverts their own changes; an owner also those of others, by number or with `anyone`."""

    def __init__(
        self,
        installer: Installer,
        *,
        changes: ProgramChanges,
        direct_io: DirectIo,
        gate: Gate,
    ) -> None:
        self._gate = gate
        self._devices, self._change_log = installer.devices, installer.change_log
        self._deferred = DeferredLog(self._change_log)
        self._changes = changes
        self._direct_io = direct_io
        self._one_at_a_time = asyncio.Lock()  # two at the same time would choose the same change

    async def undo(self, choice: UndoChoice, report: Report) -> UndoReport:
        """Revert the changes that `chosen` gives, newest first.

        Undoing an undo by its number is a redo; without a number, undos are skipped. If one of several changes cannot
        be reverted, the others still are, and UndoIncomplete says which were and which were not. For a single change
        the reason itself is raised: UnknownName or UndoElsewhere when there is nothing to undo; DeployRejected when a
        newer change of the same app or pin is in force or the board restarted since; else the error of the deployer or
        the device.
        """
        async with self._one_at_a_time:
            changes = await self._chosen(choice)
            taken: list[UndoneChange] = []
            left: list[tuple[Change, MicroclawError]] = []
            for change in changes:
                try:
                    _check_answers(change, left)
                    taken.append(await self._take_back(change, report))
                except MicroclawError as exc:
                    if len(changes) == 1:
                        raise
                    left.append((change, exc))
                    text = f"not undone: {change_text(change)}: {exc.message}"
                    report(Step("undo", text, "failed", next_step=exc.next_step))
            if left:
                raise _incomplete(taken, left)
            if skipped := await self._skipped_text(changes[0], choice):
                report(Step("undo", skipped))
            return UndoReport(tuple(taken), "; ".join(filter(None, (_undone_text(taken), skipped))))

    async def chosen(self, choice: UndoChoice) -> tuple[Change, ...]:
        """The changes that `undo` would revert now, newest first, at least one. Raises as `undo` does.

        PermissionRefused for what another person did, unless an owner asks for it. What cannot be reverted is told
        here, before anybody is asked to approve it.
        """
        changes = await self._chosen(choice)
        failures: list[MicroclawError] = []
        for change in changes:
            try:
                await self._check(change)
            except MicroclawError as exc:
                failures.append(exc)
        if len(failures) == len(changes):
            raise failures[0]
        return changes

    async def _chosen(self, choice: UndoChoice) -> tuple[Change, ...]:
        if choice.anyone:
            self._gate.check_owner(choice.by, "undo what others did")
        if choice.change_id is not None:
            change = await self._change_log.change(choice.change_id)
            if change.person != choice.by:
                self._gate.check_owner(choice.by, f"undo change {change.change_id}, which is not theirs")
            if change.device_id not in self._known():
                text = f"{change_text(change)} cannot be undone: its device was removed"
                raise DeployRejected(text, next_step="see the others: microclaw app changes")
            check_undoable(change, await self._history(change))
            return (change,)
        known, found = self._known(), await self._change_log.changes(choice.device_id, _LOOK_BACK)
        history = [change for change in found if change.device_id in known]
        person = None if choice.anyone else choice.by
        conversation = None if choice.anyone else choice.conversation
        here = [change for change in to_take_back(history) if choice.covers(change)]
        await self._deferred.check_none_since(here, person, choice.device_id, self._devices, conversation)
        name = None if choice.device_id is None else self._devices.get(choice.device_id).name
        last = newest(history, person, conversation, name)
        for gone in to_take_back(found):
            is_newer = gone.change_id > last.change_id and (gone.turn is None or gone.turn != last.turn)
            if is_newer and gone.device_id not in known and choice.covers(gone):
                why = f"the newest, {change_text(gone)}, cannot be undone, as its device was removed; before it"
                raise request_instead(here, why)
        if last.turn is None:
            return (last,)
        asked = known if choice.whole or choice.device_id is None else {choice.device_id}
        of_turn = await self._change_log.changes_of_turn(last.turn)
        numbers = {change.change_id for change in of_turn if change.device_id in asked}
        everything = {change.change_id: change for change in (*history, *of_turn)}
        newest_first = [everything[number] for number in sorted(everything, reverse=True)]
        return tuple(change for change in to_take_back(newest_first) if change.change_id in numbers)

    def _known(self) -> set[str]:
        return {device.device_id for device in self._devices.list()}

    async def _skipped_text(self, taken: Change, choice: UndoChoice) -> str:
        """The rest of the turn, on devices that were removed."""
        if taken.turn is None or choice.change_id is not None:
            return ""  # that one alone was meant
        known, found = self._known(), to_take_back(await self._change_log.changes(None, _LOOK_BACK))
        gone = [one for one in found if one.turn == taken.turn and one.device_id not in known and choice.covers(one)]
        texts = ", ".join(map(change_text, gone))
        return f"skipped, as its device was removed: {texts}" if texts else ""

    async def _take_back(self, change: Change, report: Report) -> UndoneChange:
        await self._check(change)
        assert change.inverse is not None
        made = await self._apply(change, change.inverse, report)
        taken = UndoneChange(
            await self._change_log.change(change.change_id),
            await self._change_log.change(made.change_id),
            made.evidence,
            _restored(change, self._devices.get(change.device_id).name),
        )
        report(Step("undo", _undone_text([taken])))
        return taken

    async def _check(self, change: Change) -> None:
        """Raise what keeps it from being reverted, before anything is done."""
        history = await self._history(change)
        check_undoable(change, history)
        check_known_before(change, history)
        if isinstance(change.inverse, SetLevel | SetPwm):
            device = self._devices.get(change.device_id)
            await _check_not_restarted(device, change, change.inverse.pin, history, self._change_log.now_ms)

    async def _history(self, change: Change) -> Sequence[Change]:
        return await self._change_log.changes(change.device_id, _LOOK_BACK)

    async def _apply(self, change: Change, inverse: DeviceAction, report: Report) -> Made | PinChange:
        device, undoes = change.device_id, change.change_id
        if isinstance(inverse, SetLevel | SetPwm):
            return await self._direct_io.act(device, inverse.call, undoes=undoes)
        request = ChangeRequest(device, inverse.name, inverse.act, version=inverse.version)
        return await self._changes.apply(request, report, undoes=undoes)


def _check_answers(change: Change, left: Sequence[tuple[Change, MicroclawError]]) -> None:
    """Raise the error of a device that did not answer before, instead of waiting for it again."""
    for other, error in left:
        if other.device_id == change.device_id and isinstance(error, DeviceUnreachable | DeviceTimeout):
            raise error


def _undone_text(taken: Sequence[UndoneChange]) -> str:
    """A pin as it is now: heard aloud, "undone: set pin 4 high" is a pin that is high."""
    each = (f"{one.restored} (change {one.undone.change_id})" if one.restored else None for one in taken)
    return f"undone: {', '.join(now or change_text(one.undone) for now, one in zip(each, taken, strict=True))}"


def _restored(change: Change, device_name: str) -> str | None:
    again = "already" if change.forward == change.inverse else "again"  # it had changed nothing
    match change.inverse:
        case SetLevel(pin=pin, level=level):
            return f"pin {pin} of {device_name} is {'high' if level else 'low'} {again}"
        case SetPwm(pin=pin, duty=0):
            return f"PWM on pin {pin} of {device_name} is off {again}"
        case SetPwm(pin=pin, duty=duty):
            return f"PWM on pin {pin} of {device_name} is at {duty_words(duty)} {again}"
        case _:
            return None


def _incomplete(taken: Sequence[UndoneChange], left: Sequence[tuple[Change, MicroclawError]]) -> UndoIncomplete:
    reasons: dict[str, list[Change]] = {}
    for change, error in left:
        reasons.setdefault(error.message, []).append(change)
    stays = "; ".join(f"{', '.join(map(change_text, changes))}: {reason}" for reason, changes in reasons.items())
    done = _undone_text(taken) if taken else "nothing was undone"
    steps = dict.fromkeys(error.next_step for _, error in left if error.next_step)
    return UndoIncomplete(f"{done}; not undone: {stays}", next_step="; ".join(steps) or "microclaw app changes")
