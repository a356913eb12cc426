"""Offers of releases to devices, and how each stands. What a rollout is made of; it chooses no device.

An offer is a durable message: the row here and the message in the device's outbox are one transaction, so that nothing
is offered twice, also when the host is killed in between.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from microclaw.audit.event import AuditEvent, AuditKind, Record
from microclaw.boards.firmware import UpdateFacts
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.devices.selection import Selection
from microclaw.errors import ConfigError, MicroclawError, NotSupported
from microclaw.link_server.device_link import DeviceLink
from microclaw.link_server.transport import LinkTransport
from microclaw.ota.manifest import SMALL, moment_ms, version_numbers
from microclaw.ota.results import OfferOutcome, UpdateStatus
from microclaw.store.firmware import GIVEN_UP, FirmwareTable, OfferedBefore, OfferRow, ReleaseRow, offer_in
from microclaw.store.sql import Sql
from microclaw.wire.host_api import failure_of
from microclaw.wire.link.messages import OtaCancel, OtaOffer

RESTART_MS: Final = 120_000
"""A board that is short of memory restarts for an offer: it is absent only after that."""
_log = logging.getLogger(__name__)


class AlreadyRuns(ConfigError):
    """The device runs the release's version: there is nothing to do."""

    def __init__(self, device: str, version: str) -> None:
        super().__init__(
            f"{device} runs {version} already", next_step="nothing is to be done: microclaw firmware status"
        )
        self.version = version


class Offers:
    """`changed` is the link server's `DeviceUpdates.changed`. `now_ms` is the wall clock.

    `heard` is called for each change, on the event loop's thread, once it is on the disk.
    """

    def __init__(self, table: FirmwareTable, devices: Registry, *, now_ms: Callable[[], int], record: Record) -> None:
        self._table = table
        self._devices = devices
        self._now_ms = now_ms
        self._record = record
        self.heard: Callable[[OfferRow], None] = lambda _row: None

    async def newest_for(self, device: Device) -> str | None:
        """The highest version that is published for a device; None where nothing is."""
        return newest_for(await self._table.list(), device, self._now_ms())

    async def offer(self, device_id: str, release: ReleaseRow, *, by: str, again: bool = False) -> OfferRow:
        """Offer it, now or when the device is back. A device that was offered it before is asked nothing.

        `again`: once more where the last offer of it is over. Raises AlreadyRuns, ConfigError or NotSupported where the
        host knows that the device does not take it (`obstacle`), Overloaded when its outbox is full.
        """
        device = self._devices.get(device_id)
        link = link_of(device)
        before = await self._table.offers(link.link_id, release.release_id)
        if before and not (again and before[0].is_over):
            return before[0]
        if (error := obstacle(release, device, link, self._now_ms())) is not None:
            raise error
        made: list[OfferRow] = []

        def keep(connection: Sql) -> None:
            made[:] = offer_in(connection, link.link_id, release, by, self._now_ms(), again=again)

        try:
            link.unexpect(await link.send(OtaOffer(release.manifest, release.signature), also=keep))
        except OfferedBefore as exc:
            return exc.row
        self._note(f"{release.name} {release.version}", device, by)
        *superseded, row = made
        for older in superseded:
            self.changed(older)
        return row

    def chosen(self, selection: Selection) -> list[Device]:
        """Those that are named, or of those that are meant the ones with a link. Raises ConfigError, UnknownName."""
        selection.check()
        if selection.names:
            return list(dict.fromkeys(self._devices.get(name) for name in selection.names))
        found = [one for one in self._devices.list() if selection.means(one.labels) and _has_link(one)]
        if not found:
            text = "no device that is meant has a link, by which updates come"
            raise ConfigError(text, next_step="microclaw device list")
        return found

    async def to_each(self, devices: Sequence[Device], rows: Sequence[ReleaseRow], *, by: str) -> list[OfferOutcome]:
        """Offer each device the one of a version's releases that is for it."""
        found = []
        for device in devices:
            try:
                row = await self.offer(device.device_id, release_for(rows, device), by=by, again=True)
                found.append(OfferOutcome(device=device.name, offer=row))
            except AlreadyRuns as exc:
                found.append(OfferOutcome(device=device.name, already=exc.version))
            except MicroclawError as exc:
                found.append(OfferOutcome(device=device.name, error=failure_of(exc)))
        return found

    async def status(self, device: str | None = None) -> list[UpdateStatus]:
        """The state of each device with a link, or of one. Raises UnknownName."""
        devices = self._devices.list() if device is None else [self._devices.get(device)]
        foreign = {row.device_id: row for row in await self._table.foreign()}
        latest = {(row.device_id, row.is_of_keys): row for row in await self._table.latest()}
        found = []
        for one in filter(_has_link, devices):
            link = link_of(one)
            seen_ms = 0 if link.presence is None else link.presence.seen_ms
            status = UpdateStatus(
                device=one.name,
                device_id=one.device_id,
                online=link.anywhere,
                absent=not link.anywhere and self._now_ms() - seen_ms > RESTART_MS,
                runs=None if link.presence is None else link.presence.ota,
                offer=latest.get((link.link_id, False)),
                keys_offer=latest.get((link.link_id, True)),
                not_ours=foreign.get(link.link_id),
            )
            found.append(status)
        return found

    async def cancel(self, device_id: str, *, by: str) -> OfferRow | None:
        """Ask the device to give up what it has not written yet; the offer, or None where there is none of that kind.

        It ends with the device's own answer: `idle` with `cancelled`, or the state that it is in.
        """
        device = self._devices.get(device_id)
        link = link_of(device)
        rows = await self._table.offers(link.link_id)
        open_ones = [row for row in rows if row.state in GIVEN_UP and not row.is_of_keys]
        if not open_ones:
            return None
        link.unexpect(await link.send(OtaCancel(open_ones[0].version)))
        self._note(f"{open_ones[0].version} cancelled", device, by)
        return open_ones[0]

    async def call_off(self, release: ReleaseRow, *, by: str) -> list[Device]:
        """Take a withdrawn release's offers back, also from devices that are away: the cancel follows the offer.

        Returns who was told. A device that is not among them, or has begun, finds no payload and gives up by itself.
        A change of keys cannot be called off.
        """
        told: list[Device] = []
        for row in await self._table.offers(None, release.release_id):
            device = self.owner_of(row)
            if device is None or row.is_of_keys or row.state not in GIVEN_UP:
                continue
            try:
                link = link_of(device)
                link.unexpect(await link.send(OtaCancel(row.version)))
            except MicroclawError as exc:
                _log.warning("%s cannot be told that %s was withdrawn: %s", device.name, row.version, exc.message)
                continue
            self._note(f"{row.version} called off: it was withdrawn", device, by)
            told.append(device)
        return told

    async def standing(self, device_id: str | None = None, release_id: int | None = None) -> tuple[OfferRow, ...]:
        """Every offer, the newest first, as it is on the disk."""
        link_id = None if device_id is None else link_of(self._devices.get(device_id)).link_id
        return await self._table.offers(link_id, release_id)

    def changed(self, row: OfferRow) -> None:
        """A device said how it stands."""
        try:
            self.heard(row)
        except Exception:  # a device's message must not end its connection by a fault of who listens
            _log.exception("who follows the updates failed")

    def owner_of(self, row: OfferRow) -> Device | None:
        """The device; None for one that was removed meanwhile."""
        return self._devices.owner_of(f"link:{row.device_id}")

    def _note(self, text: str, device: Device, by: str) -> None:
        self._record(AuditEvent(AuditKind.FIRMWARE_OFFERED, text, about=device.name, by=by))


def link_of(device: Device) -> DeviceLink:
    """Raises NotSupported for a device without a link."""
    for transport in device.transports:
        if isinstance(transport, LinkTransport):
            return transport.link
    raise NotSupported(
        f"{device.name} has no link, by which updates come", next_step="microclaw flash writes its firmware by cable"
    )


def _has_link(device: Device) -> bool:
    return any(isinstance(transport, LinkTransport) for transport in device.transports)


def release_for(rows: Sequence[ReleaseRow], device: Device, *, back: bool = False) -> ReleaseRow:
    """The one of a version that the device can take; else the one that is nearest to it, for its error.

    `back`: one that may be lower than what the device runs goes first, else last.
    """
    link = link_of(device)
    facts = None if link.presence is None else link.presence.ota
    rows = sorted(rows, key=lambda row: row.allow_downgrade is not back)
    for row in rows:
        if facts is not None and _is_for(row, facts):
            return row
    near = [row for row in rows if facts is not None and row.name == facts.name]
    return next((row for row in near if facts is not None and _fits(row, facts)), next(iter(near), rows[0]))


def revision_of(device: Device) -> str:
    """That of the board, as it said last; "" where it said none, and of a device that has no link."""
    try:
        presence = link_of(device).presence
    except NotSupported:
        return ""
    facts = None if presence is None else presence.ota
    return "" if facts is None else facts.revision


def _is_for(release: ReleaseRow, facts: UpdateFacts) -> bool:
    same = (release.name, release.channel) == (facts.name, facts.channel)
    return same and _fits(release, facts) and _fits_revision(release, facts)


def _fits_revision(release: ReleaseRow, facts: UpdateFacts) -> bool:
    """A board that tells no revision gets what is for all: firmware of before would not look at it."""
    return not release.revisions or facts.revision in release.revisions


def _fits(release: ReleaseRow, facts: UpdateFacts) -> bool:
    """An image fits a board with and without PSRAM."""
    return release.board == (facts.board.removesuffix(SMALL) if release.kind == "image" else facts.board)


def newest_for(rows: Sequence[ReleaseRow], device: Device, now_ms: int) -> str | None:
    """The highest version that the device could take, or the one it runs; None where no release is for its kind."""
    try:
        link = link_of(device)
    except NotSupported:
        return None
    facts = None if link.presence is None else link.presence.ota
    if facts is None:
        return None
    ours = [row for row in rows if row.kind != "keys" and _is_for(row, facts)]
    if not ours:
        return None
    takes = [row.version for row in ours if not row.allow_downgrade and obstacle(row, device, link, now_ms) is None]
    return max([facts.version, *takes], key=lambda version: version_numbers(version) or (0, 0, 0))


def obstacle(release: ReleaseRow, device: Device, link: DeviceLink, now_ms: int) -> MicroclawError | None:
    """Why the device would refuse it, by its last hello; None where the host knows no reason."""
    facts = None if link.presence is None else link.presence.ota
    if link.presence is None:
        return NotSupported(f"{device.name} was never connected", next_step="switch it on, then offer it again")
    if facts is None:
        text = f"{device.name} takes no updates: its firmware did not say so when it connected"
        return NotSupported(text, next_step="microclaw flash --update-key FILE.pub.pem; start a virtual one again")
    if release.withdrawn_ms is not None:
        return ConfigError(f"{release.version} was withdrawn", next_step="microclaw firmware list")
    if _runs(release, facts):
        return AlreadyRuns(device.name, facts.version)
    if moment_ms(release.expires) <= now_ms:
        return ConfigError(
            f"{release.version} expired at {release.expires}", next_step="publish it under a new version"
        )
    mismatch = _mismatch(release, facts, {device.device_id, link.link_id})
    if mismatch is not None:
        return ConfigError(f"{device.name} {mismatch}", next_step=f"microclaw firmware list {release.release_id}")
    return None


def _runs(release: ReleaseRow, facts: UpdateFacts) -> bool:
    """True if the device has this very version of this firmware."""
    same = (release.name, release.channel, release.version) == (facts.name, facts.channel, facts.version)
    return release.kind != "keys" and same and _fits(release, facts) and _fits_revision(release, facts)


def _mismatch(release: ReleaseRow, facts: UpdateFacts, ids: set[str]) -> str | None:
    if release.key_id not in facts.keys:
        return f"does not trust the key {release.key_id}; it trusts {', '.join(facts.keys) or 'none'}"
    if release.name != facts.name:
        return f"runs {facts.name}, and the release is of {release.name}"
    if release.device and release.device not in ids:
        return f"is not the device {release.device}, for which alone it was made"
    if release.kind == "keys":
        return None
    if release.kind not in facts.kinds:
        return f"takes {', '.join(facts.kinds) or 'nothing'}, and the release is of the kind {release.kind}"
    if not _fits(release, facts):
        return f"is an {facts.board}, and the release is for {release.board}"
    if not _fits_revision(release, facts):
        which = f"is of the revision {facts.revision}" if facts.revision else "does not know its revision"
        return f"{which}, and the release is for {', '.join(release.revisions)}"
    if release.channel != facts.channel:
        return f"is on the channel {facts.channel}, and the release on {release.channel}"
    if release.security_version < facts.security_version:
        return f"has had the security version {facts.security_version}, and the release has {release.security_version}"
    running, offered = version_numbers(facts.version), version_numbers(release.version)
    if running is not None and offered is not None and offered < running and not release.allow_downgrade:
        return f"runs {facts.version}, which is newer than {release.version}"
    return None
