"""The words of each stage's line of progress, made from the run's own numbers. No IO."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NoReturn
from urllib.parse import urlsplit

from microclaw.bus.events import Report, Stage, Step
from microclaw.devices.device import Device
from microclaw.errors import BuildError, MicroclawError
from microclaw.wasm.image import Image

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def compiled(image: Image, optimization: str) -> str:
    """ "zig 0.17 -O3 -> 756 B", or "... -> 521 B | made event-driven 2,116 B"."""
    tool = re.sub(r"(\d+\.\d+)\.\d+", r"\1", image.compiler)
    how = f"{tool} -{optimization}" if tool else "wasm given"
    size = f"{image.size_bytes:,} B"
    if image.compiled_bytes is not None:
        size = f"{image.compiled_bytes:,} B | made event-driven {size}"
    return f"{how} -> {size}{' | cached' if image.cached else ''}"


def checked(image: Image, heap_bytes: int) -> str:
    """ "MVP ok | 6 imports, all in this firmware | stack 4 KB, heap 8 KB | pin 2 free"."""
    count = len(image.imports)
    parts = ["MVP ok", f"{count} import{'' if count == 1 else 's'}, all in this firmware" if count else "no imports"]
    memory = f"heap {kilobytes(heap_bytes)}"
    if image.memory.stack_bytes:
        memory = f"stack {kilobytes(image.memory.stack_bytes)}, {memory}"
    parts.append(memory)
    if image.pins:
        parts.append(f"pin{'' if len(image.pins) == 1 else 's'} {', '.join(map(str, image.pins))} free")
    return " | ".join(parts)


def accepted(name: str, device: Device) -> str:
    """ "blink -> virtual-1 (WASMachine, tcp :18080), accepted"."""
    return f"{name} -> {device.name} ({way_in(device)}), accepted"


def way_in(device: Device) -> str:
    """The face that installs, in a person's words; a loopback address as its port alone."""
    address = device.face_for("apps.install").face_id
    parts = urlsplit(address)
    if parts.scheme != "wasmachine":
        return address
    place = f":{parts.port}" if parts.hostname in _LOOPBACK else f"{parts.hostname}:{parts.port}"
    return f"WASMachine, tcp {place}"


def kilobytes(size_bytes: int) -> str:
    return f"{size_bytes // 1024} KB" if size_bytes % 1024 == 0 else f"{size_bytes:,} B"


def report_failure(report: Report, stage: Stage, error: MicroclawError) -> None:
    """Say that a stage failed, keeping the shape: one line, what a compiler would show below it, the next step."""
    detail: Iterable[str] = ()
    if isinstance(error, BuildError):
        rendered = [d.render().splitlines() for d in error.diagnostics]
        detail = [line for lines in rendered for line in lines]
    report(Step(stage, error.message, "failed", tuple(detail), next_step=error.next_step))


def fail(report: Report, stage: Stage, error: MicroclawError) -> NoReturn:
    """Report the failed stage, then raise its error."""
    report_failure(report, stage, error)
    raise error
