"""Firmware: trusted keys, signed releases, and what became of each offer to a device. It reads no manifest.

`offer_in` and `status_in` join transactions of the link's outbox and inbox: an offer is sent once, a status counts
once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import ConfigError, UnknownName
from microclaw.store.database import Database
from microclaw.store.rows import (
    RowTable,
    delete,
    first,
    insert,
    keep_newest,
    one_of,
    reads,
    scalar,
    select,
    update,
    writes,
)
from microclaw.store.sql import Sql
from microclaw.text import clean_text
from microclaw.wire.link.codec import encode
from microclaw.wire.link.messages import Envelope, OtaCancel, OtaStatus
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


class KeyRow(Struct, frozen=True):
    """`public_der` is the SubjectPublicKeyInfo."""

    key_id: str
    name: str
    public_der: bytes
    added_ms: int


class ReleaseRow(Struct, frozen=True):
    """Of kind `keys`, `board`, `channel` and `sha256` are "" and `size_bytes` 0; `device` is "" for every device.

    `revisions` are sorted; none: for boards of each. `release_id` 0 is not stored yet. `manifest` as it was signed.
    """

    kind: Literal["files", "image", "keys"]
    name: str
    board: str
    channel: str
    device: str
    version: str
    security_version: int
    allow_downgrade: bool
    sha256: str
    size_bytes: int
    key_id: str
    created: str
    expires: str
    manifest: bytes
    signature: bytes
    published_ms: int
    published_by: str
    revisions: tuple[str, ...]
    release_id: int = 0
    withdrawn_ms: int | None = None

    @property
    def boards(self) -> str:
        return " ".join((self.board or "every board", *self.revisions))

    @property
    def standing(self) -> str:
        if self.withdrawn_ms is not None:
            return "withdrawn"
        return f"until {self.expires[:10]}{', boards may go back to it' if self.allow_downgrade else ''}"


class OfferRow(Struct, frozen=True):
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


class ForeignRow(Struct, frozen=True):
    """The last word of a device about a version that nobody here offered it."""

    device_id: str
    version: str
    state: str
    progress: float
    error: str | None
    changed_ms: int


class FirmwareKeyTable(RowTable[KeyRow]):
    _kind = KeyRow
    _name = "firmware_keys"
    _key = "key_id"
    _order = "added_ms, key_id"


class FirmwareTable(RowTable[ReleaseRow]):
    """Releases, the newest first, and their offers. News of other hosts are those of offers."""

    _kind = ReleaseRow
    _name = "firmware_releases"
    _key = "release_id"
    _order = "release_id DESC"
    followed = frozenset({"firmware_offers"})

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.keys = FirmwareKeyTable(database)

    @writes
    def publish(self, sql: Sql, new: ReleaseRow) -> ReleaseRow:
        """Keep it; ConfigError where another one of that version is there. The very same one is published once."""
        same = first(sql, ReleaseRow, "firmware_releases WHERE manifest = ?", (new.manifest,))
        if same is not None and same.withdrawn_ms is not None:
            text = f"{new.version} with this manifest was withdrawn"
            raise ConfigError(text, next_step="publish it under a new version")
        if same is not None:
            return same
        key = (new.name, new.board, new.channel, new.device, new.version, new.allow_downgrade)
        where = """firmware_releases WHERE name = ? AND board = ? AND channel = ? AND device = ? AND version = ?
            AND allow_downgrade = ? AND withdrawn_ms IS NULL"""
        there = [row for row in select(sql, ReleaseRow, where, key) if _share(row.revisions, new.revisions)]
        if there:
            raise ConfigError(
                f"{new.name} {new.version} for {new.board or 'every board'} is published already, as release "
                f"{there[0].release_id}",
                next_step=f"give another --version, or first: microclaw firmware list --withdraw {there[0].release_id}",
            )
        count = scalar(sql, "SELECT count(*) FROM firmware_releases")
        if count >= MAX_RELEASES:
            raise ConfigError(f"{MAX_RELEASES} releases is the limit", next_step="begin with a new home for newer ones")
        return replace(new, release_id=insert(sql, "firmware_releases", new, number="release_id"))

    async def release(self, release_id: int) -> ReleaseRow:
        """Raises UnknownName."""
        found = await self.get(release_id)
        if found is None:
            raise UnknownName(f"there is no release {release_id}", next_step="microclaw firmware list")
        return found

    @writes
    def withdraw(self, sql: Sql, release_id: int, now_ms: int) -> None:
        _withdraw(sql, {"release_id": release_id}, now_ms)

    @writes
    def distrust(self, sql: Sql, key_id: str, now_ms: int) -> None:
        """The key goes, and nobody gets what it signed any more."""
        delete(sql, "firmware_keys", key_id=key_id)
        _withdraw(sql, {"key_id": key_id}, now_ms)

    @reads
    def payloads(self, sql: Sql) -> frozenset[str]:
        """The SHA-256 of each payload that a release needs."""
        return frozenset(sha256 for (sha256,) in sql.execute("SELECT DISTINCT sha256 FROM firmware_releases"))

    @reads
    def offers(self, sql: Sql, device_id: str | None = None, release_id: int | None = None) -> tuple[OfferRow, ...]:
        """The newest first; of one device, of one release."""
        where = "firmware_offers WHERE (?1 IS NULL OR device_id = ?1) AND (?2 IS NULL OR release_id = ?2)"
        return select(sql, OfferRow, f"{where} ORDER BY offer_id DESC", (device_id, release_id))

    @reads
    def latest(self, sql: Sql) -> tuple[OfferRow, ...]:
        """Of each device the newest offer of a firmware, and the newest change of keys."""
        where = """firmware_offers WHERE offer_id IN (SELECT max(o.offer_id) FROM firmware_offers AS o
            JOIN firmware_releases AS r USING (release_id) GROUP BY o.device_id, r.kind = 'keys') ORDER BY offer_id"""
        return select(sql, OfferRow, where)

    @reads
    def foreign(self, sql: Sql) -> tuple[ForeignRow, ...]:
        return select(sql, ForeignRow, "firmware_foreign ORDER BY device_id")

    @reads
    def offered(self, sql: Sql, device_id: str, sha256: str) -> tuple[ReleaseRow, ...]:
        """The releases with this payload that the device was offered."""
        where = """firmware_releases WHERE sha256 = ?1 AND EXISTS (SELECT 1 FROM firmware_offers AS o
            WHERE o.device_id = ?2 AND o.release_id = firmware_releases.release_id)"""
        return select(sql, ReleaseRow, where, (sha256, device_id))


class OfferedBefore(Exception):
    """The device has this offer already; nothing is sent. `row` is how it stands."""

    def __init__(self, row: OfferRow) -> None:
        super().__init__(row.version)
        self.row = row


def offer_in(
    sql: Sql, device_id: str, release: ReleaseRow, by: str, now_ms: int, *, again: bool
) -> tuple[OfferRow, ...]:
    """A new offer, within the transaction that puts it into the outbox; before it those that it supersedes.

    Raises OfferedBefore where one of this release is open, or, without `again`, there ever was one. What is staged or
    later is not superseded: the device refuses the newer one.
    """
    before = _newest(sql, "device_id = ? AND release_id = ?", device_id, release.release_id)
    if before is not None and not (again and before.is_over):
        raise OfferedBefore(before)
    open_ones = f"""firmware_offers WHERE device_id = ? AND state IN {GIVEN_UP}
        AND release_id IN (SELECT release_id FROM firmware_releases WHERE kind <> 'keys')"""  # noqa: S608 - names of ours
    older = () if release.kind == "keys" else select(sql, OfferRow, open_ones, (device_id,))
    superseded = [_changed(sql, row, "idle", SUPERSEDED, now_ms) for row in older]
    new = OfferRow(0, device_id, release.release_id, release.version, "waiting", 0.0, None, now_ms, now_ms, by)
    new = replace(new, offer_id=insert(sql, "firmware_offers", new, number="offer_id"))
    keep_newest(sql, "firmware_offers", KEPT_OFFERS, "offer_id", f"AND state IN {ENDED}", device_id=device_id)
    return (*superseded, new)


def status_in(sql: Sql, device_id: str, status: OtaStatus, running: str | None, now_ms: int) -> OfferRow | None:
    """Keep a device's word about a version at its last offer; None, and kept apart, where nobody offered that.

    The end of an offer is final: what is said of it later is kept apart, too. `running` is the version of the device's
    hello: only a board that runs the version of its new files is healthy on them.
    """
    version = clean_text(status.version, one_line=True, limit=MAX_VERSION_CHARS)
    if status.error is None:
        error = None
    else:
        error = clean_text(status.error, one_line=True, limit=MAX_ERROR_CHARS)
    offer = _newest(sql, "device_id = ? AND version = ?", device_id, version)
    if offer is None or offer.is_over:
        if offer is None or offer.state != status.state:
            row = ForeignRow(device_id, version, status.state, float(status.progress), error, now_ms)
            insert(sql, "firmware_foreign", row, over=("device_id",))
        return None
    state = status.state
    release = _release_of(sql, offer)
    gave_up = (state, error) == ("idle", "cancelled") or (
        state == "failed" and (error or "").startswith("download_failed")
    )
    if state == "healthy" and not _shows_it(release, offer, running):
        state = "failed"
        error = f"unproved: it says healthy, and runs {running or 'what it does not say'}"
    elif gave_up and release.withdrawn_ms is not None:  # it ended for what the host said
        state = "idle"
        error = WITHDRAWN
    return _changed(sql, replace(offer, progress=float(status.progress)), state, error, now_ms)


def refused_in(sql: Sql, device_id: str, message_id: bytes, error: str, now_ms: int) -> OfferRow | None:
    """The device answered the message with an error: the offer in it is over. None where it is of no offer."""
    query = "SELECT payload FROM link_outbox WHERE device_id = ? AND message_id = ?"
    sent = scalar(sql, query, (device_id, message_id))
    if sent is None:
        return None
    query = """SELECT DISTINCT release_id, manifest FROM firmware_releases JOIN firmware_offers USING (release_id)
        WHERE device_id = ?"""
    meant = [number for number, manifest in sql.execute(query, (device_id,)) if manifest in sent]
    offer = _newest(sql, f"device_id = ? AND release_id {one_of(meant)}", device_id, *meant)
    if offer is None or offer.is_over:
        return None
    return _changed(sql, offer, "refused", clean_text(error, one_line=True, limit=MAX_ERROR_CHARS), now_ms)


def keys_after(sql: Sql, offer: OfferRow, keys: Sequence[str]) -> tuple[str, ...]:
    """The keys that a device trusts once it has taken a change of them; `keys` are those before."""
    change = json.loads(_release_of(sql, offer).manifest)
    return tuple(sorted({*keys, *(key["key_id"] for key in change["add"])} - set(change["remove"])))


def _withdraw(sql: Sql, where: dict[str, object], now_ms: int) -> None:
    """Withdraw releases. A change of keys has no payload that could be held back: while it waits, the device gets a
    cancel under its number instead.
    """
    update(sql, "firmware_releases", {**where, "withdrawn_ms": None}, withdrawn_ms=now_ms)
    waiting = """firmware_offers WHERE state = 'waiting' AND release_id IN
        (SELECT release_id FROM firmware_releases WHERE kind = 'keys' AND withdrawn_ms IS NOT NULL)"""
    for offer in select(sql, OfferRow, waiting):
        manifest = _release_of(sql, offer).manifest
        rows = sql.execute("SELECT message_id, payload FROM link_outbox WHERE device_id = ?", (offer.device_id,))
        for message_id in [message_id for message_id, payload in rows.fetchall() if manifest in payload]:
            cancel = encode(Envelope(message_id, OtaCancel(offer.version)))
            update(sql, "link_outbox", {"device_id": offer.device_id, "message_id": message_id}, payload=cancel)
            _changed(sql, offer, "idle", WITHDRAWN, now_ms)


def _newest(sql: Sql, where: str, *values: object) -> OfferRow | None:
    return first(sql, OfferRow, f"firmware_offers WHERE {where} ORDER BY offer_id DESC LIMIT 1", values)


def _changed(sql: Sql, offer: OfferRow, state: OfferState, error: str | None, now_ms: int) -> OfferRow:
    offer = replace(offer, state=state, error=error, changed_ms=now_ms)
    insert(sql, "firmware_offers", offer, over=("offer_id",))
    return offer


def _release_of(sql: Sql, offer: OfferRow) -> ReleaseRow:
    (release,) = select(sql, ReleaseRow, "firmware_releases WHERE release_id = ?", (offer.release_id,))
    return release


def _shows_it(release: ReleaseRow, offer: OfferRow, running: str | None) -> bool:
    """An image may leave the version of a board's files as it is: it was on trial at least."""
    if release.kind == "image":
        return running == offer.version or offer.state in ("staged", "rebooting", "trial")
    return release.kind == "keys" or running == offer.version


def _share(some: Sequence[str], others: Sequence[str]) -> bool:
    """True if a board of one revision could be meant by both."""
    return not some or not others or not set(some).isdisjoint(others)
