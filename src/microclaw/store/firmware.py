"""Firmware: trusted keys, signed releases, and what became of each offer to a device. It reads no manifest.

`offer_in` and `status_in` join transactions of the link's outbox and inbox: an offer is sent once, a status counts
once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from microclaw.errors import ConfigError, UnknownName
from microclaw.store.following import Refresh
from microclaw.store.rows import BOOL, JSON_TUPLE, Table, insert, one_of, select
from microclaw.store.sql import Sql
from microclaw.text import clean_text
from microclaw.wire.link.messages import OtaStatus
from microclaw.wire.link.values import OtaState

OfferState: TypeAlias = OtaState | Literal["waiting"]
"""`waiting`: the device has said nothing of it yet."""
ENDED: Final[tuple[OfferState, ...]] = ("healthy", "rolled_back", "refused", "failed", "idle")
GIVEN_UP: Final[tuple[OfferState, ...]] = ("waiting", "offered", "downloading", "verifying")
"""What a device gives up when it is told to, or has a newer offer."""
SUPERSEDED: Final = "superseded"
WITHDRAWN: Final = "withdrawn"
MAX_VERSION_CHARS: Final = 32
MAX_ERROR_CHARS: Final = 200
KEPT_OFFERS: Final = 100  # a device; the oldest that ended give way
MAX_RELEASES: Final = 10_000


@dataclass(frozen=True, slots=True)
class KeyRow:
    """`public_der` is the SubjectPublicKeyInfo."""

    key_id: str
    name: str
    public_der: bytes
    added_ms: int


@dataclass(frozen=True, slots=True)
class NewRelease:
    """Of kind `keys`, `board`, `channel` and `sha256` are "" and `size_bytes` 0; `device` is "" for every device.

    `revisions` are sorted; none: for boards of each.
    """

    kind: Literal["files", "image", "keys"]
    name: str
    board: str
    channel: str
    device: str
    version: str
    security_version: int
    allow_downgrade: bool = field(metadata=BOOL)
    sha256: str
    size_bytes: int
    key_id: str
    created: str
    expires: str
    manifest: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    published_ms: int
    published_by: str
    revisions: tuple[str, ...] = field(metadata=JSON_TUPLE)


@dataclass(frozen=True, slots=True)
class ReleaseRow(NewRelease):
    release_id: int
    withdrawn_ms: int | None


@dataclass(frozen=True, slots=True)
class OfferRow:
    """`device_id` is that of the device's link."""

    offer_id: int
    device_id: str
    release_id: int
    version: str
    state: OfferState
    progress: float
    error: str | None
    offered_ms: int
    changed_ms: int
    offered_by: str

    @property
    def is_over(self) -> bool:
        return self.state in ENDED

    @property
    def is_of_keys(self) -> bool:
        return self.version.startswith("keys-")


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """What a device last said of a version that nobody here offered it."""

    device_id: str
    version: str
    state: str
    progress: float
    error: str | None
    changed_ms: int


class FirmwareTable(Table):
    """Every write is on the disk when it returns."""

    async def keys(self) -> tuple[KeyRow, ...]:
        return await self._select(KeyRow, "firmware_keys ORDER BY added_ms, key_id")

    async def key(self, key_id: str) -> KeyRow | None:
        return next(iter(await self._select(KeyRow, "firmware_keys WHERE key_id = ?", (key_id,))), None)

    async def put_key(self, row: KeyRow) -> None:
        await self._insert("firmware_keys", row, over=())

    async def drop_key(self, key_id: str) -> bool:
        return await self._execute("DELETE FROM firmware_keys WHERE key_id = ?", (key_id,)) > 0

    async def publish(self, release: NewRelease) -> ReleaseRow:
        """Keep it; ConfigError where another one of that version is there. The very same one is published once."""
        return await self._database.write(lambda connection: _publish(connection, release))

    async def releases(self) -> tuple[ReleaseRow, ...]:
        """The newest first."""
        return await self._select(ReleaseRow, f"firmware_releases ORDER BY release_id DESC LIMIT {MAX_RELEASES}")

    async def release(self, release_id: int) -> ReleaseRow:
        """Raises UnknownName."""
        found = await self._select(ReleaseRow, "firmware_releases WHERE release_id = ?", (release_id,))
        if not found:
            raise UnknownName(f"there is no release {release_id}", next_step="microclaw firmware list")
        return found[0]

    async def withdraw(self, release_id: int, now_ms: int) -> None:
        query = "UPDATE firmware_releases SET withdrawn_ms = ? WHERE release_id = ? AND withdrawn_ms IS NULL"
        await self._execute(query, (now_ms, release_id))

    async def payloads(self) -> frozenset[str]:
        """The SHA-256 of each payload that a release needs."""
        rows = await self._database.read(
            lambda connection: connection.execute("SELECT DISTINCT sha256 FROM firmware_releases").fetchall()
        )
        return frozenset(str(row[0]) for row in rows)

    async def offers(self, device_id: str | None = None, release_id: int | None = None) -> tuple[OfferRow, ...]:
        """The newest first; of one device, of one release."""
        where = "firmware_offers WHERE (?1 IS NULL OR device_id = ?1) AND (?2 IS NULL OR release_id = ?2)"
        return await self._select(OfferRow, f"{where} ORDER BY offer_id DESC", (device_id, release_id))

    async def latest(self) -> tuple[OfferRow, ...]:
        """Of each device the newest offer of a firmware, and the newest change of keys."""
        where = """firmware_offers WHERE offer_id IN (SELECT max(o.offer_id) FROM firmware_offers AS o
            JOIN firmware_releases AS r USING (release_id) GROUP BY o.device_id, r.kind = 'keys') ORDER BY offer_id"""
        return await self._select(OfferRow, where)

    def follow_offers(self, refresh: Refresh) -> None:
        """As Database.follow."""
        self._database.follow(("firmware_offers",), refresh)

    async def foreign(self) -> tuple[ForeignRow, ...]:
        return await self._select(ForeignRow, "firmware_foreign ORDER BY device_id")

    async def offered(self, device_id: str, sha256: str) -> tuple[ReleaseRow, ...]:
        """The releases with this payload that the device was offered."""
        where = """firmware_releases WHERE sha256 = ?1 AND EXISTS (SELECT 1 FROM firmware_offers AS o
            WHERE o.device_id = ?2 AND o.release_id = firmware_releases.release_id)"""
        return await self._select(ReleaseRow, where, (sha256, device_id))


class OfferedBefore(Exception):
    """The device has this offer already; nothing is sent. `row` is how it stands."""

    def __init__(self, row: OfferRow) -> None:
        super().__init__(row.version)
        self.row = row


def offer_in(
    connection: Sql, device_id: str, release: ReleaseRow, by: str, now_ms: int, *, again: bool
) -> tuple[OfferRow, ...]:
    """A new offer, within the transaction that puts it into the outbox; before it those that it supersedes.

    Raises OfferedBefore where one of this release is open, or, without `again`, there ever was one.
    """
    before = latest_in(connection, device_id, release.release_id)
    if before is not None and not (again and before.is_over):
        raise OfferedBefore(before)
    superseded = () if release.kind == "keys" else _supersede(connection, device_id, now_ms)
    connection.execute(
        """INSERT INTO firmware_offers
            (device_id, release_id, version, state, progress, error, offered_ms, changed_ms, offered_by)
            VALUES (?, ?, ?, 'waiting', 0.0, NULL, ?, ?, ?)""",
        (device_id, release.release_id, release.version, now_ms, now_ms, by),
    )
    connection.execute(
        f"""DELETE FROM firmware_offers WHERE device_id = ?1 AND state IN {ENDED} AND offer_id <= coalesce((SELECT
            offer_id FROM firmware_offers WHERE device_id = ?1 ORDER BY offer_id DESC LIMIT 1 OFFSET ?2), 0)""",  # noqa: S608 - names of ours
        (device_id, KEPT_OFFERS),
    )
    made = latest_in(connection, device_id, release.release_id)
    assert made is not None
    return (*superseded, made)


def _supersede(connection: Sql, device_id: str, now_ms: int) -> tuple[OfferRow, ...]:
    """What the device gives up for a newer offer. One that is staged or later goes on: the newer one is refused."""
    where = f"""firmware_offers WHERE device_id = ? AND state IN {GIVEN_UP}
        AND release_id IN (SELECT release_id FROM firmware_releases WHERE kind <> 'keys')"""  # noqa: S608 - names of ours
    rows = select(connection, OfferRow, where, (device_id,))
    ended = tuple(replace(row, state="idle", error=SUPERSEDED, changed_ms=now_ms) for row in rows)
    connection.executemany(
        "UPDATE firmware_offers SET state = 'idle', error = ?, changed_ms = ? WHERE offer_id = ?",
        [(SUPERSEDED, now_ms, row.offer_id) for row in rows],
    )
    return ended


def latest_in(connection: Sql, device_id: str, release_id: int) -> OfferRow | None:
    where = "firmware_offers WHERE device_id = ? AND release_id = ? ORDER BY offer_id DESC LIMIT 1"
    return next(iter(select(connection, OfferRow, where, (device_id, release_id))), None)


def status_in(connection: Sql, device_id: str, status: OtaStatus, running: str | None, now_ms: int) -> OfferRow | None:
    """What a device says of a version, kept at its last offer; None, and kept apart, where nobody offered that.

    The end of an offer is final: what is said of it later is kept apart, too. `running` is the version of the device's
    hello: only a board that runs the version of its new files is healthy on them.
    """
    version = clean_text(status.version, one_line=True, limit=MAX_VERSION_CHARS)
    error = None if status.error is None else clean_text(status.error, one_line=True, limit=MAX_ERROR_CHARS)
    where = "firmware_offers WHERE device_id = ? AND version = ? ORDER BY offer_id DESC LIMIT 1"
    offer = next(iter(select(connection, OfferRow, where, (device_id, version))), None)
    if offer is None or offer.is_over:
        if offer is None or offer.state != status.state:
            row = ForeignRow(device_id, version, status.state, float(status.progress), error, now_ms)
            insert(connection, "firmware_foreign", row, over=("device_id",))
        return None
    state: OfferState = status.state
    if state == "healthy" and not _shows_it(connection, offer, running):
        state, error = "failed", f"unproved: it says healthy, and runs {running or 'what it does not say'}"
    elif _gave_up(state, error) and _is_withdrawn(connection, offer):
        state, error = "idle", WITHDRAWN
    connection.execute(
        "UPDATE firmware_offers SET state = ?, progress = ?, error = ?, changed_ms = ? WHERE offer_id = ?",
        (state, float(status.progress), error, now_ms, offer.offer_id),
    )
    return select(connection, OfferRow, "firmware_offers WHERE offer_id = ?", (offer.offer_id,))[0]


def refused_in(connection: Sql, device_id: str, message_id: bytes, error: str, now_ms: int) -> OfferRow | None:
    """The device answered the message with an error: the offer in it is over. None where it is of no offer."""
    query = "SELECT payload FROM link_outbox WHERE device_id = ? AND message_id = ?"
    sent = connection.execute(query, (device_id, message_id)).fetchone()
    if sent is None:
        return None
    query = """SELECT DISTINCT release_id, manifest FROM firmware_releases JOIN firmware_offers USING (release_id)
        WHERE device_id = ?"""
    meant = [number for number, manifest in connection.execute(query, (device_id,)) if manifest in sent[0]]
    where = f"firmware_offers WHERE device_id = ? AND release_id {one_of(meant)} ORDER BY offer_id DESC LIMIT 1"
    offer = next(iter(select(connection, OfferRow, where, (device_id, *meant))), None)
    if offer is None or offer.is_over:
        return None
    state: OfferState = "refused"
    values = (state, clean_text(error, one_line=True, limit=MAX_ERROR_CHARS), now_ms, offer.offer_id)
    connection.execute("UPDATE firmware_offers SET state = ?, error = ?, changed_ms = ? WHERE offer_id = ?", values)
    return replace(offer, state=state, error=values[1], changed_ms=now_ms)


def _gave_up(state: OfferState, error: str | None) -> bool:
    """Whether the device ended it for what the host said: a cancel, or no payload any more."""
    return (state, error) == ("idle", "cancelled") or (
        state == "failed" and (error or "").startswith("download_failed")
    )


def _is_withdrawn(connection: Sql, offer: OfferRow) -> bool:
    query = "SELECT withdrawn_ms IS NOT NULL FROM firmware_releases WHERE release_id = ?"
    return bool(connection.execute(query, (offer.release_id,)).fetchone()[0])


def _shows_it(connection: Sql, offer: OfferRow, running: str | None) -> bool:
    """An image may leave the version of a board's files as it is: it was on trial at least."""
    query = "SELECT kind FROM firmware_releases WHERE release_id = ?"
    (kind,) = connection.execute(query, (offer.release_id,)).fetchone()
    if kind == "image":
        return running == offer.version or offer.state in ("staged", "rebooting", "trial")
    return kind == "keys" or running == offer.version


def keys_after(connection: Sql, offer: OfferRow, keys: Sequence[str]) -> tuple[str, ...]:
    """The keys that a device trusts once it has taken a change of them; `keys` are those before."""
    query = "SELECT manifest FROM firmware_releases WHERE release_id = ?"
    (manifest,) = connection.execute(query, (offer.release_id,)).fetchone()
    change = json.loads(manifest)
    removed = set(change["remove"])
    return tuple(sorted({*keys, *(key["key_id"] for key in change["add"])} - removed))


def _share(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether a board of one revision could be meant by both."""
    return not some or not others or not set(some).isdisjoint(others)


def _publish(connection: Sql, release: NewRelease) -> ReleaseRow:
    same = select(connection, ReleaseRow, "firmware_releases WHERE manifest = ?", (release.manifest,))
    if same:
        if same[0].withdrawn_ms is not None:
            text = f"{release.version} with this manifest was withdrawn"
            raise ConfigError(text, next_step="publish it under a new version")
        return same[0]
    key = (release.name, release.board, release.channel, release.device, release.version, release.allow_downgrade)
    where = """firmware_releases WHERE name = ? AND board = ? AND channel = ? AND device = ? AND version = ?
        AND allow_downgrade = ? AND withdrawn_ms IS NULL"""
    if there := [row for row in select(connection, ReleaseRow, where, key) if _share(row.revisions, release.revisions)]:
        raise ConfigError(
            f"{release.name} {release.version} for {release.board or 'every board'} is published already, as release "
            f"{there[0].release_id}",
            next_step=f"give another --version, or first: microclaw firmware withdraw {there[0].release_id}",
        )
    (count,) = connection.execute("SELECT count(*) FROM firmware_releases").fetchone()
    if count >= MAX_RELEASES:
        raise ConfigError(f"{MAX_RELEASES} releases is the limit", next_step="begin with a new home for newer ones")
    release_id = insert(connection, "firmware_releases", release, number="release_id")
    return select(connection, ReleaseRow, "firmware_releases WHERE release_id = ?", (release_id,))[0]
