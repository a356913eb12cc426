"""The host's devices by name and id: adds, renames, merges them. Speaks to no device itself."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from operator import attrgetter
from typing import Any, Self

from msgspec.structs import replace

from microclaw.addresses import is_of_one_machine
from microclaw.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.boards import load_board
from microclaw.boards.firmware import FirmwareDescription, parse_firmware
from microclaw.boards.profile import BoardProfile
from microclaw.clock import now_ms
from microclaw.devices import entry
from microclaw.devices.calls import Call
from microclaw.devices.device import Device, ExplainSilence, TransportOpener
from microclaw.devices.machine import ONLY_MACHINE, Machine, merged_host
from microclaw.devices.transport import Transport
from microclaw.errors import ConfigError, DeviceUnreachable, InstallInterrupted, MicroclawError, StoreError
from microclaw.store.devices import DeviceRow, DeviceTable

_log = logging.getLogger(__name__)
MAX_DEVICES = 10_000  # measured: 8 KB each in memory, 0.1 ms each in a list (bench host); nothing grows faster
HOST = "this host"  # who changed a device where no person did: a device that was paired, the host's own boards


class Registry:
    """`async with Registry(...)` loads the devices; leaving closes every one.

    Each change of a device's row has a line in the security log: `by` is the name of the person who made it.
    """

    def __init__(
        self,
        *,
        store: DeviceTable,
        open_transport: TransportOpener,
        load_board: Callable[[str], BoardProfile] = load_board,
        mint_id: Callable[[], str] = lambda: f"d-{secrets.token_hex(4)}",
        now_ms: Callable[[], int] = now_ms,
        record: Record = no_record,
        machine: Machine = ONLY_MACHINE,
    ) -> None:
        self._store = store
        self._open_transport = open_transport
        self._load_board = load_board
        self.mint_id = mint_id
        self._now_ms = now_ms
        self._record = record
        self._machine = machine
        self._devices: dict[str, Device] = {}
        self._owners: dict[str, Device] = {}  # who had an endpoint when it was last asked; each message asks
        self._changing = asyncio.Lock()
        self._is_closed = False
        self.explain_silence: ExplainSilence | None = None  # of every device; it knows the programs on it
        self.removed_elsewhere: Callable[[Device], None] = lambda _: None  # called once the other devices are as there

    async def __aenter__(self) -> Self:
        self._store.follow(self._refresh)
        try:
            async with self._changing:
                for row in await self._store.list():
                    self._load(row)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._changing:  # what another host changed is taken over whole, or not any more
            self._is_closed = True
            await self._close()

    def list(self) -> tuple[Device, ...]:
        """Every device, by name."""
        return tuple(sorted(self._devices.values(), key=attrgetter("name")))

    def get(self, reference: str) -> Device:
        """The device of this name or id; UnknownName lists the near ones."""
        if reference in self._devices:
            return self._devices[reference]
        for device in self._devices.values():
            if device.name == reference:
                return device
        raise entry.unknown_device(reference, [device.name for device in self._devices.values()])

    def owner_of(self, endpoint: str) -> Device | None:
        """The device that has this transport; of a port the one of this host's machine."""
        known = self._owners.get(endpoint)
        if known is None or known.device_id not in self._devices or not self._machine.has(known, endpoint):
            known = next((one for one in self._devices.values() if self._machine.has(one, endpoint)), None)
            self._owners.pop(endpoint, None)
            if known is not None:
                self._owners[endpoint] = known
        return known

    async def find_owner(self, endpoint: str) -> Device | None:
        """As `owner_of`; before it says None it looks what other hosts wrote. StoreError when it cannot."""
        owner = self.owner_of(endpoint)
        if owner is None and self._store.is_shared:
            await self._refresh()
            owner = self.owner_of(endpoint)
        return owner

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
            kept_labels = entry.check_labels(labels)
            endpoints = self._new_endpoints(transports, board, None)
            host = self._machine.host_of_new(name, None, endpoints)
            key = device_id or self.mint_id()
            made_ms = self._now_ms()
            row = DeviceRow(key, name, board_id, kept_labels, made_ms, firmware.words, reached, endpoints, host)
            await self._store_new(row)
            if endpoints:
                at = f", at {' '.join(endpoints)}"
            else:
                at = ""
            self._note(AuditKind.DEVICE_ADDED, f"{board_id}{at}", name, by, known=(board_id,))
            return self._load(row)

    async def rename(self, reference: str, name: str, *, by: str = HOST) -> Device:
        """Give a device another free name; its id stays."""
        async with self._changing:
            device = self.get(reference)
            if name != device.name:
                self._check_new_name(name)
                await self._change(device, replace(device.row, name=name), by)
            return device

    async def label(self, reference: str, labels: Iterable[str], *, by: str = HOST) -> Device:
        """Replace a device's labels."""
        async with self._changing:
            device = self.get(reference)
            return await self._change(device, replace(device.row, labels=entry.check_labels(labels)), by)

    async def describe_firmware(self, reference: str, firmware: FirmwareDescription, *, by: str = HOST) -> Device:
        """Replace what is said of a device's firmware; what runs on it is not touched."""
        async with self._changing:
            device = self.get(reference)
            return await self._change(device, replace(device.row, firmware=firmware.words), by)

    async def set_transports(self, reference: str, transports: Sequence[str], *, by: str | None = None) -> Device:
        """Replace a device's transports; those that stay keep their connection.

        Without `by` it has no line in the security log: a virtual board of the host has other ports at each start.
        """
        async with self._changing:
            device = self.get(reference)
            return await self._set_transports(device, device.row, transports, by)

    async def add_transport(self, reference: str, endpoint: str) -> Device:
        """One more way into a device that is just being paired, which the security log tells."""
        async with self._changing:
            device = self.get(reference)
            return await self._set_transports(device, device.row, (*device.endpoints, endpoint), None)

    def check_merge(self, reference: str, other: str) -> tuple[Device, Device]:
        """The two; ConfigError when they cannot be one board."""
        device = self.get(reference)
        gone = self.get(other)
        if device is gone:
            raise ConfigError(f"{device.name} cannot be merged with itself", next_step="microclaw device list")
        if device.board.board_id != gone.board.board_id:
            text = f"{device.name} is a {device.board.title}, {gone.name} a {gone.board.title}: not one board"
            raise ConfigError(text, next_step="add the wrong one again with the right board")
        merged_host(device.name, device.host, gone.name, gone.host)
        return device, gone

    async def merge(self, reference: str, other: str, *, by: str = HOST) -> Device:
        """Two entries are one board: `other`'s transports and labels go to the first, the other entry ends.

        The first one's firmware description stays, or the other's is taken where it has none. Telemetry and crashes of
        both are the first one's.
        """
        async with self._changing:
            device, gone = self.check_merge(reference, other)
            transports = (*device.endpoints, *gone.endpoints)
            await self._remove(gone, f"it is one with {device.name} now", by, heir=device.device_id)
            labels = tuple(dict.fromkeys((*device.labels, *gone.labels)))[: entry.MAX_LABELS]
            row = replace(device.row, labels=labels, firmware=device.row.firmware or gone.row.firmware)
            host = merged_host(device.name, device.host, gone.name, gone.host)
            return await self._set_transports(device, row, transports, by, host=host)

    async def remove(self, reference: str, *, by: str = HOST) -> None:
        """Forget a device; what runs on it goes on."""
        async with self._changing:
            device = self.get(reference)
            await self._remove(device, device.board.board_id, by)

    async def _set_transports(
        self, device: Device, row: DeviceRow, transports: Sequence[str], by: str | None, *, host: str | None = None
    ) -> Device:
        """`row` with these transports. `host`: whose machine has the new ports; this one's when left out."""
        kept = [endpoint for endpoint in device.endpoints if endpoint in transports]
        new = self._new_endpoints([one for one in transports if one not in kept], device.board, device)
        added = [endpoint for endpoint in new if endpoint not in device.endpoints]
        host = host or self._machine.host_of_new(device.name, device.host, added)
        return await self._change(device, replace(row, transports=tuple(dict.fromkeys((*kept, *new))), host=host), by)

    def _new_endpoints(self, typed: Iterable[str], board: BoardProfile, device: Device | None) -> tuple[str, ...]:
        """As transports write them; ConfigError for one that is no address, or another device's."""
        found = tuple(dict.fromkeys(self._open_transport(endpoint, board).endpoint for endpoint in typed))
        for endpoint in found:
            self._check_owner(endpoint, device)
        return found

    def _check_owner(self, endpoint: str, device: Device | None) -> None:
        owner = self.owner_of(endpoint)
        if owner is not None and owner is not device:
            step = f"use {owner.name}, or join two entries: microclaw device merge {owner.name} OTHER"
            raise ConfigError(f"{endpoint} belongs to {owner.name} already", next_step=step)

    def _check_new_name(self, name: str, device_id: str | None = None) -> None:
        entry.check_name(name)
        if any(device.name == name and device.device_id != device_id for device in self._devices.values()):
            text = f"there is a device named {name} already"
            raise ConfigError(text, next_step=f"see it: microclaw device show {name}")

    async def _change(self, device: Device, row: DeviceRow, by: str | None) -> Device:
        """Store the device as it is going to be; memory and the security log follow only when that succeeded."""
        before = device.row
        board = self._board_of(row)
        try:
            is_stored = await self._store.replace(before, row)
        except StoreError:
            await self._read_anew()  # another host may have been faster
            self._check_free(row)
            raise
        if not is_stored:
            await self._read_anew()
            text = f"{before.name} was changed or removed meanwhile, at another host of the cluster"
            raise ConfigError(text, next_step=f"see it, then do it again: microclaw device show {before.name}")
        if by is not None:
            for text in entry.differences(before, row):
                self._note(AuditKind.DEVICE_CHANGED, text, row.name, by)
        await self._take_over(device, row, board)
        return device

    async def _store_new(self, row: DeviceRow) -> None:
        try:
            await self._store.put(row)
        except StoreError:
            await self._read_anew()
            self._check_free(row)
            raise

    def _check_free(self, row: DeviceRow) -> None:
        """ConfigError where the name or a transport is another device's."""
        self._check_new_name(row.name, row.device_id)
        for endpoint in row.transports:
            self._check_owner(endpoint, self._devices.get(row.device_id))

    async def _refresh(self) -> None:
        """Take over what another host changed."""
        async with self._changing:
            if not self._is_closed:
                await self._read_anew()

    async def _read_anew(self) -> None:
        rows = {row.device_id: row for row in await self._store.list()}
        gone = [device for device_id, device in self._devices.items() if device_id not in rows]
        for device in gone:
            await self._drop(device)
        for device_id, row in rows.items():
            known = self._devices.get(device_id)
            if known is not None and replace(known.row, reached=row.reached) == row:
                continue
            try:
                if known is None:
                    self._load(row)
                else:
                    await self._take_over(known, row, self._board_of(row))
            except MicroclawError as exc:  # a profile or an address that this host cannot read: the others go on
                _log.warning("%s, which another host added or changed, cannot be used here: %s", row.name, exc.message)
        for device in gone:
            self.removed_elsewhere(device)

    def _load(self, row: DeviceRow) -> Device:
        board = self._board_of(row)
        transports = [self._opened(row, endpoint, board) for endpoint in row.transports]
        reached = partial(self._store.mark_reached, row.device_id)  # without the lock: who removes it waits for it
        device = Device(row, board, transports, explain=self._explain, note_reached=reached)
        self._devices[row.device_id] = device
        return device

    def _board_of(self, row: DeviceRow) -> BoardProfile:
        return parse_firmware(row.firmware).applied(self._load_board(row.board_id))

    def _opened(self, row: DeviceRow, endpoint: str, board: BoardProfile) -> Transport:
        return self._machine.opened(self._open_transport(endpoint, board), row.host)

    async def _take_over(self, device: Device, row: DeviceRow, board: BoardProfile) -> None:
        """Make the device what its row says; the transports that stay keep their connection."""
        before = {transport.endpoint: transport for transport in device.transports}
        now = dict[str, Transport]()
        for endpoint in row.transports:
            stays = row.host == device.host or not is_of_one_machine(endpoint)
            now[endpoint] = (before.get(endpoint) if stays else None) or self._opened(row, endpoint, board)
        device.become(row, board, now.values())
        for endpoint, transport in before.items():
            if now.get(endpoint) is not transport:
                await transport.close()

    def _note(self, kind: AuditKind, text: str, name: str, by: str, known: tuple[str, ...] = ()) -> None:
        self._record(AuditEvent(kind, text, about=name, by=by, known=known))

    async def _explain(self, device: Device, call: Call[Any], error: MicroclawError) -> MicroclawError:
        if isinstance(error, DeviceUnreachable) and not isinstance(error, InstallInterrupted):
            has_no_host = device.host is None and self._store.is_shared
            if not has_no_host or not all(map(is_of_one_machine, device.endpoints)):
                return error
            text = f"{error.message}; {device.name} is on one machine of the cluster, and maybe not on this one"
            step = f"there: microclaw device remove {device.name}, then add it"
            if error.next_step:
                step += f"; or: {error.next_step}"
            return DeviceUnreachable(text, next_step=step, foreign=error.foreign)
        if self.explain_silence is None:
            return error
        return await self.explain_silence(device, call, error)

    async def _remove(self, device: Device, text: str, by: str, *, heir: str | None = None) -> None:
        was_there = await self._store.delete(device.device_id, heir=heir)
        await self._drop(device)
        if not was_there:  # another host was faster
            raise entry.unknown_device(device.name, [one.name for one in self._devices.values()])
        self._note(AuditKind.DEVICE_REMOVED, text, device.name, by)

    async def _drop(self, device: Device) -> None:
        del self._devices[device.device_id]
        await device.close()

    async def _close(self) -> None:
        """Close every device, also when one of them fails."""
        async with AsyncExitStack() as closing:
            for device in self._devices.values():
                closing.push_async_callback(device.close)
            self._devices = {}
