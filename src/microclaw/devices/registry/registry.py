"""The host's devices by name and id: adds, renames, merges them. It speaks to no device itself."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from operator import attrgetter
from typing import Any, Self

from msgspec.structs import replace

from microclaw.addresses import is_of_one_machine
from microclaw.clock import now_ms
from microclaw.devices.registry import device_entry
from microclaw.devices.registry.calls import Call
from microclaw.devices.registry.device import Device, ExplainSilence, TransportOpener
from microclaw.devices.registry.port_machine import ONLY_MACHINE, PortMachine, merged_host
from microclaw.devices.registry.transport import Transport
from microclaw.errors import ConfigError, DeviceUnreachable, InstallInterrupted, MicroclawError, StoreError
from microclaw.hardware.boards import load_board
from microclaw.hardware.boards.firmware import FirmwareDescription, parse_firmware
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.named_parts import joined_wiring
from microclaw.hardware.parts.wiring import Wiring
from microclaw.hardware.parts.wiring_check import check_wiring
from microclaw.host.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.host.store.devices import DeviceRow, DeviceTable

_log = logging.getLogger(__name__)
# Measured on the bench host: 8 KB each in memory, 0.1 ms each in a list; nothing grows faster.
MAX_DEVICES = 10_000
# The author of a change that no person made: a device that was paired, the host's own boards.
HOST = "this host"


class Registry:
    """All devices of the host. `async with Registry(...)` loads the devices; leaving closes every one.

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
        machine: PortMachine = ONLY_MACHINE,
    ) -> None:
        self._store = store
        self._open_transport = open_transport
        self._load_board = load_board
        self.mint_id = mint_id
        self._now_ms = now_ms
        self._record = record
        self._machine = machine
        self._devices: dict[str, Device] = {}
        # The device that had each endpoint at the last look: each message needs it.
        self._owners: dict[str, Device] = {}
        self._changing = asyncio.Lock()
        self._is_closed = False
        # Set by a part that knows the programs on the devices.
        self.explain_silence: ExplainSilence | None = None
        # Called for a device that another host removed, once the other devices are as that host left them.
        self.removed_elsewhere: Callable[[Device], None] = lambda _: None
        # Called after the parts at a device changed, also by another host, with the former parts. They raise nothing.
        self.wiring_watchers: list[Callable[[Device, Wiring], Awaitable[None]]] = []

    async def __aenter__(self) -> Self:
        self._store.follow(self._refresh)
        try:
            async with self._changing:
                for row in await self._store.list():
                    self._load(await self._with_wired_labels(row))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        # The lock lets a change by another host be taken over completely, or not at all.
        async with self._changing:
            self._is_closed = True
            await self._close()

    def list(self) -> tuple[Device, ...]:
        """Return every device, sorted by name."""
        return tuple(sorted(self._devices.values(), key=attrgetter("name")))

    def get(self, reference: str) -> Device:
        """Return the device with this name or id; UnknownName lists similar names."""
        if reference in self._devices:
            return self._devices[reference]
        for device in self._devices.values():
            if device.name == reference:
                return device
        raise device_entry.unknown_device_error(reference, [device.name for device in self._devices.values()])

    def owner_of(self, endpoint: str) -> Device | None:
        """Return the device that has this transport; a port is a port of this host's machine."""
        owner = self._owners.get(endpoint)
        if owner is not None and owner.device_id in self._devices and self._machine.has(owner, endpoint):
            return owner
        self._owners.pop(endpoint, None)
        for device in self._devices.values():
            if self._machine.has(device, endpoint):
                self._owners[endpoint] = device
                return device
        return None

    async def find_owner(self, endpoint: str) -> Device | None:
        """Return the owner as `owner_of` does, but read what other hosts wrote before None. Raises StoreError."""
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
        """Add a device under a free name; every transport is an address that no other device has.

        Without `reached` a person typed the address, and the device has not answered yet.
        `device_id` is an id that the caller made with `mint_id` before.
        """
        firmware = firmware or FirmwareDescription()
        async with self._changing:
            self._check_new_name(name)
            if len(self._devices) >= MAX_DEVICES:
                raise ConfigError(f"{MAX_DEVICES} devices is the limit", next_step="microclaw device list")
            board = firmware.applied(self._load_board(board_id))
            endpoints = self._new_endpoints(transports, board, None)
            host = self._machine.host_of_new(name, None, endpoints)
            row = DeviceRow(
                device_id=device_id or self.mint_id(),
                name=name,
                board_id=board_id,
                created_ms=self._now_ms(),
                firmware=firmware.words,
                reached=reached,
                transports=endpoints,
                host=host,
            )
            row = device_entry.with_labels(row, labels, board)
            await self._store_new(row)
            text = board_id
            if endpoints:
                text += f", at {' '.join(endpoints)}"
            self._note(AuditKind.DEVICE_ADDED, text, name, by, known=(board_id,))
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
        """Replace a device's labels. A label that names a pin ("pin-5=lamp") is added to its wiring instead."""
        async with self._changing:
            device = self.get(reference)
            return await self._change(device, device_entry.with_labels(device.row, labels, device.board), by)

    async def change_labels(
        self, reference: str, added: Iterable[str], removed: Iterable[str], *, by: str = HOST
    ) -> Device:
        """Add labels to a device and remove others. Raises UnknownName for a label that it does not have."""
        async with self._changing:
            device = self.get(reference)
            row = device_entry.without_labels(device.row, removed, device.board)
            row = device_entry.with_labels(row, (*row.labels, *added), device.board)
            return await self._change(device, row, by)

    async def change_wiring(self, reference: str, change: Callable[[Wiring], Wiring], *, by: str = HOST) -> Device:
        """Record the parts that hang at a device: those that `change` makes of its present ones.

        Raises ConfigError, and changes nothing, for parts that the board cannot have; it also passes on what `change`
        raises.
        """
        async with self._changing:
            device = self.get(reference)
            wiring = change(device.wiring)
            check_wiring(wiring, device.board)
            return await self._change(device, device_entry.with_wiring(device.row, wiring), by)

    async def describe_firmware(self, reference: str, firmware: FirmwareDescription, *, by: str = HOST) -> Device:
        """Replace the description of a device's firmware; the firmware on the board is not changed."""
        async with self._changing:
            device = self.get(reference)
            return await self._change(device, replace(device.row, firmware=firmware.words), by)

    async def set_transports(self, reference: str, transports: Sequence[str], *, by: str | None = None) -> Device:
        """Replace a device's transports; transports that stay keep their connection.

        Without `by` it has no line in the security log: a virtual board of the host has other ports at each start.
        """
        async with self._changing:
            device = self.get(reference)
            return await self._set_transports(device, device.row, transports, by)

    async def add_transport(self, reference: str, endpoint: str) -> Device:
        """Add a transport to a device that is being paired; the security log has a line about the pairing."""
        async with self._changing:
            device = self.get(reference)
            return await self._set_transports(device, device.row, (*device.endpoints, endpoint), None)

    def check_merge(self, reference: str, other: str) -> tuple[Device, Device]:
        """Return the two devices; raise ConfigError if they cannot be one board."""
        device = self.get(reference)
        duplicate = self.get(other)
        if device is duplicate:
            raise ConfigError(f"{device.name} cannot be merged with itself", next_step="microclaw device list")
        if device.board.board_id != duplicate.board.board_id:
            text = f"{device.name} is a {device.board.title}, {duplicate.name} a {duplicate.board.title}"
            text += ": not one board"
            raise ConfigError(text, next_step="add the wrong one again with the right board")
        merged_host(device.name, device.host, duplicate.name, duplicate.host)
        return device, duplicate

    async def merge(self, reference: str, other: str, *, by: str = HOST) -> Device:
        """Merge two entries for one board: the first gets the transports, labels and parts of `other`.

        `other` is removed. The first one's firmware description stays; if it has none, it gets the other's. The first
        one also gets the telemetry and crashes of both.
        """
        async with self._changing:
            device, duplicate = self.check_merge(reference, other)
            transports = (*device.endpoints, *duplicate.endpoints)
            # Before the change: an endpoint may have only one owner.
            await self._remove(duplicate, f"it is one with {device.name} now", by, heir=device.device_id)
            labels = tuple(dict.fromkeys((*device.labels, *duplicate.labels)))[: device_entry.MAX_LABELS]
            row = replace(device.row, labels=labels, firmware=device.row.firmware or duplicate.row.firmware)
            if duplicate.record.parts:
                row = device_entry.with_wiring(row, joined_wiring(device.record, duplicate.record, device.board))
            host = merged_host(device.name, device.host, duplicate.name, duplicate.host)
            return await self._set_transports(device, row, transports, by, host=host)

    async def remove(self, reference: str, *, by: str = HOST) -> None:
        """Forget a device; its programs keep running."""
        async with self._changing:
            device = self.get(reference)
            await self._remove(device, device.board.board_id, by)

    async def _set_transports(
        self, device: Device, row: DeviceRow, transports: Sequence[str], by: str | None, *, host: str | None = None
    ) -> Device:
        """Store `row` with these transports. `host` is the host that has the new ports, by default this one."""
        present = [endpoint for endpoint in device.endpoints if endpoint in transports]
        typed = [endpoint for endpoint in transports if endpoint not in present]
        new = self._new_endpoints(typed, device.board, device)
        # A new spelling may mean an endpoint that the device has already.
        added = [endpoint for endpoint in new if endpoint not in device.endpoints]
        host = host or self._machine.host_of_new(device.name, device.host, added)
        endpoints = tuple(dict.fromkeys((*present, *new)))
        return await self._change(device, replace(row, transports=endpoints, host=host), by)

    def _new_endpoints(self, typed: Iterable[str], board: BoardProfile, device: Device | None) -> tuple[str, ...]:
        """Return addresses as transports write them; ConfigError for an invalid one, or another device's."""
        endpoints = tuple(dict.fromkeys(self._open_transport(address, board).endpoint for address in typed))
        for endpoint in endpoints:
            self._check_owner(endpoint, device)
        return endpoints

    def _check_owner(self, endpoint: str, device: Device | None) -> None:
        owner = self.owner_of(endpoint)
        if owner is not None and owner is not device:
            step = f"use {owner.name}, or join two entries: microclaw device merge {owner.name} OTHER"
            raise ConfigError(f"{endpoint} belongs to {owner.name} already", next_step=step)

    def _check_new_name(self, name: str, device_id: str | None = None) -> None:
        device_entry.check_name(name)
        for device in self._devices.values():
            if device.name == name and device.device_id != device_id:
                text = f"there is a device named {name} already"
                raise ConfigError(text, next_step=f"see it: microclaw device show {name}")

    async def _change(self, device: Device, row: DeviceRow, by: str | None) -> Device:
        """Store a device's new row; memory and the security log follow only after that succeeded."""
        before = device.row
        board = self._board_of(row)
        try:
            is_stored = await self._store.replace(before, row)
        except StoreError:
            # Another host may have taken the name or a transport: then the error says so.
            await self._read_anew()
            self._check_free(row)
            raise
        if not is_stored:
            await self._read_anew()
            text = f"{before.name} was changed or removed meanwhile, at another host of the cluster"
            raise ConfigError(text, next_step=f"see it, then do it again: microclaw device show {before.name}")
        if by is not None:
            for text in device_entry.differences(before, row):
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
        """Raise ConfigError if the name or a transport belongs to another device."""
        self._check_new_name(row.name, row.device_id)
        for endpoint in row.transports:
            self._check_owner(endpoint, self._devices.get(row.device_id))

    async def _refresh(self) -> None:
        """Take over the changes of other hosts."""
        async with self._changing:
            if not self._is_closed:
                await self._read_anew()

    async def _read_anew(self) -> None:
        rows = {row.device_id: row for row in await self._store.list()}
        removed = [device for device_id, device in self._devices.items() if device_id not in rows]
        for device in removed:
            await self._drop(device)
        for device_id, row in rows.items():
            present = self._devices.get(device_id)
            if present is not None and replace(present.row, reached=row.reached) == row:
                continue
            try:
                if present is None:
                    self._load(row)
                else:
                    await self._take_over(present, row, self._board_of(row))
            except MicroclawError as exc:
                # This host cannot read the profile or an address. The other devices must still work.
                _log.warning("%s, which another host added or changed, cannot be used here: %s", row.name, exc.message)
        for device in removed:
            self.removed_elsewhere(device)

    async def _with_wired_labels(self, row: DeviceRow) -> DeviceRow:
        """Return the row with the named pins of an earlier version's labels in its wiring, and store it so."""
        wired = device_entry.with_wired_labels(row, self._board_of(row))
        if wired == row:
            return row
        if not await self._store.replace(row, wired):
            # Another host did it at the same time.
            return row
        for text in device_entry.differences(row, wired):
            self._note(AuditKind.DEVICE_CHANGED, text, row.name, HOST)
        return wired

    def _load(self, row: DeviceRow) -> Device:
        board = self._board_of(row)
        transports = [self._opened(row, endpoint, board) for endpoint in row.transports]
        # It must not take the lock: `remove` holds the lock while it waits for the device's calls.
        note_reached = partial(self._store.mark_reached, row.device_id)
        device = Device(row, board, transports, explain=self._explain, note_reached=note_reached)
        self._devices[row.device_id] = device
        return device

    def _board_of(self, row: DeviceRow) -> BoardProfile:
        return parse_firmware(row.firmware).applied(self._load_board(row.board_id))

    def _opened(self, row: DeviceRow, endpoint: str, board: BoardProfile) -> Transport:
        return self._machine.opened(self._open_transport(endpoint, board), row.host)

    async def _take_over(self, device: Device, row: DeviceRow, board: BoardProfile) -> None:
        """Change the device to its new row; the transports that stay keep their connection."""
        before = {transport.endpoint: transport for transport in device.transports}
        after = dict[str, Transport]()
        for endpoint in row.transports:
            # A port that moved to another machine needs another transport under the same address.
            is_same_place = row.host == device.host or not is_of_one_machine(endpoint)
            if is_same_place and endpoint in before:
                after[endpoint] = before[endpoint]
            else:
                after[endpoint] = self._opened(row, endpoint, board)
        is_wiring_changed = row.wiring != device.row.wiring
        former_wiring = device.wiring
        device.replace_row(row, board, after.values())
        for endpoint, transport in before.items():
            if after.get(endpoint) is not transport:
                await transport.close()
        if is_wiring_changed:
            for watch in self.wiring_watchers:
                await watch(device, former_wiring)

    def _note(self, kind: AuditKind, text: str, name: str, by: str, known: tuple[str, ...] = ()) -> None:
        self._record(AuditEvent(kind, text, about=name, by=by, known=known))

    async def _explain(self, device: Device, call: Call[Any], error: MicroclawError) -> MicroclawError:
        if isinstance(error, DeviceUnreachable) and not isinstance(error, InstallInterrupted):
            return self._explain_unreachable(device, error)
        if self.explain_silence is None:
            return error
        return await self.explain_silence(device, call, error)

    def _explain_unreachable(self, device: Device, error: DeviceUnreachable) -> DeviceUnreachable:
        """Add that another machine of the cluster may have the ports, if no host is noted for them."""
        may_be_elsewhere = device.host is None and self._store.is_shared
        if not may_be_elsewhere or not all(map(is_of_one_machine, device.endpoints)):
            return error
        text = f"{error.message}; {device.name} is on one machine of the cluster, and maybe not on this one"
        step = f"there: microclaw device remove {device.name}, then add it"
        if error.next_step:
            step += f"; or: {error.next_step}"
        return DeviceUnreachable(text, next_step=step, foreign=error.foreign)

    async def _remove(self, device: Device, text: str, by: str, *, heir: str | None = None) -> None:
        is_deleted = await self._store.delete(device.device_id, heir=heir)
        await self._drop(device)
        if not is_deleted:
            # Another host has removed it before.
            raise device_entry.unknown_device_error(device.name, [other.name for other in self._devices.values()])
        self._note(AuditKind.DEVICE_REMOVED, text, device.name, by)

    async def _drop(self, device: Device) -> None:
        del self._devices[device.device_id]
        await device.close()

    async def _close(self) -> None:
        """Close every device, also if one of them fails to close."""
        async with AsyncExitStack() as closing:
            for device in self._devices.values():
                closing.push_async_callback(device.close)
            self._devices = {}
