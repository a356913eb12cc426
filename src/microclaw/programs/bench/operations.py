"""The acts on the bench of a device: its parts as they are now."""

from __future__ import annotations

from microclaw.devices.link.operations import DeviceName
from microclaw.host.operations.operation import Access, OperationCall, operation
from microclaw.programs.bench import hand_operations as hand_operations  # its acts are of this noun, too
from microclaw.programs.bench.board_bench import BoardBench
from microclaw.programs.bench.records import HostRecords
from microclaw.programs.bench.results import DeviceBench, bench_of
from microclaw.programs.changes.device_operations import DeviceService


@operation("device.bench", http="GET /v1/devices/{device}/bench", access=Access.LOOK)
async def show_bench(service: DeviceService, _: OperationCall, device: DeviceName) -> DeviceBench:
    """Show the parts that are wired to a device, the state of each, and how it is known."""
    apps = service.apps
    records = HostRecords(apps.change_log, apps.direct_io, service.last)
    bench = BoardBench(service.registry.get(device), records)
    reading = await bench.read()
    return bench_of(bench, reading)
