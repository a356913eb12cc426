"""Takes changes back: all of the newest turn, newest first. Each undo is itself a change in the change log."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from microclaw.conversion import convert
from microclaw.devices.registry.call_text import call_words
from microclaw.errors import (
    DeployRejected,
    DeviceTimeout,
    DeviceUnreachable,
    MicroclawError,
    PinClaimed,
    UndoElsewhere,
    UndoIncomplete,
    UnknownName,
)
from microclaw.events import Report, Step
from microclaw.host.auth.gate import Gate
from microclaw.host.store.apps import already_undone_error
from microclaw.programs.changes.change_log import (
    SCHEDULED,
    AppVersion,
    Change,
    DeviceAction,
    PutApp,
    SetLevel,
    SetPwm,
    StartApp,
    StopApp,
    SwitchOff,
    chat_of,
)
from microclaw.programs.changes.change_text import replacements
from microclaw.programs.changes.changes import ProgramChanges
from microclaw.programs.changes.deferring import DeferredLog
from microclaw.programs.changes.deployment import ChangeRequest, ChangeResult
from microclaw.programs.changes.direct_io import DirectIo, PinChange, booted_ms
from microclaw.programs.changes.installer import Installer
from microclaw.programs.changes.results import RevertedChange, Undone
from microclaw.wire.host_api import EvidenceObject

_LOOK_BACK: Final = 500  # changes, and how deep `_goes_back` goes
_LEFT_ALONE: Final = ("app.restore", "app.restart")
_PROGRAM_KINDS: Final = ("app.deploy", "app.upgrade", "app.start")
_LIST: Final = "list the changes: microclaw app changes"


class UndoChoice(Struct, frozen=True):
    """The change that the person `by` wants undone: the one with this number, else all of their newest turn or request.

    A program that was taken off for another one is undone with it, whichever of the two the number names.

    With `device_id` it is the newest turn that changed that device, and only its changes there. With `conversation` it
    is the newest of that conversation.
    """

    by: str
    change_id: int | None = None
    device_id: str | None = None
    conversation: str | None = None

    def covers(self, person: str, conversation: str | None) -> bool:
        """Return True for an act of which the newest is meant.

        The act of a schedule was reported in its chat, and is meant only there.
        """
        where = conversation or ""
        if self.conversation is None:
            is_here = not where.startswith(SCHEDULED)
        else:
            is_here = chat_of(where) == self.conversation
        return is_here and person == self.by


class Undo:
    """Everybody reverts their own changes; an owner also those of others, by number."""

    def __init__(self, installer: Installer, *, changes: ProgramChanges, direct_io: DirectIo, gate: Gate) -> None:
        self._gate = gate
        self._devices = installer.devices
        self._change_log = installer.change_log
        self._deferred = DeferredLog(self._change_log.database, self._change_log.now_ms)
        self._changes = changes
        self._direct_io = direct_io
        self._one_at_a_time = asyncio.Lock()  # two at the same time would choose the same change

    async def undo(self, choice: UndoChoice, report: Report) -> Undone:
        """Revert the changes that `chosen` gives, newest first.

        Undoing an undo by its number is a redo; without a number, undos are skipped. If one of several changes cannot
        be reverted, the others still are, and UndoIncomplete says which were and which were not. For a single change
        the reason itself is raised: UnknownName or UndoElsewhere when there is nothing to undo; DeployRejected when a
        newer change of the same app or pin is in force or the board restarted since; else the error of the change or
        the device.
        """
        async with self._one_at_a_time:
            changes = await self._chosen(choice)
            reversal = _Reversal()
            for change in changes:
                try:
                    result = await self._take_back_unless_silent(change, reversal, report)
                except MicroclawError as exc:
                    if len(changes) == 1:
                        raise
                    text = reversal.add_failure(change, exc)
                    report(Step("undo", f"not undone: {text}", "failed", next_step=exc.next_step))
                else:
                    reversal.taken.append(result)
                    reversal.undone.append(change)
            text = "nothing was undone"
            if reversal.undone:
                text = self._text(reversal.undone)
            if reversal.left:
                steps = "; ".join(reversal.steps) or "microclaw app changes"
                raise UndoIncomplete(f"{text}; not undone: {'; '.join(reversal.left)}", next_step=steps)
            skipped = await self._skipped_text(choice, changes[0])
            return Undone(text=text + skipped, taken=reversal.taken)

    async def _take_back_unless_silent(self, change: Change, reversal: _Reversal, report: Report) -> RevertedChange:
        error = reversal.silent.get(change.device_id)
        if error is not None:
            raise error
        return await self._take_back(change, report)

    async def _skipped_text(self, choice: UndoChoice, last: Change) -> str:
        """Return what of a turn nothing reverts, in words: changes on devices that were removed."""
        if last.turn is None or choice.change_id is not None or choice.device_id is not None:
            return ""
        names = self._device_names()
        skipped = []
        for change in await self._change_log.changes_of_turn(last.turn):
            if in_force(change) and change.undoes is None and change.device_id not in names:
                skipped.append(change_text(change))
        if skipped:
            return f"; skipped, as its device was removed: {', '.join(skipped)}"
        return ""

    def _device_names(self) -> dict[str, str]:
        """Return the names of the devices that the host has, by their ids."""
        return {device.device_id: device.name for device in self._devices.list()}

    async def chosen(self, choice: UndoChoice) -> tuple[Change, ...]:
        """Return the changes that `undo` would revert now, newest first, at least one. Raises as `undo` does.

        PermissionRefused for what another person did, unless an owner names it. What cannot be reverted is reported
        here, before a person is asked to approve it.
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
        names = self._device_names()
        if choice.change_id is not None:
            return await self._with_other_half(await self._numbered(choice.change_id, choice.by, names))
        history = await self._change_log.changes(choice.device_id, _LOOK_BACK)
        last = await self._newest(choice, history, names)
        if last.turn is None:
            return (last,)
        device_ids = set(names)
        if choice.device_id is not None:
            device_ids = {choice.device_id}
        everything = {change.change_id: change for change in history}
        numbers = set()
        for change in await self._change_log.changes_of_turn(last.turn):
            everything[change.change_id] = change
            if change.device_id in device_ids:
                numbers.add(change.change_id)
        newest_first = [everything[number] for number in sorted(everything, reverse=True)]
        changes = [change for change in changes_to_revert(newest_first) if change.change_id in numbers]
        left = _without_returns(changes)
        if not left:
            texts = ", ".join(change.summary for change in reversed(changes))
            raise _not_meant(f"{texts}, left all as it was before", None, _LIST)
        return left

    async def _with_other_half(self, change: Change) -> tuple[Change, ...]:
        """Return the change, and of a replacement the other half if it can be reverted too; newest first."""
        history = await self._change_log.changes(change.device_id, _LOOK_BACK)
        other = replacements(history).get(change.change_id)
        if other is None or other.change_id not in undoable(history):
            return (change,)
        return tuple(sorted((change, other), key=lambda half: half.change_id, reverse=True))

    async def _numbered(self, change_id: int, person: str, names: dict[str, str]) -> Change:
        change = await self._change_log.change(change_id)
        if change.person != person:
            self._gate.check_owner(person, f"undo change {change.change_id}, which is not theirs")
        if change.device_id not in names:
            text = f"{change_text(change)} cannot be undone: its device was removed"
            raise DeployRejected(text, next_step=_LIST)
        return change

    async def _newest(self, choice: UndoChoice, history: Sequence[Change], names: dict[str, str]) -> Change:
        """Return the newest change that is meant and can be reverted. `history` is newest first.

        Raises UnknownName when there is none, UndoElsewhere when the newest that can be is not what was meant, and
        DeployRejected when something newer failed or waits: "undo" after it means that one, of which there is nothing
        to revert, and an older one would be a surprise.
        """
        revertible = changes_to_revert(history)
        here = [change for change in revertible if change.device_id in names]
        own = [change for change in here if choice.covers(change.person, change.conversation)]
        last = own[0] if own else None
        await self._refuse_deferred(choice, last, names)
        if last is None:
            raise _nothing_of_this(choice, here, history, names)
        meant = [change for change in history if choice.covers(change.person, change.conversation)]
        _refuse_failed(meant, last)
        # `last` is the newest of this conversation, so a newer change of the same pin or program is from elsewhere.
        newer = []
        for change in here:
            if change.person == choice.by and change.subject == last.subject and change.change_id > last.change_id:
                newer.append(change)
        if newer:
            raise _request_instead(newer, f"after {change_text(last)} came an act from elsewhere")
        newest = next(change for change in meant if change in revertible)
        if newest.device_id not in names and _apart(newest, last):
            why = f"the newest, {change_text(newest)}, cannot be undone, as its device was removed; before it"
            raise _request_instead(own, why)
        return last

    async def _refuse_deferred(self, choice: UndoChoice, last: Change | None, names: dict[str, str]) -> None:
        """Raise DeployRejected if an act that is meant is newer than `last` and still waits for its device."""
        for act in reversed(await self._deferred.waiting(choice.device_id)):
            is_meant = act.device_id in names and choice.covers(act.person_id, act.conversation)
            if is_meant and (last is None or act.at_ms >= last.at_ms):
                name = names[act.device_id]
                step = f"drop it: microclaw app cancel {act.name} -d {name}"
                raise _not_meant(f"{act.text(name)}, is deferred and has changed nothing yet", last, step)

    async def _take_back(self, change: Change, report: Report) -> RevertedChange:
        await self._check(change)
        device = change.device_id
        undoes = change.change_id
        back = change.inverse
        assert back is not None
        result: ChangeResult | PinChange
        if isinstance(back, SetLevel | SetPwm):
            try:
                result = await self._direct_io.act(device, back, undoes=undoes)
            except PinClaimed as exc:
                # Its program has the pin again, and goes on.
                raise PinClaimed(exc.message, next_step=f"{exc.next_step}; then: microclaw app undo {undoes}") from exc
        else:
            request = ChangeRequest(device, back.name, back.act, version=back.version, undoes=undoes)
            result = await self._changes.apply(request, report)
        report(Step("undo", self._text([change])))
        evidence = convert(result.evidence, EvidenceObject, from_attributes=True)
        return RevertedChange(undone=undoes, by=result.change_id, evidence=evidence)

    async def _check(self, change: Change) -> None:
        """Raise what keeps it from being reverted: it is not in force, or a newer change of its app or pin is."""
        if change.undone_by is not None:
            raise already_undone_error(change.change_id, change.summary, change.undone_by)
        if not in_force(change):
            text = f"change {change.change_id} ({change.summary}) is {change.state}: there is nothing to undo"
            raise DeployRejected(text, next_step=_LIST)
        for newer in changes_to_revert(await self._change_log.changes(change.device_id, _LOOK_BACK)):
            if newer.change_id > change.change_id and newer.subject == change.subject:
                text = f"change {newer.change_id} ({newer.summary}) came after it"
                raise DeployRejected(text, next_step=f"undo that first: microclaw app undo {newer.change_id}")
        if change.inverse is None:
            text = f"change {change.change_id} ({change.summary}) cannot be undone: what was before it is not known"
            raise DeployRejected(text, next_step=f"microclaw app undo NUMBER reverts an older one; {_LIST}")
        if isinstance(change.inverse, SetLevel | SetPwm):
            device = self._devices.get(change.device_id)
            boot_ms = await booted_ms(device, self._change_log.now_ms)
            if boot_ms is not None and boot_ms > change.at_ms:
                text = f"{device.name} restarted since: what pin {change.inverse.pin} had before is not brought back"
                raise DeployRejected(text, next_step="set it as it is to be now")

    def _text(self, changes: Sequence[Change]) -> str:
        """Return the undone changes in words.

        A pin is described as it is now: heard aloud, "undone: set pin 4 high" is a pin that is high.
        """
        texts = []
        for change in changes:
            text = change.summary
            back = change.inverse
            if isinstance(back, SetLevel | SetPwm):
                pin_text = call_words(back, self._devices.get(change.device_id).name).removeprefix("set ")
                text = f"{pin_text} {_how_again(change)}"
            elif isinstance(back, StopApp):
                text += f", and {back.name} is kept without being started"
            texts.append(f"{text} (change {change.change_id})")
        if all(map(_is_as_before, changes)):
            return f"nothing to undo: {', '.join(texts)}"
        return f"undone: {', '.join(texts)}"


def _how_again(change: Change) -> str:
    """Return how the pin of an undone change is as it was."""
    if isinstance(change.inverse, SwitchOff):
        return "and so off: nothing had set it before"
    if _is_as_before(change):
        return "as before"
    return "again"


def _is_as_before(change: Change) -> bool:
    """Return True if the change set a pin to what it was already."""
    return isinstance(change.forward, SetLevel | SetPwm) and change.forward == change.inverse


class _Reversal:
    """The outcome of an undo so far: what was reverted, and why the rest was not."""

    def __init__(self) -> None:
        self.taken: list[RevertedChange] = []
        self.undone: list[Change] = []
        self.left: list[str] = []
        self.steps: dict[str, None] = {}
        # By device: the host does not wait for it again.
        self.silent: dict[str, MicroclawError] = {}

    def add_failure(self, change: Change, error: MicroclawError) -> str:
        """Keep why a change was not reverted; return that in words."""
        if isinstance(error, DeviceUnreachable | DeviceTimeout):
            self.silent[change.device_id] = error
        if error.next_step:
            self.steps[error.next_step] = None
        text = f"{change_text(change)}: {error.message}"
        self.left.append(text)
        return text


def in_force(change: Change) -> bool:
    """Return True if the change is done, not reverted, and was asked for: the reconciler's own changes were not."""
    return change.state == "done" and change.undone_by is None and change.kind not in _LEFT_ALONE


def changes_to_revert(history: Sequence[Change]) -> tuple[Change, ...]:
    """Return the changes of `history` (newest first) that are in force and are no undos; a redo is included."""
    by_id = {change.change_id: change for change in history}
    return tuple(change for change in history if in_force(change) and not _goes_back(change, by_id))


def undoable(history: Sequence[Change]) -> frozenset[int]:
    """Return the numbers of the changes of `history` (newest first) that can be reverted now, or brought back."""
    counting = {change.change_id for change in changes_to_revert(history)}
    newer: set[str] = set()
    numbers: set[int] = set()
    for change in history:
        is_revertible = change.inverse is not None and not _is_as_before(change)
        if in_force(change) and is_revertible and change.subject not in newer:
            numbers.add(change.change_id)
        if change.change_id in counting:
            newer.add(change.subject)
    return frozenset(numbers)


def change_text(change: Change) -> str:
    """Return the change in words, with its number."""
    return f"{change.summary} (change {change.change_id})"


def _without_returns(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Return the changes of one turn without those of a program that runs again as before it.

    A program is stopped to make room, and started again if the new one cannot be installed.
    """
    by_subject = defaultdict[tuple[str, str], list[Change]](list)
    for change in changes:
        by_subject[change.device_id, change.subject].append(change)
    returned = set[int]()
    for newest_first in by_subject.values():
        before = _started_version(newest_first[-1].inverse)
        if before is not None and before == _started_version(newest_first[0].forward):
            returned.update(change.change_id for change in newest_first)
    return tuple(change for change in changes if change.change_id not in returned)


def _started_version(action: DeviceAction | None) -> AppVersion | None:
    if isinstance(action, PutApp | StartApp):
        return action.version
    return None


def _refuse_failed(meant: Sequence[Change], last: Change) -> None:
    """Raise DeployRejected if a program's installation that is meant is newer than `last`, and failed: it is not there.

    `meant` is newest first.
    """
    for change in meant:
        if change.state == "failed" and change.undoes is None and change.kind in _PROGRAM_KINDS:
            if change.change_id > last.change_id and _apart(change, last):
                raise _not_meant(f"{change_text(change)}, failed and nothing of it is left to undo", last)
            return


def _not_meant(newest: str, last: Change | None, *steps: str) -> DeployRejected:
    """Return the error of an undo whose newest act has nothing to revert; `last` is an older one."""
    next_steps = list(steps)
    if last is not None:
        next_steps.append(f"microclaw app undo {last.change_id} reverts the one before it ({last.summary})")
    return DeployRejected(f"the newest, {newest}; nothing was done", next_step="; ".join(next_steps))


def _nothing_of_this(
    choice: UndoChoice, here: Sequence[Change], history: Sequence[Change], names: dict[str, str]
) -> MicroclawError:
    """Return the error of an undo that finds nothing of its conversation. `here` are the changes on present devices."""
    theirs = [change for change in here if change.person == choice.by]
    if theirs:
        return _request_instead(theirs, "nothing of this conversation can be undone; the newest act is from elsewhere")
    if here:
        return UnknownName(
            f"there is nothing of yours to undo; the newest is somebody else's: {change_text(here[0])}",
            next_step=f"an owner may: microclaw app undo {here[0].change_id}",
        )
    again = ""
    for change in history:
        if in_force(change) and change.person == choice.by:
            again = f"what was undone last comes back with: microclaw app undo {change.change_id}; "
            break
    where = "boards"
    if choice.device_id is not None:
        where = names.get(choice.device_id, choice.device_id)
    return UnknownName(f"of the changes on {where} there is nothing to undo", next_step=f"{again}{_LIST}")


def _request_instead(theirs: Sequence[Change], why: str) -> UndoElsewhere:
    """Return the error that names the newest request of these changes (newest first), for the person to say yes to.

    `why` says why it is not what was meant.
    """
    newest = theirs[0]
    request = [change for change in theirs if change is newest or not _apart(change, newest)]
    numbers = tuple(change.change_id for change in request)
    return UndoElsewhere(f"{why}: {', '.join(map(change_text, request))}", numbers)


def _apart(one: Change, other: Change) -> bool:
    """Return True if they are not of one turn or request."""
    return one.turn is None or one.turn != other.turn


def _goes_back(change: Change | None, by_id: dict[int, Change]) -> bool:
    """Return True for an undo, False for a redo (the undo of an undo) and for everything else."""
    return change is not None and change.undoes is not None and not _goes_back(by_id.get(change.undoes), by_id)
