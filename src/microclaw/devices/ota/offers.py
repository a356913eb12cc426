"""Offers of releases to devices, and the state of each. It selects no device.

An offer is a durable message: the row here and the message in the device's outbox are one transaction, so that nothing
is offered twice, even if the host is killed between them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from msgspec.structs import asdict

from microclaw.devices.link.device_link import DeviceLink
from microclaw.devices.link.transport import LinkTransport
from microclaw.devices.ota.manifest import moment_ms, version_numbers
from microclaw.devices.ota.results import OfferOutcome, UpdateStatus
from microclaw.devices.ota.rollout import Rollout
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.selection import Selection
from microclaw.errors import ConfigError, MicroclawError, NotSupported, UnknownName
from microclaw.hardware.boards.firmware import UpdateFacts
from microclaw.hardware.firmware_modules import ota_check
from microclaw.host.audit.event import AuditEvent, AuditKind, Record
from microclaw.host.store.firmware import GIVEN_UP, FirmwareTable, OfferedBefore, OfferRow, ReleaseRow, add_offer
from microclaw.host.store.rollouts import DeviceState, RolloutDevice
from microclaw.host.store.sql import Sql
from microclaw.wire.host_api import failure_of
from microclaw.wire.link.messages import OtaCancel, OtaOffer

RESTART_MS: Final = 120_000
"""A board with little memory restarts for an offer: only after this time it counts as absent."""
_FITS: Final = ("wrong_name", "wrong_board", "wrong_revision", "wrong_device", "wrong_channel", "")
"""The codes of `ota_check.check_fit` in the order of its checks; "" if the release fits."""
_CHECKED: Final = (
    "kind", "name", "board", "revisions", "device", "channel", "version", "security_version", "allow_downgrade",
)  # fmt: skip
End: TypeAlias = tuple[DeviceState, str]
"""The end of a rollout's update, with the device's reason."""
_ENDS: Final[tuple[DeviceState, ...]] = ("healthy", "rolled_back", "refused", "failed")


class AlreadyRuns(ConfigError):
    """The device runs the release's version: there is nothing to do."""

    def __init__(self, device: str, version: str) -> None:
        super().__init__(f"{device} runs {version} already", next_step="nothing; see microclaw firmware status")
        self.version = version


class Offers:
    """The offers of this host; `now_ms` is the wall clock.

    `heard` is called for an offer that another one superseded, once that is stored.
    """

    def __init__(self, table: FirmwareTable, devices: Registry, *, now_ms: Callable[[], int], record: Record) -> None:
        self.table = table
        self.devices = devices
        self._now_ms = now_ms
        self._record = record
        self.heard: Callable[[OfferRow], None] = lambda _row: None

    async def find(self, text: str) -> tuple[ReleaseRow, ...]:
        """Return the live releases with this number or version, the newest first. Raises UnknownName."""
        rows = await self.table.list()
        matches = [row for row in rows if text in (str(row.release_id), row.version)]
        live = tuple(row for row in matches if row.withdrawn_ms is None)
        if not live:
            reason = "was withdrawn" if matches else "was never published here"
            raise UnknownName(f"the release {text[:40]!r} {reason}", next_step="microclaw firmware list")
        return live

    async def newest_for(self, device: Device) -> str | None:
        """Return the highest version that the device runs or could take; None if no release is for its kind."""
        facts = facts_of(device) if _has_link(device) else None
        if facts is None:
            return None
        versions = [facts.version]
        has_release = False
        for row in await self.table.list():
            if row.kind == "keys" or _fit(row, device):
                continue
            has_release = True
            if not row.allow_downgrade and find_refusal(row, device, self._now_ms()) is None:
                versions.append(row.version)
        if not has_release:
            return None
        return max(versions, key=lambda version: version_numbers(version) or ())

    async def offer(self, device_id: str, release: ReleaseRow, *, by: str, again: bool = False) -> OfferRow:
        """Offer a release, now or when the device is back; an earlier offer of it is returned and not sent again.

        `again`: offer it once more if the last offer of it is over. Raises AlreadyRuns, ConfigError or NotSupported if
        the device would not take it (`find_refusal`), Overloaded if its outbox is full.
        """
        device = self.devices.get(device_id)
        link = link_of(device)
        earlier = await self.table.offers(link.link_id, release.release_id)
        if earlier and not (again and earlier[0].is_over):
            return earlier[0]
        error = find_refusal(release, device, self._now_ms())
        if error is not None:
            raise error
        changed: list[OfferRow] = []

        def keep(connection: Sql) -> None:
            # The transaction may run more than once, so it replaces the rows.
            changed[:] = add_offer(connection, link.link_id, release, by, self._now_ms(), again=again)

        try:
            await link.outbox.send(OtaOffer(release.manifest, release.signature), also=keep)
        except OfferedBefore as exc:
            return exc.row
        self._note(f"{release.name} {release.version}", device, by)
        *superseded, row = changed
        for older in superseded:
            self.heard(older)
        return row

    def select_devices(self, selection: Selection) -> list[Device]:
        """Return the named devices, or the selected devices with a link. Raises ConfigError, UnknownName."""
        selection.check()
        if selection.names:
            return list(dict.fromkeys(self.devices.get(name) for name in selection.names))
        chosen = [device for device in self.devices.list() if selection.selects(device.labels) and _has_link(device)]
        if not chosen:
            text = "no selected device has a link, which updates need"
            raise ConfigError(text, next_step="microclaw device list")
        return chosen

    async def to_each(self, devices: Sequence[Device], rows: Sequence[ReleaseRow], *, by: str) -> list[OfferOutcome]:
        """Offer each device the release of a version that is for it."""
        outcomes = []
        for device in devices:
            try:
                row = await self.offer(device.device_id, release_for(rows, device), by=by, again=True)
                online = self.is_online(device.device_id)
                outcomes.append(OfferOutcome(device=device.name, offer=row, online=online))
            except AlreadyRuns as exc:
                outcomes.append(OfferOutcome(device=device.name, already=exc.version))
            except MicroclawError as exc:
                outcomes.append(OfferOutcome(device=device.name, error=failure_of(exc)))
        return outcomes

    async def status(self, device: str | None = None) -> list[UpdateStatus]:
        """Return the state of each device with a link, or of one device. Raises UnknownName."""
        devices = self.devices.list() if device is None else [self.devices.get(device)]
        foreign = {row.device_id: row for row in await self.table.foreign()}
        latest = {(row.device_id, row.is_of_keys): row for row in await self.table.latest()}
        statuses = []
        for known in filter(_has_link, devices):
            link = link_of(known)
            seen_ms = 0
            runs = None
            if link.presence is not None:
                seen_ms = link.presence.seen_ms
                runs = link.presence.ota
            status = UpdateStatus(
                device=known.name,
                device_id=known.device_id,
                online=link.is_connected_anywhere,
                absent=not link.is_connected_anywhere and self._now_ms() - seen_ms > RESTART_MS,
                runs=runs,
                offer=latest.get((link.link_id, False)),
                keys_offer=latest.get((link.link_id, True)),
                not_ours=foreign.get(link.link_id),
            )
            statuses.append(status)
        return statuses

    async def cancel(self, device_id: str, *, by: str) -> OfferRow | None:
        """Ask the device to give up an update that it has not written yet; return its offer, or None.

        The offer ends with the device's own answer: `idle` with `cancelled`, or its present state.
        """
        device = self.devices.get(device_id)
        link = link_of(device)
        rows = await self.table.offers(link.link_id)
        row = next((offer for offer in rows if offer.state in GIVEN_UP and not offer.is_of_keys), None)
        if row is not None:
            await link.outbox.send(OtaCancel(row.version))
            self._note(f"{row.version} cancelled", device, by)
        return row

    async def offers_of_device(self, device_id: str) -> tuple[OfferRow, ...]:
        """Return the stored offers of a device, the newest first."""
        return await self.table.offers(link_of(self.devices.get(device_id)).link_id)

    # For rollouts

    def is_known(self, device_id: str) -> bool:
        """Return True if the host has this device, with a link."""
        try:
            return _has_link(self.devices.get(device_id))
        except UnknownName:
            return False

    def is_online(self, device_id: str) -> bool:
        """Return True if the device is connected to this host or another one of the cluster."""
        return self.is_known(device_id) and link_of(self.devices.get(device_id)).is_connected_anywhere

    def release_for_device(self, rows: Sequence[ReleaseRow], device: Device) -> ReleaseRow:
        """Return the release of a version that the device gets. Raises MicroclawError with the reason if none."""
        release = release_for(rows, device)
        error = find_refusal(release, device, self._now_ms())
        if error is not None:
            raise error
        return release

    async def start_update(self, rollout: Rollout, device: RolloutDevice) -> End | None:
        """Offer the device the update, once; return the end if it has ended already. Raises MicroclawError."""
        offer = await self._present_offer(rollout, device)
        if offer is not None:
            return _end_of(offer)
        row = rollout.row
        back = rollout.plan.back or rollout.row.undoes is not None
        if back:
            rows = await self.releases_back(row.version)
        else:
            rows = await self.find(row.version)
        release = release_for(rows, self.devices.get(device.device_id), back=back)
        try:
            offer = await self.offer(device.device_id, release, by=row.person_id, again=True)
        except AlreadyRuns:
            # A person has updated the board meanwhile, or it never left that version.
            return "healthy", ""
        return _end_of(offer)

    async def stop_update(self, rollout: Rollout, device: RolloutDevice) -> End | None:
        """Ask the device to give the update up; return the end if it has ended already. Raises MicroclawError."""
        offer = await self._present_offer(rollout, device)
        if offer is None:
            return "failed", "the rollout stopped before the offer went out"
        if not offer.is_over:
            await self.cancel(device.device_id, by=rollout.row.person_id)
        return _end_of(offer)

    async def update_end(self, rollout: Rollout, device: RolloutDevice) -> End | None:
        """Return the end of a device's update, or None if it has not ended or the device is unknown."""
        if not self.is_known(device.device_id):
            return None
        offer = await self._present_offer(rollout, device)
        if offer is None:
            return None
        return _end_of(offer)

    async def releases_back(self, version: str) -> tuple[ReleaseRow, ...]:
        """Return the releases of a version that boards with a higher version take. Raises ConfigError if none."""
        with contextlib.suppress(UnknownName):
            rows = tuple(row for row in await self.find(version) if row.allow_downgrade)
            if rows:
                return rows
        step = f"by the installation of {version}: microclaw firmware publish --version {version} --allow-downgrade ..."
        raise ConfigError(f"{version} has no release that boards may go back to", next_step=step)

    async def _present_offer(self, rollout: Rollout, device: RolloutDevice) -> OfferRow | None:
        """Return the offer of this version that is open, or that ended since the rollout offered it."""
        since_ms = device.offered_ms or 0
        for row in await self.offers_of_device(device.device_id):
            if row.version != rollout.row.version:
                continue
            # The time of its end may be from another host's clock, the time of the offer is from this one.
            if not row.is_over or max(row.offered_ms, row.changed_ms) >= since_ms:
                return row
        return None

    def _note(self, text: str, device: Device, by: str) -> None:
        self._record(AuditEvent(AuditKind.FIRMWARE_OFFERED, text, about=device.name, by=by))


def link_of(device: Device) -> DeviceLink:
    """Return the link of a device. Raises NotSupported if it has none."""
    for transport in device.transports:
        if isinstance(transport, LinkTransport):
            return transport.link
    raise NotSupported(f"{device.name} has no link, which updates need", next_step="by cable: microclaw flash")


def facts_of(device: Device) -> UpdateFacts | None:
    """Return the update facts of a device's last hello; None if it had none. Raises NotSupported."""
    presence = link_of(device).presence
    return None if presence is None else presence.ota


def release_for(rows: Sequence[ReleaseRow], device: Device, *, back: bool = False) -> ReleaseRow:
    """Return the release of a version that fits the device; else the most similar one, for its error.

    `back`: prefer a release that may lower the device's version, otherwise avoid it.
    """
    preferred_first = sorted(rows, key=lambda row: row.allow_downgrade is not back)
    return max(preferred_first, key=lambda row: _FITS.index(_fit(row, device).partition(":")[0]))


def find_refusal(release: ReleaseRow, device: Device, now_ms: int) -> MicroclawError | None:
    """Return why the device would refuse a release, by its last hello; None if the host knows no reason."""
    facts = facts_of(device)
    if facts is None:
        text = f"{device.name} takes no updates: it never connected, or its firmware does not support them"
        return NotSupported(text, next_step="microclaw flash --update-key FILE.pub.pem; start a virtual one again")
    if release.withdrawn_ms is not None:
        return ConfigError(f"{release.version} was withdrawn", next_step="microclaw firmware list")
    if release.version == facts.version and not _fit(release, device):
        return AlreadyRuns(device.name, facts.version)
    if moment_ms(release.expires) <= now_ms:
        return ConfigError(f"{release.version} expired at {release.expires}", next_step="publish a new version")
    reason = _device_reason(release, device, facts)
    if reason:
        step = f"microclaw firmware list {release.release_id}"
        return ConfigError(f"{device.name} would refuse {release.version}: {reason}", next_step=step)
    return None


def _device_reason(release: ReleaseRow, device: Device, facts: UpdateFacts) -> str:
    """Return the code and words of the device's own checks, in their order; "" if it would take the release."""
    if release.key_id not in facts.keys:
        return f"unknown_key: {release.key_id}, it trusts {', '.join(facts.keys) or 'none'}"
    if release.kind not in (*facts.kinds, "keys"):
        return f"no_slot: it takes {', '.join(facts.kinds) or 'nothing'}, not the kind {release.kind}"
    reason = _fit(release, device)
    if not reason and release.kind != "keys":
        reason = _refusal(ota_check.check_age, release, device)
    return reason


def _fit(release: ReleaseRow, device: Device) -> str:
    """Return why a release is for other devices, "" if it is for this one."""
    return _refusal(ota_check.check_fit, release, device)


def _refusal(check: Callable[..., None], release: ReleaseRow, device: Device) -> str:
    """Return the code and words of the device's own check if that would refuse the release, else ""."""
    facts = facts_of(device)
    link = link_of(device)
    if facts is None:
        return _FITS[0]
    values = {}
    for name in _CHECKED:
        value = getattr(release, name)
        # A row has empty values for fields that its manifest does not have.
        if value not in ("", ()):
            values[name] = value
    own_id = link.link_id
    if release.device == device.device_id:
        own_id = release.device
    # Only the device knows its free room, so every size is 0 here.
    no_size = {"size": 0, "slot_bytes": 0, "room_bytes": 0}
    try:
        check({**values, **no_size}, {**asdict(facts), "device": own_id, **no_size})
    except ota_check.Refused as refused:
        return str(refused.error())
    return ""


def _has_link(device: Device) -> bool:
    return any(isinstance(transport, LinkTransport) for transport in device.transports)


def running_version(device: Device) -> str:
    """Return the version that the device reported last, "" if it reported none."""
    facts = facts_of(device)
    return "" if facts is None else facts.version


def _end_of(row: OfferRow) -> End | None:
    """Return the end of an offer, or None if it is open; a cancelled or superseded offer has failed."""
    if not row.is_over:
        return None
    state: DeviceState = next((end for end in _ENDS if end == row.state), "failed")
    return state, row.error or ""
