"""The host's devices by name and id: adds, renames, merges, and serves each on the bus. Speaks to no device itself."""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Self

from microclaw.audit import AuditEvent, AuditKind, Record, no_record
from microclaw.boards.firmware import FirmwareDescription, described_text, parse_firmware
from microclaw.boards.profile import BoardProfile
from microclaw.bus import Bus
from microclaw.devices.calls import Call
from microclaw.devices.device import QUEUE_DEPTH, BoardTransport, Device, ExplainSilence, Transport, TransportOpener
from microclaw.errors import ConfigError, MicroclawError, UnknownName
from microclaw.store.devices import DeviceRow, DeviceTable

_NAME = re.compile(r"[a-z0-9-]{1,32}")
_LABEL = re.compile(r"[a-z0-9-]{1,32}(=[a-z0-9._-]{1,32})?")


def check_name(name: str) -> str:
    """The name itself; ConfigError with a usable form when it is not one."""
    if _NAME.fullmatch(name):
        return name
    usable = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:32]
    raise ConfigError(
        f"a device's name is 1 to 32 of a-z, 0-9 and '-', not {name!r}",
        next_step=f"try {usable}" if usable else "try board-1",
    )


def check_label(label: str) -> str:
    """The label itself: a word, or a word and its value ("room=kitchen"). ConfigError when it is neither."""
    if _LABEL.fullmatch(label):
        return label
    raise ConfigError(
        f"a label is 1 to 32 of a-z, 0-9 and '-', and may have a value behind '=', not {label[:80]!r}",
        next_step="microclaw device label NAME indoor room=kitchen",
    )


def unknown_device(reference: str, known: Sequence[str]) -> UnknownName:
    near = difflib.get_close_matches(reference, known, n=3)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif known:
        hint = f"devices: {', '.join(sorted(known))}"
    else:
        hint = "start one: microclaw up --virtual 1, or add yours: microclaw device add NAME TRANSPORT"
    return UnknownName(f"no device named {reference!r}", next_step=hint)


MAX_DEVICES = 1000
MAX_LABELS = 16
HOST = "this host"  # who changed a device where no person did: a device that was paired, the host's own boards


class Registry:
    """`async with Registry(...)` loads the devices and serves them; leaving closes every transport.

    Each change of a device's row has a line in the security log: `by` is the name of the person who made it.
    """

    def __init__(
        self,
        *,
        bus: Bus,
        store: DeviceTable,
        open_transport: TransportOpener,
        load_board: Callable[[str], BoardProfile],
        mint_id: Callable[[], str],
        now_ms: Callable[[], int],
        record: Record = no_record,
    ) -> None:
        self._bus = bus
        self._store = store
        self._open_transport = open_transport
        self._load_board = load_board
        self.mint_id = mint_id
        self._now_ms = now_ms
        self._record = record
        self._devices: dict[str, Device] = {}
        self._rows: dict[str, DeviceRow] = {}
        self._owners: dict[str, Device] = {}  # who had an endpoint when it was last asked; each message asks
        self._serving: dict[str, AsyncExitStack] = {}
        self._changing = asyncio.Lock()
        self.explain_silence: ExplainSilence | None = None  # of every device; it knows the programs on it

    async def __aenter__(self) -> Self:
        try:
            for row in await self._store.list():
                board = parse_firmware(row.firmware).applied(self._load_board(row.board_id))
                transports = [self._open_transport(endpoint, board) for endpoint in row.transports]
                await self._serve(row, board, transports)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    def list(self) -> tuple[Device, ...]:
        """Every device, by name."""
        return tuple(sorted(self._devices.values(), key=lambda device: device.name))

    def get(self, reference: str) -> Device:
        """The device of this name or id; UnknownName lists the near ones."""
        if reference in self._devices:
            return self._devices[reference]
        for device in self._devices.values():
            if device.name == reference:
                return device
        raise unknown_device(reference, [device.name for device in self._devices.values()])

    def owner_of(self, endpoint: str) -> Device | None:
        """Which device has this transport."""
        known = self._owners.get(endpoint)
        if known is None or known.device_id not in self._devices or endpoint not in known.endpoints:
            known = next((device for device in self._devices.values() if endpoint in device.endpoints), None)
            self._owners.pop(endpoint, None)
            if known is not None:
                self._owners[endpoint] = known
        return known

    async def add(
        self,
        name: str,
        board_id: str,
        transports: Sequence[str],
        labels: Iterable[str] = (),
        firmware: FirmwareDescription | None = None,
        *,
        device_id: str | None = None,
        reached: bool = True,
        by: str = HOST,
    ) -> Device:
        """A new device under a free name; every transport is an address that no other device has.

        Not `reached`: a person typed its address, and nobody has asked it yet.
        `device_id` is what `mint_id` gave before, for who must know it first.
        """
        firmware = firmware or FirmwareDescription()
        async with self._changing:
            self._check_new_name(name)
            if len(self._devices) >= MAX_DEVICES:
                raise ConfigError(f"{MAX_DEVICES} devices is the limit", next_step="microclaw device list")
            board = firmware.applied(self._load_board(board_id))
            kept_labels = _check_labels(labels)
            opened = self._open_new_transports(transports, board, None)
            endpoints = tuple(transport.endpoint for transport in opened)
            row = DeviceRow(
                device_id or self.mint_id(),
                name,
                board_id,
                kept_labels,
                endpoints,
                self._now_ms(),
                firmware.words,
                reached,
            )
            await self._store.put(row)
            at = f", at {' '.join(endpoints)}" if endpoints else ""
            self._note(AuditKind.DEVICE_ADDED, f"{board_id}{at}", name, by, known=(board_id,))
            return await self._serve(row, board, opened)

    async def rename(self, reference: str, name: str, *, by: str = HOST) -> Device:
        """Give a device another free name; its id stays."""
        async with self._changing:
            device = self.get(reference)
            if name != device.name:
                self._check_new_name(name)
                await self._keep(replace(self._rows[device.device_id], name=name), by)
                device.name = name
            return device

    async def label(self, reference: str, labels: Iterable[str], *, by: str = HOST) -> Device:
        """Replace a device's labels."""
        async with self._changing:
            device = self.get(reference)
            kept = _check_labels(labels)
            await self._keep(replace(self._rows[device.device_id], labels=kept), by)
            device.labels = kept
            return device

    async def describe_firmware(self, reference: str, firmware: FirmwareDescription, *, by: str = HOST) -> Device:
        """Replace what is said of a device's firmware; what runs on it is not touched."""
        async with self._changing:
            return await self._describe(self.get(reference), firmware, by)

    async def set_transports(self, reference: str, transports: Sequence[str], *, by: str | None = None) -> Device:
        """Replace a device's transports; those that stay keep their connection.

        Without `by` it has no line in the security log: a virtual board of the host has other ports at each start.
        """
        async with self._changing:
            return await self._set_transports(self.get(reference), transports, by)

    async def add_transport(self, reference: str, endpoint: str) -> Device:
        """One more way into a device that is just being paired, which the security log tells."""
        async with self._changing:
            device = self.get(reference)
            return await self._set_transports(device, (*device.endpoints, endpoint), None)

    def check_merge(self, reference: str, other: str) -> tuple[Device, Device]:
        """The two; ConfigError when they cannot be one board."""
        device, gone = self.get(reference), self.get(other)
        if device is gone:
            raise ConfigError(f"{device.name} cannot be merged with itself", next_step="microclaw device list")
        if device.board.board_id != gone.board.board_id:
            raise ConfigError(
                f"{device.name} is a {device.board.title}, {gone.name} a {gone.board.title}: not one board",
                next_step="add the wrong one again with the right board",
            )
        return device, gone

    async def merge(self, reference: str, other: str, *, by: str = HOST) -> Device:
        """Two entries are one board: `other`'s transports and labels go to the first, the other entry ends.

        The first one's firmware description stays, or the other's is taken where it has none. Telemetry and crashes of
        both are the first one's.
        """
        async with self._changing:
            device, gone = self.check_merge(reference, other)
            transports = (*device.endpoints, *gone.endpoints)
            described = self._rows[device.device_id].firmware or self._rows[gone.device_id].firmware
            await self._remove(gone, f"it is one with {device.name} now", by, heir=device.device_id)
            device.labels = tuple(dict.fromkeys((*device.labels, *gone.labels)))[:MAX_LABELS]
            await self._set_transports(device, transports, by)
            return await self._describe(device, parse_firmware(described), by)

    async def remove(self, reference: str, *, by: str = HOST) -> None:
        """Forget a device; what runs on it goes on."""
        async with self._changing:
            device = self.get(reference)
            await self._remove(device, device.board.board_id, by)

    async def _describe(self, device: Device, firmware: FirmwareDescription, by: str) -> Device:
        row = self._rows[device.device_id]
        board = firmware.applied(self._load_board(row.board_id))
        await self._keep(replace(row, firmware=firmware.words), by)
        device.board = board
        for transport in device.transports:
            if isinstance(transport, BoardTransport):
                transport.board = board
        return device

    async def _set_transports(self, device: Device, transports: Sequence[str], by: str | None) -> Device:
        kept = {transport.endpoint: transport for transport in device.transports if transport.endpoint in transports}
        opened = {
            transport.endpoint: transport
            for transport in self._open_new_transports(transports, device.board, device)
            if transport.endpoint not in kept
        }
        merged = {**kept, **opened}
        dropped = [transport for transport in device.transports if transport.endpoint not in merged]
        row = replace(self._rows[device.device_id], labels=device.labels, transports=tuple(merged))
        await self._keep(row, by)
        device.transports = tuple(merged.values())
        for transport in dropped:
            await transport.close()
        return device

    def _open_new_transports(
        self, endpoints: Sequence[str], board: BoardProfile, device: Device | None
    ) -> Sequence[Transport]:
        opened: dict[str, Transport] = {}
        for endpoint in endpoints:
            transport = self._open_transport(endpoint, board)
            owner = self.owner_of(transport.endpoint)
            if owner is not None and owner is not device:
                raise ConfigError(
                    f"{transport.endpoint} belongs to {owner.name} already",
                    next_step=f"use {owner.name}, or join two entries: microclaw device merge {owner.name} OTHER",
                )
            opened.setdefault(transport.endpoint, transport)
        return tuple(opened.values())

    def _check_new_name(self, name: str) -> None:
        check_name(name)
        if any(device.name == name for device in self._devices.values()):
            raise ConfigError(
                f"there is a device named {name} already", next_step=f"see it: microclaw device show {name}"
            )

    async def _keep(self, row: DeviceRow, by: str | None) -> None:
        """Store the device as it is going to be; memory and the security log follow only when that succeeded."""
        await self._store.put(row)
        before = self._rows[row.device_id]
        self._rows[row.device_id] = row
        if by is not None:
            for text in _differences(before, row):
                self._note(AuditKind.DEVICE_CHANGED, text, row.name, by)

    def _note(self, kind: AuditKind, text: str, name: str, by: str, known: tuple[str, ...] = ()) -> None:
        self._record(AuditEvent(kind, text, about=name, by=by, known=known))

    async def _serve(self, row: DeviceRow, board: BoardProfile, transports: Iterable[Transport]) -> Device:
        device_id = row.device_id
        device = Device(
            device_id=device_id,
            name=row.name,
            board=board,
            labels=row.labels,
            transports=transports,
            bus=self._bus,
            explain=self._explain,
            reached=row.reached,
            note_reached=self._note_reached,
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._bus.serve(device.subject, device.handle, depth=QUEUE_DEPTH))
            await stack.enter_async_context(self._bus.serve(device.console_subject, device.handle, depth=QUEUE_DEPTH))
            self._serving[device_id] = stack.pop_all()
        self._devices[device_id] = device
        self._rows[device_id] = row
        return device

    async def _note_reached(self, device: Device) -> None:
        """Not under the lock of changes: a device that is removed is waited for, and so is its call."""
        await self._store.mark_reached(device.device_id)

    async def _explain(self, device: Device, call: Call[Any], error: MicroclawError) -> MicroclawError:
        return error if self.explain_silence is None else await self.explain_silence(device, call, error)

    async def _remove(self, device: Device, text: str, by: str, *, heir: str | None = None) -> None:
        await self._store.delete(device.device_id, heir=heir)
        self._note(AuditKind.DEVICE_REMOVED, text, device.name, by)
        del self._devices[device.device_id], self._rows[device.device_id]
        await self._serving.pop(device.device_id).aclose()
        await device.close()

    async def _close(self) -> None:
        """Stop serving and close every transport, also when one of them fails."""
        async with AsyncExitStack() as closing:
            for device in self._devices.values():
                closing.push_async_callback(device.close)
            for stack in self._serving.values():
                closing.push_async_callback(stack.aclose)
            self._devices, self._serving = {}, {}


def _differences(before: DeviceRow, after: DeviceRow) -> Iterator[str]:
    """What is another now, the new first."""
    if before.name != after.name:
        yield f"name: {after.name}, was {before.name}"
    for what, old, new in (
        ("labels", before.labels, after.labels),
        ("transports", before.transports, after.transports),
    ):
        if old != new:
            yield f"{what}: {' '.join(new) or 'none'}, was {' '.join(old) or 'none'}"
    if before.firmware != after.firmware:
        yield f"firmware: {described_text(after.firmware)}, was {described_text(before.firmware)}"


def _check_labels(labels: Iterable[str]) -> tuple[str, ...]:
    kept = tuple(dict.fromkeys(check_label(label) for label in labels))
    if len(kept) > MAX_LABELS:
        raise ConfigError(f"{len(kept)} labels on one device, {MAX_LABELS} is the limit", next_step="use fewer labels")
    return kept
