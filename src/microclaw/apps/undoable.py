"""The changes that can be undone, and the one that "undo" means. Touches no device and undoes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from microclaw.apps.change_log import Change
from microclaw.errors import DeployRejected, UndoElsewhere, UnknownName
from microclaw.store.apps import undone_already

_LEFT_ALONE: Final = ("app.restore", "app.restart")
_PROGRAM_KINDS: Final = ("app.deploy", "app.upgrade", "app.start")


def in_force(change: Change) -> bool:
    """True if the change is done, not reverted, and was asked for: the reconciler's own changes were not."""
    return change.state == "done" and change.undone_by is None and change.kind not in _LEFT_ALONE


def to_take_back(history: Sequence[Change]) -> tuple[Change, ...]:
    """The changes of `history` (newest first) that are in force and are not undos themselves. A redo is included."""
    by_id = {change.change_id: change for change in history}
    return tuple(change for change in history if in_force(change) and not _goes_back(change, by_id))


def newest(
    history: Sequence[Change], person: str | None = None, conversation: str | None = None, device: str | None = None
) -> Change:
    """The newest change (of this person, of this conversation) that can be reverted.

    `device` is the name of the one device that the history is of, None for all.

    Raises UnknownName when there is none, UndoElsewhere when this person made some, but none in this conversation, and
    DeployRejected when a newer one failed: "undo" after it means that one, of which nothing is left, and an older one
    would be a surprise.
    """
    found = to_take_back(history)
    theirs = [change for change in found if person in (None, change.person)]
    own = [change for change in theirs if conversation in (None, change.conversation)]
    if theirs and not own:
        why = "nothing of yours in this conversation can be reverted; your newest act was made elsewhere"
        raise request_instead(theirs, why)
    if own:
        history = [change for change in history if conversation in (None, change.conversation)]
        _check_none_failed_since(own[0], history, person)
        return own[0]
    if found:
        raise UnknownName(
            f"there is nothing of yours to undo; the newest is somebody else's: {change_text(found[0])}",
            next_step=f"an owner may: microclaw app undo {found[0].change_id}",
        )
    raise _nothing_left(history, person, device)


def _nothing_left(history: Sequence[Change], person: str | None, device: str | None) -> UnknownName:
    """The changes that can still be undone: an undo of theirs, by its number, and what is no change on a board."""
    undos = (change for change in history if in_force(change) and person in (None, change.person))
    again = next((f"what was undone last comes back with: microclaw app undo {one.change_id}; " for one in undos), "")
    return UnknownName(
        f"of the changes on {device or 'boards'} there is nothing to undo",
        next_step=f"{again}a schedule is removed with: microclaw schedule rm NUMBER; "
        "a line of the memory with: microclaw memory edit; what was changed: microclaw app changes",
    )


def request_instead(theirs: Sequence[Change], why: str) -> UndoElsewhere:
    """The newest request of these changes (newest first), for the person to say yes to; `why` not what was meant."""
    last = theirs[0]
    request = [one for one in theirs if one is last or (last.turn is not None and one.turn == last.turn)]
    told = ", ".join(map(change_text, request))
    step = "; ".join(f"microclaw app undo {one.change_id}" for one in request)
    return UndoElsewhere(f"{why}: {told}", next_step=step)


def _check_none_failed_since(change: Change, history: Sequence[Change], person: str | None) -> None:
    failed = next((one for one in history if person in (None, one.person) and _is_failed_program(one)), None)
    if (
        failed is None
        or failed.change_id < change.change_id
        or (failed.turn is not None and failed.turn == change.turn)
    ):
        return
    raise DeployRejected(
        f"the newest, {change_text(failed)}, failed and nothing of it is left to undo; nothing was done",
        next_step=f"microclaw app undo {change.change_id} reverts the one before it ({change.summary})",
    )


def _is_failed_program(change: Change) -> bool:
    """True if a person wanted a program on a device, and it is not there."""
    return change.state == "failed" and change.undoes is None and change.kind in _PROGRAM_KINDS


def change_text(change: Change) -> str:
    """The change in words, with its number."""
    return f"{change.summary} (change {change.change_id})"


def check_undoable(change: Change, history: Sequence[Change]) -> None:
    """Raise DeployRejected when it is not in force, or when a newer change of the same app or pin is."""
    if change.undone_by is not None:
        raise undone_already(change.change_id, change.summary, change.undone_by)
    if not in_force(change):
        raise DeployRejected(
            f"change {change.change_id} ({change.summary}) is {change.state}: there is nothing to undo",
            next_step="list the changes: microclaw app changes",
        )
    for newer in to_take_back(history):
        if newer.change_id > change.change_id and _same(newer, change):
            raise DeployRejected(
                f"change {newer.change_id} ({newer.summary}) came after it",
                next_step=f"undo that first: microclaw app undo {newer.change_id}",
            )


def check_known_before(change: Change, history: Sequence[Change]) -> None:
    """Raise DeployRejected when it is not known what was there before the change."""
    if change.inverse is None:
        raise DeployRejected(
            f"change {change.change_id} ({change.summary}) cannot be undone: what was before it is not known",
            next_step=older_step(change, history),
        )


def older_step(change: Change, history: Sequence[Change]) -> str:
    """The next step when a change stays: the next older one of another turn that can be reverted."""
    for older in to_take_back(history):
        apart = change.turn is None or older.turn != change.turn
        if older.change_id < change.change_id and apart and not _same(older, change):
            return f"microclaw app undo {older.change_id} reverts an older one ({older.summary})"
    return "microclaw app undo NUMBER reverts an older one; list them: microclaw app changes"


def previous(change: Change, history: Sequence[Change]) -> Change | None:
    """The change of the same app or pin before it."""
    return next(
        (c for c in history if c.change_id < change.change_id and c.state == "done" and _same(c, change)),
        None,
    )


def _same(one: Change, other: Change) -> bool:
    return (one.device_id, one.subject) == (other.device_id, other.subject)


def _goes_back(change: Change, by_id: dict[int, Change]) -> bool:
    """True for an undo, False for a redo (the undo of an undo) and for everything else."""
    back = False
    while change.undoes is not None:
        back = not back
        earlier = by_id.get(change.undoes)
        if earlier is None:
            break
        change = earlier
    return back
