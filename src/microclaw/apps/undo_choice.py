"""Which changes an undo takes back, and what stands in the way of one: by the journal alone, no device is asked."""

from __future__ import annotations

from collections.abc import Sequence

from microclaw.apps.change import Change
from microclaw.errors import DeployRejected, UnknownName


def in_force(change: Change) -> bool:
    """Done, not taken back, and a person's: what the keeper put back is no change of mind."""
    return change.state == "done" and change.undone_by is None and change.kind != "app.restore"


def to_take_back(history: Sequence[Change]) -> tuple[Change, ...]:
    """Changes of `history` (newest first) that are in force and take nothing back themselves: a redo is one too."""
    by_id = {change.change_id: change for change in history}
    return tuple(change for change in history if in_force(change) and not _goes_back(change, by_id))


def newest(history: Sequence[Change]) -> Change:
    """Raises UnknownName when there is none."""
    found = to_take_back(history)
    if not found:
        raise UnknownName("there is nothing to undo", next_step="see what runs: microclaw app list")
    return found[0]


def named(change: Change) -> str:
    """A change in words, with its number."""
    return f"{change.summary} (change {change.change_id})"


def check_undoable(change: Change, history: Sequence[Change]) -> None:
    """Raise DeployRejected for one that is not in force, or that a newer one of its device's app or pin covers."""
    if change.undone_by is not None:
        raise DeployRejected(
            f"change {change.change_id} ({change.summary}) was undone already, by change {change.undone_by}",
            next_step=f"redo it: microclaw app undo {change.undone_by}",
        )
    if not in_force(change):
        raise DeployRejected(
            f"change {change.change_id} ({change.summary}) is {change.state}: there is nothing to take back",
            next_step="list the changes: microclaw app changes",
        )
    for newer in to_take_back(history):
        if newer.change_id > change.change_id and _same(newer, change):
            raise DeployRejected(
                f"change {newer.change_id} ({newer.summary}) came after it",
                next_step=f"undo that first: microclaw app undo {newer.change_id}",
            )


def check_known_before(change: Change, history: Sequence[Change]) -> None:
    """Raise DeployRejected when nothing is known that would take the change back."""
    if change.inverse is None:
        raise DeployRejected(
            f"change {change.change_id} ({change.summary}) cannot be undone: what was before it is not known",
            next_step=older_step(change, history),
        )


def older_step(change: Change, history: Sequence[Change]) -> str:
    """How to go on past a change that stays: the next older one that can be taken back, of another turn."""
    for older in to_take_back(history):
        apart = change.turn is None or older.turn != change.turn
        if older.change_id < change.change_id and apart and not _same(older, change):
            return f"microclaw app undo {older.change_id} takes back an older one ({older.summary})"
    return "microclaw app undo NUMBER takes back an older one; list them: microclaw app changes"


def previous(change: Change, history: Sequence[Change]) -> Change | None:
    """What this host had done to the same app or pin before it."""
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
