"""Offers of releases to devices, and how each stands. It chooses no device.

An offer is a durable message: the row here and the message in the device's outbox are one transaction, so that nothing
is offered twice, also when the host is killed in between.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from msgspec.structs import asdict

from microclaw.audit.event import AuditEvent, AuditKind, Record
from microclaw.boards.firmware import UpdateFacts
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.devices.selection import Selection
from microclaw.errors import ConfigError, MicroclawError, NotSupported, UnknownName
from microclaw.firmware_modules import ota_check
from microclaw.link_server.device_link import DeviceLink
from microclaw.link_server.transport import LinkTransport
from microclaw.ota.manifest import moment_ms, version_numbers
from microclaw.ota.results import OfferOutcome, UpdateStatus
from microclaw.ota.rollout import Rollout
from microclaw.store.firmware import GIVEN_UP, FirmwareTable, OfferedBefore, OfferRow, ReleaseRow, offer_in
from microclaw.store.rollouts import DeviceState, RolloutDevice
from microclaw.store.sql import Sql
from microclaw.wire.host_api import failure_of
from microclaw.wire.link.messages import OtaCancel, OtaOffer

RESTART_MS: Final = 120_000
"""A board that is short of memory restarts for an offer: it is absent only after that."""
_FITS: Final = ("wrong_name", "wrong_board", "wrong_revision", "wrong_device", "wrong_channel", "")
"""The codes of `ota_check.check_fit` in the order of its checks; "" where it fits."""
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
    """`now_ms` is the wall clock. `heard` is called for an offer that another superseded, once that is on the disk."""

    def __init__(self, table: FirmwareTable, devices: Registry, *, now_ms: Callable[[], int], record: Record) -> None:
        self.table = table
        self.devices = devices
        self._now_ms = now_ms
        self._record = record
        self.heard: Callable[[OfferRow], None] = lambda _row: None

    async def find(self, text: str) -> tuple[ReleaseRow, ...]:
        """Releases by number or version that are not withdrawn, the newest first. Raises UnknownName."""
        rows = await self.table.list()
        found = tuple(row for row in rows if text in (str(row.release_id), row.version))
        live = tuple(row for row in found if row.withdrawn_ms is None)
        if not live:
            what = "was withdrawn" if found else "was never published here"
            raise UnknownName(f"the release {text[:40]!r} {what}", next_step="microclaw firmware list")
        return live

    async def newest_for(self, device: Device) -> str | None:
        """The highest version that the device could take, or the one it runs; None where no release is for its kind."""
        if not _has_link(device) or (facts := facts_of(device)) is None:
            return None
        rows = [row for row in await self.table.list() if row.kind != "keys" and _fit(row, device) == ""]
        takes = [row for row in rows if not row.allow_downgrade and obstacle(row, device, self._now_ms()) is None]
        versions = [facts.version, *(row.version for row in takes)]
        if rows:
            return max(versions, key=lambda version: version_numbers(version) or ())
        return None

    async def offer(self, device_id: str, release: ReleaseRow, *, by: str, again: bool = False) -> OfferRow:
        """Offer it, now or when the device is back. A device that was offered it before is asked nothing.

        `again`: once more where the last offer of it is over. Raises AlreadyRuns, ConfigError or NotSupported where the
        host knows that the device does not take it (`obstacle`), Overloaded when its outbox is full.
        """
        device = self.devices.get(device_id)
        link = link_of(device)
        before = await self.table.offers(link.link_id, release.release_id)
        if before and not (again and before[0].is_over):
            return before[0]
        error = obstacle(release, device, self._now_ms())
        if error is not None:
            raise error
        made: list[OfferRow] = []

        def keep(connection: Sql) -> None:
            made[:] = offer_in(connection, link.link_id, release, by, self._now_ms(), again=again)

        try:
            await link.send(OtaOffer(release.manifest, release.signature), also=keep)
        except OfferedBefore as exc:
            return exc.row
        self._note(f"{release.name} {release.version}", device, by)
        *superseded, row = made
        for older in superseded:
            self.heard(older)
        return row

    def chosen(self, selection: Selection) -> list[Device]:
        """Those that are named, or of those that are meant the ones with a link. Raises ConfigError, UnknownName."""
        selection.check()
        if selection.names:
            return list(dict.fromkeys(self.devices.get(name) for name in selection.names))
        found = [one for one in self.devices.list() if selection.means(one.labels) and _has_link(one)]
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
                online = self.is_online(device.device_id)
                found.append(OfferOutcome(device=device.name, offer=row, online=online))
            except AlreadyRuns as exc:
                found.append(OfferOutcome(device=device.name, already=exc.version))
            except MicroclawError as exc:
                found.append(OfferOutcome(device=device.name, error=failure_of(exc)))
        return found

    async def status(self, device: str | None = None) -> list[UpdateStatus]:
        """The state of each device with a link, or of one. Raises UnknownName."""
        devices = self.devices.list() if device is None else [self.devices.get(device)]
        foreign = {row.device_id: row for row in await self.table.foreign()}
        latest = {(row.device_id, row.is_of_keys): row for row in await self.table.latest()}
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
        device = self.devices.get(device_id)
        link = link_of(device)
        rows = await self.table.offers(link.link_id)
        row = next((one for one in rows if one.state in GIVEN_UP and not one.is_of_keys), None)
        if row is not None:
            await link.send(OtaCancel(row.version))
            self._note(f"{row.version} cancelled", device, by)
        return row

    async def standing(self, device_id: str) -> tuple[OfferRow, ...]:
        """Its offers, the newest first, as they are on the disk."""
        return await self.table.offers(link_of(self.devices.get(device_id)).link_id)

    # What a rollout asks for its boards

    def is_known(self, device_id: str) -> bool:
        try:
            return _has_link(self.devices.get(device_id))
        except UnknownName:
            return False

    def is_online(self, device_id: str) -> bool:
        return self.is_known(device_id) and link_of(self.devices.get(device_id)).anywhere

    def fitting(self, rows: Sequence[ReleaseRow], device: Device) -> ReleaseRow:
        """The release of a version that the device gets. Raises MicroclawError with why it takes none."""
        release = release_for(rows, device)
        error = obstacle(release, device, self._now_ms())
        if error is not None:
            raise error
        return release

    async def start_update(self, rollout: Rollout, device: RolloutDevice) -> End | None:
        """Offer it the update, once; its end where that is known already. Raises MicroclawError."""
        given = await self._given(rollout, device)
        if given is not None:
            return _end_of(given)
        row = rollout.row
        back = rollout.plan.back or rollout.row.undoes is not None
        if back:
            rows = await self.releases_back(row.version)
        else:
            rows = await self.find(row.version)
        release = release_for(rows, self.devices.get(device.device_id), back=back)
        try:
            return _end_of(await self.offer(device.device_id, release, by=row.person_id, again=True))
        except AlreadyRuns:  # somebody gave it to the board since, or it never left that version
            return "healthy", ""

    async def stop_update(self, rollout: Rollout, device: RolloutDevice) -> End | None:
        """Ask it to give the update up; its end where that is known already. Raises MicroclawError."""
        given = await self._given(rollout, device)
        if given is None:
            return "failed", "the rollout stopped before the offer went out"
        if not given.is_over:
            await self.cancel(device.device_id, by=rollout.row.person_id)
        return _end_of(given)

    async def update_end(self, rollout: Rollout, device: RolloutDevice) -> End | None:
        """The end of its update, None where it has none yet."""
        if self.is_known(device.device_id):
            given = await self._given(rollout, device)
        else:
            given = None
        if given is None:
            return None
        return _end_of(given)

    async def releases_back(self, version: str) -> tuple[ReleaseRow, ...]:
        """Releases of a version that boards with a higher one take. Raises ConfigError where there is none."""
        with contextlib.suppress(UnknownName):
            rows = tuple(row for row in await self.find(version) if row.allow_downgrade)
            if rows:
                return rows
        step = f"by the installation of {version}: microclaw firmware publish --version {version} --allow-downgrade ..."
        raise ConfigError(f"{version} is not published as one that boards may go back to", next_step=step)

    async def _given(self, rollout: Rollout, device: RolloutDevice) -> OfferRow | None:
        """Its offer of this version that goes on, or ended since the rollout came to it."""
        rows = await self.standing(device.device_id)
        meant = (row for row in rows if row.version == rollout.row.version)
        since_ms = device.offered_ms or 0
        for row in meant:  # the offer's time is of this clock, its end's may be of another host's
            if not row.is_over or max(row.offered_ms, row.changed_ms) >= since_ms:
                return row
        return None

    def _note(self, text: str, device: Device, by: str) -> None:
        self._record(AuditEvent(AuditKind.FIRMWARE_OFFERED, text, about=device.name, by=by))


def link_of(device: Device) -> DeviceLink:
    """Raises NotSupported for a device without a link."""
    for transport in device.transports:
        if isinstance(transport, LinkTransport):
            return transport.link
    raise NotSupported(f"{device.name} has no link, by which updates come", next_step="by cable: microclaw flash")


def facts_of(device: Device) -> UpdateFacts | None:
    """The updates that it takes, by its last hello; None: it said nothing of them. Raises NotSupported."""
    presence = link_of(device).presence
    return None if presence is None else presence.ota


def release_for(rows: Sequence[ReleaseRow], device: Device, *, back: bool = False) -> ReleaseRow:
    """The one of a version that fits the device; else the one that is nearest to it, for its error.

    `back`: one that may be lower than what the device runs goes first, else last.
    """
    rows = sorted(rows, key=lambda row: row.allow_downgrade is not back)
    return max(rows, key=lambda row: _FITS.index(_fit(row, device).partition(":")[0]))


def obstacle(release: ReleaseRow, device: Device, now_ms: int) -> MicroclawError | None:
    """Why the device would refuse it, by its last hello; None where the host knows no reason."""
    facts = facts_of(device)
    if facts is None:
        text = f"{device.name} takes no updates: it never connected, or its firmware did not say so"
        return NotSupported(text, next_step="microclaw flash --update-key FILE.pub.pem; start a virtual one again")
    if release.withdrawn_ms is not None:
        return ConfigError(f"{release.version} was withdrawn", next_step="microclaw firmware list")
    if release.version == facts.version and not _fit(release, device):
        return AlreadyRuns(device.name, facts.version)
    if moment_ms(release.expires) <= now_ms:
        return ConfigError(f"{release.version} expired at {release.expires}", next_step="publish a new version")
    if release.key_id not in facts.keys:
        why = f"unknown_key: {release.key_id}, it trusts {', '.join(facts.keys) or 'none'}"
    elif release.kind not in (*facts.kinds, "keys"):
        why = f"no_slot: it takes {', '.join(facts.kinds) or 'nothing'}, not the kind {release.kind}"
    else:
        why = _fit(release, device)
        if not why and release.kind != "keys":
            why = _refusal(ota_check.check_age, release, device)
    if why:
        step = f"microclaw firmware list {release.release_id}"
        return ConfigError(f"{device.name} would refuse {release.version}: {why}", next_step=step)
    return None


def _fit(release: ReleaseRow, device: Device) -> str:
    """Why it was made for other devices, "" where it was not."""
    return _refusal(ota_check.check_fit, release, device)


def _refusal(check: Callable[..., None], release: ReleaseRow, device: Device) -> str:
    """The code and words with which the device's own check would refuse it, "" where it would not."""
    facts = facts_of(device)
    link = link_of(device)
    if facts is None:
        return _FITS[0]
    values = {name: value for name in _CHECKED if (value := getattr(release, name)) not in ("", ())}
    is_this = release.device in (device.device_id, link.link_id)
    told = {**asdict(facts), "device": release.device if is_this else link.link_id}
    no_size = {"size": 0, "slot_bytes": 0, "room_bytes": 0}  # what room it has, the device knows alone
    try:
        check({**values, **no_size}, {**told, **no_size})
    except ota_check.Refused as refused:
        return str(refused.error())
    return ""


def _has_link(device: Device) -> bool:
    return any(isinstance(transport, LinkTransport) for transport in device.transports)


def running_version(device: Device) -> str:
    """The version that it said last, "" where it said none."""
    facts = facts_of(device)
    return "" if facts is None else facts.version


def _end_of(row: OfferRow) -> End | None:
    """An offer that was cancelled, or superseded by another one, has failed."""
    state: DeviceState = next((end for end in _ENDS if end == row.state), "failed")
    if row.is_over:
        return (state, row.error or "")
    return None
