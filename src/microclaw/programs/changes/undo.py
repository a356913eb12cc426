"""Takes changes back: all of the newest turn, newest first. Each undo is itself a change in the change log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, convert

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
from microclaw.programs.changes.change_log import SCHEDULED, Change, SetLevel, SetPwm, StopApp, chat_of
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

    With `device_id` it is the newest turn that changed that device, and only its changes there. With `conversation` it
    is the newest of that conversation.
    """

    by: str
    change_id: int | None = None
    device_id: str | None = None
    conversation: str | None = None

    def covers(self, person: str, conversation: str | None) -> bool:
        """True for an act of which the newest is meant. A schedule's was told in its chat, and is meant there alone."""
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
            taken: list[RevertedChange] = []
            undone: list[Change] = []
            left: list[str] = []
            steps: dict[str, None] = {}
            silent: dict[str, MicroclawError] = {}  # by device: it is not waited for again
            for change in changes:
                try:
                    error = silent.get(change.device_id)
                    if error is not None:
                        raise error
                    taken.append(await self._take_back(change, report))
                    undone.append(change)
                except MicroclawError as exc:
                    if len(changes) == 1:
                        raise
                    if isinstance(exc, DeviceUnreachable | DeviceTimeout):
                        silent[change.device_id] = exc
                    left.append(f"{change_text(change)}: {exc.message}")
                    if exc.next_step:
                        steps |= {exc.next_step: None}
                    else:
                        steps |= {}
                    report(Step("undo", f"not undone: {left[-1]}", "failed", next_step=exc.next_step))
            if left:
                text = f"{self._text(undone) if undone else 'nothing was undone'}; not undone: {'; '.join(left)}"
                raise UndoIncomplete(text, next_step="; ".join(steps) or "microclaw app changes")
            return Undone(text=self._text(undone) + await self._left_out(choice, changes[0]), taken=taken)

    async def _left_out(self, choice: UndoChoice, last: Change) -> str:
        """The part of a turn that nothing reverts: on devices that were removed."""
        if last.turn is None or choice.change_id is not None or choice.device_id is not None:
            return ""
        known = {device.device_id for device in self._devices.list()}
        of_turn = await self._change_log.changes_of_turn(last.turn)
        gone = [one for one in of_turn if in_force(one) and one.undoes is None and one.device_id not in known]
        if gone:
            return f"; skipped, as its device was removed: {', '.join(map(change_text, gone))}"
        return ""

    async def chosen(self, choice: UndoChoice) -> tuple[Change, ...]:
        """The changes that `undo` would revert now, newest first, at least one. Raises as `undo` does.

        PermissionRefused for what another person did, unless an owner names it. What cannot be reverted is told
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
        names = {device.device_id: device.name for device in self._devices.list()}
        if choice.change_id is not None:
            change = await self._change_log.change(choice.change_id)
            if change.person != choice.by:
                self._gate.check_owner(choice.by, f"undo change {change.change_id}, which is not theirs")
            if change.device_id not in names:
                text = f"{change_text(change)} cannot be undone: its device was removed"
                raise DeployRejected(text, next_step=_LIST)
            return (change,)
        history = await self._change_log.changes(choice.device_id, _LOOK_BACK)
        last = await self._newest(choice, history, names)
        if last.turn is None:
            return (last,)
        asked = names.keys() if choice.device_id is None else {choice.device_id}
        of_turn = await self._change_log.changes_of_turn(last.turn)
        numbers = {change.change_id for change in of_turn if change.device_id in asked}
        everything = {change.change_id: change for change in (*history, *of_turn)}
        newest_first = [everything[number] for number in sorted(everything, reverse=True)]
        return tuple(change for change in changes_to_revert(newest_first) if change.change_id in numbers)

    async def _newest(self, choice: UndoChoice, history: Sequence[Change], names: dict[str, str]) -> Change:
        """The newest change that is meant and can be reverted. `history` is newest first.

        Raises UnknownName when there is none, UndoElsewhere when the newest that can be is not what was meant, and
        DeployRejected when something newer failed or waits: "undo" after it means that one, of which there is nothing
        to revert, and an older one would be a surprise.
        """
        found = changes_to_revert(history)
        here = [change for change in found if change.device_id in names]
        theirs = [change for change in here if change.person == choice.by]
        own = [change for change in here if choice.covers(change.person, change.conversation)]
        if own:
            last = own[0]
        else:
            last = None
        for act in reversed(await self._deferred.waiting(choice.device_id)):
            is_meant = act.device_id in names and choice.covers(act.person_id, act.conversation)
            if is_meant and (last is None or act.at_ms >= last.at_ms):
                name = names[act.device_id]
                step = f"drop it: microclaw app cancel {act.name} -d {name}"
                raise _not_meant(f"{act.text(name)}, is deferred and has changed nothing yet", last, step)
        if last is None:
            raise _nothing_of_this(choice, here, history, names)
        meant = [change for change in history if choice.covers(change.person, change.conversation)]
        wanted = (one for one in meant if one.undoes is None and one.kind in _PROGRAM_KINDS)
        failed = next((change for change in wanted if change.state == "failed"), None)  # it is not there
        if failed is not None and failed.change_id > last.change_id and _apart(failed, last):
            raise _not_meant(f"{change_text(failed)}, failed and nothing of it is left to undo", last)
        # `last` is the newest of this conversation, so a newer change of the same pin or program is from elsewhere.
        newer = [change for change in theirs if change.change_id > last.change_id and change.subject == last.subject]
        if newer:
            raise _request_instead(newer, f"after {change_text(last)} came an act from elsewhere")
        newest = next(change for change in meant if change in found)
        if newest.device_id not in names and _apart(newest, last):
            why = f"the newest, {change_text(newest)}, cannot be undone, as its device was removed; before it"
            raise _request_instead(own, why)
        return last

    async def _take_back(self, change: Change, report: Report) -> RevertedChange:
        await self._check(change)
        device = change.device_id
        undoes = change.change_id
        back = change.inverse
        assert back is not None
        made: ChangeResult | PinChange
        if isinstance(back, SetLevel | SetPwm):
            try:
                made = await self._direct_io.act(device, back, undoes=undoes)
            except PinClaimed as exc:  # its program has it again, and goes on
                raise PinClaimed(exc.message, next_step=f"{exc.next_step}; then: microclaw app undo {undoes}") from exc
        else:
            request = ChangeRequest(device, back.name, back.act, version=back.version, undoes=undoes)
            made = await self._changes.apply(request, report)
        report(Step("undo", self._text([change])))
        evidence = convert(made.evidence, EvidenceObject, from_attributes=True)
        return RevertedChange(undone=undoes, by=made.change_id, evidence=evidence)

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
        """A pin is told as it is now: heard aloud, "undone: set pin 4 high" is a pin that is high."""
        said = []
        for undone in changes:
            text = undone.summary
            back = undone.inverse
            if isinstance(back, SetLevel | SetPwm):
                now = call_words(back, self._devices.get(undone.device_id).name).removeprefix("set ")
                text = f"{now} {'already' if undone.forward == back else 'again'}"  # already: it had changed nothing
            elif isinstance(back, StopApp):
                text += f", and {back.name} is kept without being started"
            said.append(f"{text} (change {undone.change_id})")
        return f"undone: {', '.join(said)}"


def in_force(change: Change) -> bool:
    """True if the change is done, not reverted, and was asked for: the reconciler's own changes were not."""
    return change.state == "done" and change.undone_by is None and change.kind not in _LEFT_ALONE


def changes_to_revert(history: Sequence[Change]) -> tuple[Change, ...]:
    """The changes of `history` (newest first) that are in force and are not undos themselves. A redo is included."""
    by_id = {change.change_id: change for change in history}
    return tuple(change for change in history if in_force(change) and not _goes_back(change, by_id))


def undoable(history: Sequence[Change]) -> frozenset[int]:
    """The numbers of the changes of `history` (newest first) that can be reverted now, or brought back."""
    counting = {change.change_id for change in changes_to_revert(history)}
    newer: set[str] = set()
    numbers: set[int] = set()
    for change in history:
        if in_force(change) and change.inverse is not None and change.subject not in newer:
            numbers.add(change.change_id)
        if change.change_id in counting:
            newer.add(change.subject)
    return frozenset(numbers)


def change_text(change: Change) -> str:
    """The change in words, with its number."""
    return f"{change.summary} (change {change.change_id})"


def _not_meant(newest: str, last: Change | None, *steps: str) -> DeployRejected:
    """Of the newest act there is nothing to revert, and `last` is an older one."""
    if last is None:
        before = []
    else:
        before = [f"microclaw app undo {last.change_id} reverts the one before it ({last.summary})"]
    return DeployRejected(f"the newest, {newest}; nothing was done", next_step="; ".join((*steps, *before)))


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
    undone = next((change.change_id for change in history if in_force(change) and change.person == choice.by), None)
    if undone is None:
        again = ""
    else:
        again = f"what was undone last comes back with: microclaw app undo {undone}; "
    if choice.device_id is None:
        where = "boards"
    else:
        where = names.get(choice.device_id, choice.device_id)
    return UnknownName(f"of the changes on {where} there is nothing to undo", next_step=f"{again}{_LIST}")


def _request_instead(theirs: Sequence[Change], why: str) -> UndoElsewhere:
    """Return the error that names the newest request of these changes (newest first), for the person to say yes to.

    `why` says why it is not what was meant."""
    newest = theirs[0]
    request = [change for change in theirs if change is newest or not _apart(change, newest)]
    text = f"{why}: {', '.join(map(change_text, request))}"
    return UndoElsewhere(text, tuple(change.change_id for change in request))


def _apart(one: Change, other: Change) -> bool:
    """True if they are not of one turn or request."""
    return one.turn is None or one.turn != other.turn


def _goes_back(change: Change | None, by_id: dict[int, Change]) -> bool:
    """True for an undo, False for a redo (the undo of an undo) and for everything else."""
    return change is not None and change.undoes is not None and not _goes_back(by_id.get(change.undoes), by_id)
