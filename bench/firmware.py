"""Our firmware on MicroPython's unix port at a real link server, and a sentence's way to a Python program's first edge.

Needs `.micropython` (scripts/micropython.sh makes it). `tests/firmware` has the board and the chip that stands for I2S.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

from tests.devices.link.conftest import running_plane
from tests.firmware.conftest import Firmware, provisioned, put_as_flashed
from tests.firmware.programs import called, image, install
from tests.firmware.test_audio import FRAME_BYTES, Chip, speaking, tone

from bench.deploy import first_edge_s
from bench.processes import cpu_s, private_home, running
from bench.report import Metric, median
from microclaw.devices.link.limits import LinkLimits
from microclaw.events import DeviceConnected
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.child import BoardControl

RUNS = 7
FRAMES = 500
PROGRAM = "async def main(E):\n    pass\n"
PROGRAM_BYTES = 2048


def measure() -> list[Metric]:
    with tempfile.TemporaryDirectory() as folder:
        start_s, call_ms, install_ms = asyncio.run(_link(str(put_as_flashed(Path(folder)))))
    return [
        Metric("start of the process to link", start_s, "s", 6.0),
        Metric("install of 2 KB over the link", install_ms, "ms", 300.0),
        Metric("  / a call over the link", install_ms / call_ms, "x"),
        Metric("CPU of the board a 20 ms frame of its microphone", asyncio.run(_microphone()), "ms", 2.0),
        Metric("sentence to first edge, a Python program", _sentences(), "s", 1.2),
    ]


async def _timed_s(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _link(flashed: str) -> tuple[float, float, float]:
    """Seconds from process start to link; milliseconds of a call, and of an install."""
    starts = []
    calls = []
    installs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with running_plane(folder / "host", LinkLimits()) as plane:
            board = Firmware(folder / "board", flashed=flashed)
            await provisioned(plane, board)
            program = image(folder, "padded", PROGRAM + f"PAD = {'x' * PROGRAM_BYTES!r}\n")
            for _ in range(RUNS + 1):
                began = time.perf_counter()
                async with board.running():
                    await plane.published.until(DeviceConnected)
                    starts.append(time.perf_counter() - began)
                    device = plane.links.online[0]
                    calls += [await _timed_s(called(device, "device.status")) for _ in range(RUNS)]
                    installs.append(await _timed_s(install(device, "padded", program)))
    return median(starts[1:]), median(calls) * 1000, median(installs) * 1000  # it is paired by the first start


def _is_online(client: Client) -> bool:
    links = [row["link"] for row in client.get("/v1/devices")["devices"] if row["name"] == "board-1"]
    return any(link["online"] for link in links)


async def _microphone() -> float:
    """Milliseconds of processor time that a frame takes on its way from I2S to the link."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chip = Chip(folder / "button")
        chip.release()
        listening = await asyncio.start_server(chip.take, "127.0.0.1", 0)
        chip.port = listening.sockets[0].getsockname()[1]
        board = Firmware(folder / "board")
        async with listening, running_plane(folder / "host", LinkLimits()) as plane, speaking(plane, board, chip):
            chip.press()
            microphone = await chip.until_recording()
            chip.release()
            assert board.process is not None
            before_s = cpu_s(board.process.pid)
            for number in range(1, FRAMES + 1):
                microphone.write(tone(1))
                await chip.heard.until(number * FRAME_BYTES)
            return (cpu_s(board.process.pid) - before_s) * 1000 / FRAMES


def _sentences() -> float:
    """For a Python program; the virtual board is on the link, as ours on MicroPython are."""
    with private_home() as environ, running("microclaw", "up", "--json", "--port", "0", environ=environ):
        client = Client(load_settings(environ).control_socket)
        with running("microclaw", "--json", "virtual", "--join", environ=environ) as joined:
            until_s = time.monotonic() + 60
            while not _is_online(client) and time.monotonic() < until_s:
                time.sleep(0.05)
            with BoardControl(Path(joined.facts["control"])) as link:
                return first_edge_s(client, link, RUNS)
