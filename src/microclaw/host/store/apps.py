"""Rows of images, of the apps that devices should run, and of changes with their inverses. Touches no device.

The classes of a change, a desired app and a deferred act are in the room that uses them:
programs/changes/change_log.py and deferring.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final, Generic, Literal, TypeAlias, TypeVar

from msgspec import Struct

from microclaw.errors import DeployRejected, DeviceBusy, Overloaded, UnknownName
from microclaw.host.store.journal import Work
from microclaw.host.store.rows import (
    TimedTable,
    delete,
    exists,
    first,
    insert,
    keep_newest,
    reads,
    scalar,
    select,
    update,
    writes,
)
from microclaw.host.store.sql import Sql

ChangeState: TypeAlias = Literal["planned", "done", "failed", "unknown"]
DeferredState: TypeAlias = Literal["waiting", "started", "done", "failed", "cancelled", "replaced"]
MAX_DRAFTS: Final = 20
"""The number of drafts that are kept for one device."""
MAX_WAITING: Final = 32
"""The number of deferred acts that may wait for one device."""
_KEPT_ENDED: Final = 200
MAX_NUMBER: Final = 2**63 - 1


class ImageRow(Struct, frozen=True):
    """A program's bytes under their SHA-256 (hex). `meta` is JSON text of the caller."""

    sha256: str
    code: bytes
    source: str | None
    meta: str
    created_ms: int


class ProofRow(Struct, frozen=True):
    """The proof of an image when it was installed on a device. `document` is JSON text of the caller."""

    device_id: str
    sha256: str
    at_ms: int
    document: str


class DraftRow(Struct, frozen=True):
    """A program that a tool call did not deploy: the source and expectations of the caller, and the problem."""

    device_id: str
    name: str
    at_ms: int
    person: str
    source: str
    expect: str | None
    problem: str


class ChangeRow(Struct, frozen=True):
    """The columns of a change that the store itself uses; `undoes` is the change that it reverts."""

    change_id: int
    at_ms: int
    device_id: str
    kind: str
    summary: str
    undoes: int | None


class DeferredRow(Struct, frozen=True):
    """The columns of a deferred act that the store itself uses."""

    deferred_id: int
    device_id: str
    name: str


C = TypeVar("C", bound=ChangeRow)
D = TypeVar("D")
A = TypeVar("A", bound=DeferredRow)


class AppTable(TimedTable, Generic[C, D]):
    """Images, desired apps and changes of one database: rows of `changes` are C, rows of `desired_apps` are D."""

    followed = frozenset({"changes", "desired_apps", "deferred_acts"})
    _change: type[C]
    _desired: type[D]

    @writes
    def put_image(self, sql: Sql, row: ImageRow) -> None:
        """Store an image; the same bytes are one row, with the newest source that a caller gave and its meta.

        A source that differs only in comments has the same bytes and other line numbers.
        """
        query = """INSERT INTO images (sha256, code, source, meta, created_ms) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (sha256) DO UPDATE SET source = excluded.source, meta = excluded.meta
            WHERE excluded.source IS NOT NULL"""
        sql.execute(query, (row.sha256, row.code, row.source, row.meta, row.created_ms))

    @reads
    def image(self, sql: Sql, sha256: str) -> ImageRow:
        """Return a stored image. Raises UnknownName if it is not stored."""
        row = first(sql, ImageRow, "images WHERE sha256 = ?", (sha256,))
        if row is None:
            raise UnknownName(f"no image {sha256[:12]} is stored", next_step="deploy the program again from its source")
        return row

    @writes
    def put_proof(self, sql: Sql, row: ProofRow, *, over: bool) -> None:
        """Store what an image showed on a device; without `over`, only if nothing is stored for that pair yet."""
        key = ("device_id", "sha256") if over else ()
        insert(sql, "proofs", row, over=key)

    @reads
    def proof(self, sql: Sql, device_id: str, sha256: str) -> ProofRow | None:
        return first(sql, ProofRow, "proofs WHERE device_id = ? AND sha256 = ?", (device_id, sha256))

    @writes
    def put_draft(self, sql: Sql, row: DraftRow) -> None:
        """Store a draft in place of the draft of its name, and keep the newest MAX_DRAFTS of the device."""
        insert(sql, "drafts", row, over=("device_id", "name"))
        keep_newest(sql, "drafts", MAX_DRAFTS, "at_ms", device_id=row.device_id)

    @writes
    def drop_draft(self, sql: Sql, device_id: str, name: str) -> None:
        delete(sql, "drafts", device_id=device_id, name=name)

    @reads
    def draft(self, sql: Sql, name: str, device_id: str | None = None) -> DraftRow:
        """Return the newest draft of this name, of one device or of all. Raises UnknownName."""
        where = "drafts WHERE name = ?1 AND (?2 IS NULL OR device_id = ?2) ORDER BY at_ms DESC"
        row = first(sql, DraftRow, where, (name, device_id))
        if row is None:
            raise UnknownName(f"no draft {name} is kept", next_step="microclaw app list")
        return row

    @reads
    def desired(self, sql: Sql, device_id: str | None = None, *, stopped: bool = False) -> tuple[D, ...]:
        """Return the apps that one device or all should run, by device and name.

        With `stopped`, return instead the apps that were taken off the device and can be started again.
        """
        which = "stopped_ms IS NOT NULL" if stopped else "stopped_ms IS NULL"
        where = f"desired_apps WHERE (?1 IS NULL OR device_id = ?1) AND {which} ORDER BY device_id, name"
        return select(sql, self._desired, where, (device_id,))

    @reads
    def device_ids_with(self, sql: Sql, name: str) -> tuple[str, ...]:
        """Return the devices that should run a program of this name now, by their ids."""
        query = "SELECT device_id FROM desired_apps WHERE name = ? AND stopped_ms IS NULL ORDER BY device_id"
        return tuple(device_id for (device_id,) in sql.execute(query, (name,)))

    @reads
    def holds(self, sql: Sql, device_id: str, name: str) -> bool:
        """Return True if the device should run this program, or has it stopped and stored."""
        return exists(sql, "desired_apps", device_id=device_id, name=name)

    @writes
    def set_suspect(self, sql: Sql, device_id: str, name: str, *, is_suspect: bool) -> None:
        """Note that the device fell silent, probably because of this app. A new deployment clears the note, too."""
        suspect_ms = self._now_ms() if is_suspect else None
        query = """UPDATE desired_apps
            SET silences = silences + CASE WHEN ?1 IS NOT NULL AND suspect_ms IS NULL THEN 1 ELSE 0 END,
                suspect_ms = ?1
            WHERE device_id = ?2 AND name = ?3"""
        sql.execute(query, (suspect_ms, device_id, name))

    @writes
    def set_stopped(self, sql: Sql, device_id: str, name: str) -> None:
        """Note that the app is off the device, and only kept for a start."""
        update(sql, "desired_apps", {"device_id": device_id, "name": name}, stopped_ms=self._now_ms())

    @writes
    def add_change(
        self,
        sql: Sql,
        change: C,
        deferred_id: int | None = None,
        *,
        is_live: Callable[[str], bool] = lambda _host: False,
        seen: int | None = None,
        first: Sequence[Work] = (),
    ) -> int:
        """Store a change before the device is touched, after the works in `first`; return its change_id, which grows.

        `deferred_id` is the deferred act that the change does. Raises DeployRejected if that act no longer waits, or if
        the change that this one reverts was reverted before. Raises DeviceBusy if another live host changes the device
        now (for programs: its programs), or has changed it since the change `seen`.
        """
        if self.host is not None:
            _check_free(sql, change, self.host, is_live, seen)
        if change.undoes is not None:
            _check_not_undone(sql, change.undoes)
        for work in first:
            work(sql)
        change_id = insert(sql, "changes", change, number="change_id", host=self.host)
        if deferred_id is not None:
            _start_deferred(sql, deferred_id, change_id, change.summary)
        return change_id

    @writes
    def settle_change(
        self,
        sql: Sql,
        change_id: int,
        state: ChangeState,
        *,
        put: D | None = None,
        without: tuple[str, str] | None = None,
    ) -> None:
        """Write the outcome of a change, with its effect on the desired apps, in one transaction.

        `without` is the (device_id, name) of an app to remove. A change that is done and undoes another marks the other
        as undone.
        """
        if update(sql, "changes", {"change_id": change_id}, state=state).rowcount != 1:
            raise _no_change(change_id)
        if without is not None:
            delete(sql, "desired_apps", device_id=without[0], name=without[1])
        if put is not None:
            insert(sql, "desired_apps", put, over=("device_id", "name"))
        if state == "done":
            sql.execute(
                """UPDATE changes SET undone_by = ?1
                WHERE change_id = (SELECT undoes FROM changes WHERE change_id = ?1)""",
                (change_id,),
            )
            _end_deferred(sql, change_id)

    @reads
    def change(self, sql: Sql, change_id: int) -> C:
        """Return a change. Raises UnknownName if it does not exist."""
        change = first(sql, self._change, "changes WHERE change_id = ?", (change_id,))
        if change is None:
            raise _no_change(change_id)
        return change

    @reads
    def changes(
        self,
        sql: Sql,
        device_id: str | None = None,
        limit: int = 50,
        *,
        state: ChangeState | None = None,
        kind: str | None = None,
    ) -> tuple[C, ...]:
        """Return the changes of one device or of all, newest first."""
        where = """changes WHERE (?1 IS NULL OR device_id = ?1) AND (?2 IS NULL OR state = ?2)
            AND (?3 IS NULL OR kind LIKE ?3) ORDER BY change_id DESC LIMIT ?4"""
        return select(sql, self._change, where, (device_id, state, kind, limit))

    @reads
    def changes_of_turn(self, sql: Sql, turn: str, *, limit: int = 1_000) -> tuple[C, ...]:
        """Return the changes of one turn or request, newest first."""
        return select(sql, self._change, "changes WHERE turn = ? ORDER BY change_id DESC LIMIT ?", (turn, limit))


class DeferredTable(TimedTable, Generic[A]):
    """Deferred acts of one database. `change_id` of an act is the change that does it, from its plan on."""

    _act: type[A]

    @writes
    def add(self, sql: Sql, act: A) -> A:
        """Store an act in place of a waiting act of the same app; return the stored row. Raises Overloaded."""
        same = {"device_id": act.device_id, "name": act.name, "state": "waiting"}
        update(sql, "deferred_acts", same, state="replaced")
        query = "SELECT count(*) FROM deferred_acts WHERE device_id = ? AND state = 'waiting'"
        if scalar(sql, query, (act.device_id,)) >= MAX_WAITING:
            raise Overloaded(
                f"{MAX_WAITING} acts wait for that device already", next_step="cancel one: microclaw app cancel NAME"
            )
        return self._one(sql, insert(sql, "deferred_acts", act, number="deferred_id"))

    @reads
    def get(self, sql: Sql, deferred_id: int) -> A:
        """Return a deferred act. Raises UnknownName."""
        return self._one(sql, deferred_id)

    @reads
    def waiting(self, sql: Sql, device_id: str | None = None) -> tuple[A, ...]:
        """Return the acts that are not done yet, oldest first."""
        where = """deferred_acts WHERE state IN ('waiting', 'started') AND (?1 IS NULL OR device_id = ?1)
            ORDER BY deferred_id"""
        return select(sql, self._act, where, (device_id,))

    @reads
    def ended(self, sql: Sql, device_id: str | None = None, limit: int = 50) -> tuple[A, ...]:
        """Return the acts that were done or failed, newest first."""
        where = """deferred_acts WHERE state IN ('done', 'failed') AND (?1 IS NULL OR device_id = ?1)
            ORDER BY deferred_id DESC LIMIT ?2"""
        return select(sql, self._act, where, (device_id, limit))

    @writes
    def move(self, sql: Sql, deferred_id: int, before: DeferredState, state: DeferredState) -> bool:
        """Change the state of an act; return False if it was not in the state `before`."""
        return update(sql, "deferred_acts", {"deferred_id": deferred_id, "state": before}, state=state).rowcount > 0

    @writes
    def end(self, sql: Sql, deferred_id: int, state: DeferredState, outcome: str) -> A:
        """Write the outcome of an act, before anyone is notified."""
        which = {"deferred_id": deferred_id}
        update(sql, "deferred_acts", which, state=state, outcome=outcome, ended_ms=self._now_ms())
        return self._one(sql, deferred_id)

    @writes
    def mark_notified(self, sql: Sql, deferred_id: int) -> None:
        """Note that the act's person was notified. Only the newest ended acts are kept."""
        update(sql, "deferred_acts", {"deferred_id": deferred_id}, told=1)
        query = """DELETE FROM deferred_acts WHERE state NOT IN ('waiting', 'started') AND deferred_id <= ?
            AND (told = 1 OR state IN ('cancelled', 'replaced'))"""
        sql.execute(query, (deferred_id - _KEPT_ENDED,))

    def _one(self, sql: Sql, deferred_id: int) -> A:
        act = first(sql, self._act, "deferred_acts WHERE deferred_id = ?", (deferred_id,))
        if act is None:
            raise UnknownName(f"there is no deferred act {deferred_id}", next_step="see them: microclaw app list")
        return act


def _check_free(sql: Sql, change: ChangeRow, host: str, is_live: Callable[[str], bool], seen: int | None) -> None:
    """Raise DeviceBusy if another live host changes this device.

    Inside one host the changes of a device wait for each other, so only other hosts are checked.
    """
    newest_seen = MAX_NUMBER if seen is None else seen
    rows = sql.execute(
        """SELECT host, summary, change_id > ?4 AND state != 'planned' FROM changes WHERE device_id = ?1
        AND (state = 'planned' OR change_id > ?4) AND (kind LIKE 'app.%' OR ?3 = 0) AND host != ?2""",
        (change.device_id, host, change.kind.startswith("app."), newest_seen),
    )
    for other, summary, is_newer in rows:
        if is_newer or is_live(other):
            raise DeviceBusy(
                f"{change.summary}: the host {other} is changing this device now ({summary})",
                next_step="do it again in a moment",
            )


def _check_not_undone(sql: Sql, change_id: int) -> None:
    """Raise DeployRejected if this change was undone already."""
    # The caller has looked at the change before, but another host may have undone it since.
    query = "SELECT summary, undone_by FROM changes WHERE change_id = ? AND undone_by IS NOT NULL"
    row = sql.execute(query, (change_id,)).fetchone()
    if row is not None:
        summary, undone_by = row
        raise already_undone_error(change_id, summary, undone_by)


def _start_deferred(sql: Sql, deferred_id: int, change_id: int, summary: str) -> None:
    """Bind a waiting act to the change that does it. Raises DeployRejected if the act no longer waits."""
    query = """UPDATE deferred_acts SET state = 'started', change_id = ?, tries = tries + 1
        WHERE deferred_id = ? AND state = 'waiting'"""
    if sql.execute(query, (change_id, deferred_id)).rowcount != 1:
        raise DeployRejected(f"{summary}: it was cancelled or replaced meanwhile", next_step="microclaw app list")


def already_undone_error(change_id: int, summary: str, undone_by: int) -> DeployRejected:
    """Build the error for a change that was undone before."""
    return DeployRejected(
        f"change {change_id} ({summary}) was undone already, by change {undone_by}",
        next_step=f"redo it: microclaw app undo {undone_by}",
    )


def _no_change(change_id: int) -> UnknownName:
    return UnknownName(f"there is no change {change_id}", next_step="see them: microclaw app changes")


def _end_deferred(sql: Sql, change_id: int) -> None:
    """End the act that a change did, and replace the waiting act of the same app, which is now pointless."""
    update(sql, "deferred_acts", {"change_id": change_id, "state": "started"}, state="done")
    query = "SELECT device_id, kind, forward FROM changes WHERE change_id = ?"
    device_id, kind, forward = sql.execute(query, (change_id,)).fetchone()
    if kind not in ("app.restore", "app.restart"):
        sql.execute(
            """UPDATE deferred_acts SET state = 'replaced' WHERE state IN ('waiting', 'started')
            AND change_id IS NOT ? AND device_id = ? AND name = ?""",
            (change_id, device_id, json.loads(forward).get("name")),
        )
