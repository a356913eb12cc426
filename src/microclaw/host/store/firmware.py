"""Firmware: trusted keys, signed releases, and what became of each offer to a device. It reads no manifest.

`add_offer` and `record_status` join transactions of the link's outbox and inbox: an offer is sent once, and a status
counts once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import ConfigError, UnknownName
from microclaw.host.store.database import Database
from microclaw.host.store.rows import (
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
from microclaw.host.store.sql import Sql
from microclaw.text import clean_text
from microclaw.wire.link.codec import encode
from microclaw.wire.link.messages import Envelope, OtaCancel, OtaStatus
from microclaw.wire.link.values import OtaState

OfferState: TypeAlias = OtaState | Literal["waiting"]
"""`waiting`: the device has not answered yet."""
ENDED: Final[tuple[OfferState, ...]] = ("healthy", "rolled_back", "refused", "failed", "idle")
GIVEN_UP: Final[tuple[OfferState, ...]] = ("waiting", "offered", "downloading", "verifying")
"""The states in which a device gives up an offer after a cancel or a newer offer."""
SUPERSEDED: Final = "superseded"
WITHDRAWN: Final = "withdrawn"
MAX_VERSION_CHARS: Final = 32
MAX_ERROR_CHARS: Final = 200
# Offers of one device; the oldest ended ones are deleted first.
KEPT_OFFERS: Final = 100
MAX_RELEASES: Final = 10_000


class KeyRow(Struct, frozen=True):
    """A trusted key. `public_der` is the SubjectPublicKeyInfo."""

    key_id: str
    name: str
    public_der: bytes
    added_ms: int


class ReleaseRow(Struct, frozen=True):
    """A signed release. Of kind `keys`, `board`, `channel` and `sha256` are "" and `size_bytes` is 0.

    `device` is "" for every device. `revisions` are sorted; if empty, the release is for boards of each revision.
    `release_id` 0 is not stored yet. `manifest` is as it was signed.
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
    def status(self) -> str:
        if self.withdrawn_ms is not None:
            return "withdrawn"
        downgrade = ", boards may go back to it" if self.allow_downgrade else ""
        return f"until {self.expires[:10]}{downgrade}"


class OfferRow(Struct, frozen=True):
    """An offer of a release to a device. `device_id` is the id of the device's link."""

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
    """A device's last report about a version that this host did not offer."""

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
    """Releases, newest first, and their offers. Only offers can change at other hosts."""

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
        """Store a release. Raises ConfigError if another release of that version exists.

        The very same release is published once.
        """
        same = first(sql, ReleaseRow, "firmware_releases WHERE manifest = ?", (new.manifest,))
        if same is not None and same.withdrawn_ms is not None:
            text = f"{new.version} with this manifest was withdrawn"
            raise ConfigError(text, next_step="publish it under a new version")
        if same is not None:
            return same
        _check_unpublished(sql, new)
        count = scalar(sql, "SELECT count(*) FROM firmware_releases")
        if count >= MAX_RELEASES:
            raise ConfigError(f"{MAX_RELEASES} releases is the limit", next_step="begin with a new home for newer ones")
        return replace(new, release_id=insert(sql, "firmware_releases", new, number="release_id"))

    async def release(self, release_id: int) -> ReleaseRow:
        """Return a release. Raises UnknownName."""
        release = await self.get(release_id)
        if release is None:
            raise UnknownName(f"there is no release {release_id}", next_step="microclaw firmware list")
        return release

    @writes
    def withdraw(self, sql: Sql, release_id: int, now_ms: int) -> None:
        _withdraw(sql, {"release_id": release_id}, now_ms)

    @writes
    def distrust(self, sql: Sql, key_id: str, now_ms: int) -> None:
        """Forget a key and withdraw all releases that it signed."""
        delete(sql, "firmware_keys", key_id=key_id)
        _withdraw(sql, {"key_id": key_id}, now_ms)

    @reads
    def payloads(self, sql: Sql) -> frozenset[str]:
        """Return the SHA-256 of each payload that a release needs."""
        return frozenset(sha256 for (sha256,) in sql.execute("SELECT DISTINCT sha256 FROM firmware_releases"))

    @reads
    def offers(self, sql: Sql, device_id: str | None = None, release_id: int | None = None) -> tuple[OfferRow, ...]:
        """Return offers of one device and of one release, or of all, newest first."""
        where = "firmware_offers WHERE (?1 IS NULL OR device_id = ?1) AND (?2 IS NULL OR release_id = ?2)"
        return select(sql, OfferRow, f"{where} ORDER BY offer_id DESC", (device_id, release_id))

    @reads
    def latest(self, sql: Sql) -> tuple[OfferRow, ...]:
        """Return the newest firmware offer and the newest change of keys of each device."""
        where = """firmware_offers WHERE offer_id IN (SELECT max(o.offer_id) FROM firmware_offers AS o
            JOIN firmware_releases AS r USING (release_id) GROUP BY o.device_id, r.kind = 'keys') ORDER BY offer_id"""
        return select(sql, OfferRow, where)

    @reads
    def foreign(self, sql: Sql) -> tuple[ForeignRow, ...]:
        return select(sql, ForeignRow, "firmware_foreign ORDER BY device_id")

    @reads
    def releases_offered(self, sql: Sql, device_id: str, sha256: str) -> tuple[ReleaseRow, ...]:
        """Return the releases with this payload that the device was offered."""
        where = """firmware_releases WHERE sha256 = ?1 AND EXISTS (SELECT 1 FROM firmware_offers AS o
            WHERE o.device_id = ?2 AND o.release_id = firmware_releases.release_id)"""
        return select(sql, ReleaseRow, where, (sha256, device_id))


class OfferedBefore(Exception):
    """The error for an offer that the device already has; nothing is sent. `row` is the earlier offer."""

    def __init__(self, row: OfferRow) -> None:
        super().__init__(row.version)
        self.row = row


def add_offer(
    sql: Sql, device_id: str, release: ReleaseRow, by: str, now_ms: int, *, again: bool
) -> tuple[OfferRow, ...]:
    """Add an offer within the transaction that puts it into the outbox; return the superseded offers, then the new one.

    Raises OfferedBefore if an offer of this release is open, or, without `again`, if there ever was one. An offer that
    is staged or later is not superseded: the device refuses the newer one.
    """
    before = _newest(sql, "device_id = ? AND release_id = ?", device_id, release.release_id)
    if before is not None and not (again and before.is_over):
        raise OfferedBefore(before)
    superseded = []
    if release.kind != "keys":
        open_offers = f"""firmware_offers WHERE device_id = ? AND state IN {GIVEN_UP}
            AND release_id IN (SELECT release_id FROM firmware_releases WHERE kind <> 'keys')"""  # noqa: S608 - names of ours
        for row in select(sql, OfferRow, open_offers, (device_id,)):
            superseded.append(_update_offer(sql, row, "idle", SUPERSEDED, now_ms))
    new = OfferRow(0, device_id, release.release_id, release.version, "waiting", 0.0, None, now_ms, now_ms, by)
    new = replace(new, offer_id=insert(sql, "firmware_offers", new, number="offer_id"))
    keep_newest(sql, "firmware_offers", KEPT_OFFERS, "offer_id", f"AND state IN {ENDED}", device_id=device_id)
    return (*superseded, new)


def record_status(sql: Sql, device_id: str, status: OtaStatus, running: str | None, now_ms: int) -> OfferRow | None:
    """Store a device's report about a version at its last offer; return None if this host did not offer that version.

    The end of an offer is final: a later report is stored apart, as a report about a foreign version is. `running` is
    the version of the device's hello: only a board that runs the version of its new files is healthy on them.
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
    if state == "healthy" and not _has_proof(release, offer, running):
        state = "failed"
        error = f"unproved: it says healthy, and runs {running or 'an unknown version'}"
    elif _is_given_up(state, error) and release.withdrawn_ms is not None:
        # The device stopped because the host withdrew the release, so this is not a failure.
        state = "idle"
        error = WITHDRAWN
    return _update_offer(sql, replace(offer, progress=float(status.progress)), state, error, now_ms)


def refuse_offer(sql: Sql, device_id: str, message_id: bytes, error: str, now_ms: int) -> OfferRow | None:
    """End the offer in a message that the device answered with an error; return None if the message has no offer."""
    query = "SELECT payload FROM link_outbox WHERE device_id = ? AND message_id = ?"
    payload = scalar(sql, query, (device_id, message_id))
    if payload is None:
        return None
    query = """SELECT DISTINCT release_id, manifest FROM firmware_releases JOIN firmware_offers USING (release_id)
        WHERE device_id = ?"""
    release_ids = [release_id for release_id, manifest in sql.execute(query, (device_id,)) if manifest in payload]
    offer = _newest(sql, f"device_id = ? AND release_id {one_of(release_ids)}", device_id, *release_ids)
    if offer is None or offer.is_over:
        return None
    return _update_offer(sql, offer, "refused", clean_text(error, one_line=True, limit=MAX_ERROR_CHARS), now_ms)


def keys_after(sql: Sql, offer: OfferRow, keys: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of the keys that a device trusts after a change of keys; `keys` are the ids before it."""
    change = json.loads(_release_of(sql, offer).manifest)
    added_ids = {key["key_id"] for key in change["add"]}
    trusted_ids = added_ids.union(keys).difference(change["remove"])
    return tuple(sorted(trusted_ids))


def _check_unpublished(sql: Sql, new: ReleaseRow) -> None:
    """Raise ConfigError if a release of the same version for the same boards is published."""
    key = (new.name, new.board, new.channel, new.device, new.version, new.allow_downgrade)
    where = """firmware_releases WHERE name = ? AND board = ? AND channel = ? AND device = ? AND version = ?
        AND allow_downgrade = ? AND withdrawn_ms IS NULL"""
    for release in select(sql, ReleaseRow, where, key):
        if _share(release.revisions, new.revisions):
            raise ConfigError(
                f"{new.name} {new.version} for {new.board or 'every board'} is published already, as release "
                f"{release.release_id}",
                next_step=f"give another --version, or first: microclaw firmware list --withdraw {release.release_id}",
            )


def _withdraw(sql: Sql, where: dict[str, object], now_ms: int) -> None:
    """Withdraw releases, and cancel the changes of keys among them that still wait for a device.

    A change of keys has no payload that could be held back, so the device gets a cancel under the number of its
    message instead.
    """
    update(sql, "firmware_releases", {**where, "withdrawn_ms": None}, withdrawn_ms=now_ms)
    waiting = """firmware_offers WHERE state = 'waiting' AND release_id IN
        (SELECT release_id FROM firmware_releases WHERE kind = 'keys' AND withdrawn_ms IS NOT NULL)"""
    for offer in select(sql, OfferRow, waiting):
        _cancel_keys(sql, offer, now_ms)


def _cancel_keys(sql: Sql, offer: OfferRow, now_ms: int) -> None:
    """Replace the waiting messages of this offer with a cancel."""
    manifest = _release_of(sql, offer).manifest
    query = "SELECT message_id, payload FROM link_outbox WHERE device_id = ?"
    for message_id, payload in sql.execute(query, (offer.device_id,)).fetchall():
        if manifest in payload:
            cancel = encode(Envelope(message_id, OtaCancel(offer.version)))
            update(sql, "link_outbox", {"device_id": offer.device_id, "message_id": message_id}, payload=cancel)
            _update_offer(sql, offer, "idle", WITHDRAWN, now_ms)


def _newest(sql: Sql, where: str, *values: object) -> OfferRow | None:
    return first(sql, OfferRow, f"firmware_offers WHERE {where} ORDER BY offer_id DESC LIMIT 1", values)


def _update_offer(sql: Sql, offer: OfferRow, state: OfferState, error: str | None, now_ms: int) -> OfferRow:
    offer = replace(offer, state=state, error=error, changed_ms=now_ms)
    insert(sql, "firmware_offers", offer, over=("offer_id",))
    return offer


def _release_of(sql: Sql, offer: OfferRow) -> ReleaseRow:
    (release,) = select(sql, ReleaseRow, "firmware_releases WHERE release_id = ?", (offer.release_id,))
    return release


def _is_given_up(state: OfferState, error: str | None) -> bool:
    """Return True if the device stopped an update before it had the whole payload."""
    if state == "idle":
        return error == "cancelled"
    return state == "failed" and (error or "").startswith("download_failed")


def _has_proof(release: ReleaseRow, offer: OfferRow, running: str | None) -> bool:
    """Return True if the running version or the offer's state shows that the device took this release.

    An image may leave the version of a board's files as it is. Then the offer must have been on trial at least.
    """
    if release.kind == "image":
        return running == offer.version or offer.state in ("staged", "rebooting", "trial")
    return release.kind == "keys" or running == offer.version


def _share(some: Sequence[str], others: Sequence[str]) -> bool:
    """Return True if a board of one revision could match both."""
    return not some or not others or not set(some).isdisjoint(others)
