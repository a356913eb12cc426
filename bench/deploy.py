"""Installing over WASMachine against the bare TCP send and answer, and a sentence's way to the first edge."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from pathlib import Path

from bench.processes import private_home, running
from bench.report import Metric, median, timed
from microclaw.devices.registry.calls import AppInstall, AppList, AppUninstall
from microclaw.devices.registry.device import Device
from microclaw.devices.transports.wasmachine import WasmachineTransport
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.events import Answer
from microclaw.hardware.boards import load_board
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import Client
from microclaw.host.store.apps import ImageRow
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceRow
from microclaw.interfaces.cli.child import BoardControl
from microclaw.programs.changes.change_log import AppVersion, ChangeLog, PutApp
from microclaw.programs.changes.claims import live_conflict
from microclaw.programs.changes.program_state import look_at_claims
from microclaw.wire import board_control as control
from microclaw.wire.wasmachine.frame import FrameDecoder, MessageType, encode_frame
from microclaw.wire.wasmachine.request import install_request, uninstall_request

RUNS = 15
SENTENCES = 5
IMAGE_BYTES = 64 * 1024


def measure() -> list[Metric]:
    return [
        *asyncio.run(installs(RUNS)),
        Metric("sentence to first edge, offline", _sentences(), "s", 1.0),
        Metric("what claims add to a live order", asyncio.run(_claims_check()) * 1000, "ms", 1.0),
    ]


def padded_module(size_bytes: int) -> bytes:
    """A valid module of exactly `size_bytes`: an on_init that does nothing, and a custom section as ballast."""
    head = b"\0asm\1\0\0\0" + b"\1\4\1\x60\0\0" + b"\3\2\1\0" + b"\7\x0b\1\7on_init\0\0" + b"\x0a\4\1\2\0\x0b"
    ballast = size_bytes - len(head) - 1 - 3
    length = bytes([ballast & 0x7F | 0x80, ballast >> 7 & 0x7F | 0x80, ballast >> 14])
    return head + b"\0" + length + b"\7ballast" + bytes(ballast - 8)


async def installs(runs: int) -> list[Metric]:
    wasm = padded_module(IMAGE_BYTES)
    ours = []
    bare = []
    cpu_s = []
    async with VirtualBoardProcess() as board:
        port = board.ready.wasmachine
        with tempfile.TemporaryDirectory() as locks:
            for n in range(runs + 1):
                transport = WasmachineTransport(
                    f"wasmachine://127.0.0.1:{port}", load_board("virtual"), lock_folder=Path(locks)
                )
                await transport.call(AppList(), 30)  # both are measured on a connection that is open
                loop = asyncio.get_running_loop()
                began = loop.time()
                began_cpu_s = time.process_time()
                await transport.call(AppInstall("ballast", wasm), 30)
                ours.append(loop.time() - began)
                cpu_s.append(time.process_time() - began_cpu_s)
                await transport.call(AppUninstall("ballast"), 30)
                await transport.close()
                await asyncio.sleep(1.2)  # the firmware reads its next client a second after the last one left
                bare.append(await asyncio.to_thread(_bare_install, port, wasm, n))
                await asyncio.sleep(1.2)
    pairs = list(zip(ours[1:], bare[1:], strict=True))
    return [
        Metric("install of 64 KB / bare TCP send and answer", median([o / b for o, b in pairs]), "x"),
        Metric("install of 64 KB, CPU of our own", median(cpu_s[1:]) * 1000, "ms", 2.0),
        Metric("install of 64 KB", median([o for o, _ in pairs]) * 1000, "ms"),
        Metric("bare TCP send and answer", median([b for _, b in pairs]) * 1000, "ms"),
    ]


def _bare_install(port: int, wasm: bytes, mid: int) -> float:
    frame = encode_frame(MessageType.INSTALL, install_request(mid, "ballast", wasm).encode())
    remove = encode_frame(MessageType.REQUEST, uninstall_request(mid + 1000, "ballast").encode())
    with socket.create_connection(("127.0.0.1", port)) as sock:
        took = timed(lambda: _exchange(sock, frame))
        _exchange(sock, remove)
    return took


def _exchange(sock: socket.socket, frame: bytes) -> None:
    sock.sendall(frame)
    decoder = FrameDecoder()
    while decoder.next_frame() is None:
        decoder.receive(sock.recv(65536))


async def _claims_check() -> float:
    """Seconds that a live order's look at the claims takes, on a board with three programs of 20 pins each."""
    took = []
    with tempfile.TemporaryDirectory() as folder:
        async with Database.open(Path(folder) / "store.db") as database:
            log = ChangeLog(database)
            await log.put_image(ImageRow("00" * 32, b"", None, "{}", 0))
            for n in range(3):
                pins = tuple(range(100 + 20 * n, 120 + 20 * n))
                version = AppVersion("00" * 32, 8192, 20, 180_000, pins)
                await log.end(await log.plan("d", "app.deploy", "", PutApp(f"app-{n}", version), None), "done")
            board = load_board("virtual")
            device = Device(DeviceRow("d", "d", board.board_id), board, ())
            for _ in range(200):
                began = time.perf_counter()
                assert live_conflict(await look_at_claims(log, device), 4) is None
                took.append(time.perf_counter() - began)
    return median(took)


def _sentences() -> float:
    """For a C program, on a virtual board over WASMachine."""
    with private_home() as environ, running("microclaw.virtual", "--die-with-parent", "--wasmachine", "0") as board:
        settings = load_settings(environ)
        with (
            running("microclaw", "up", "--json", "--port", "0", environ=environ),
            BoardControl(Path(board.facts["control"])) as link,
        ):
            client = Client(settings.control_socket)
            transports = [f"wasmachine://127.0.0.1:{board.facts['wasmachine']}", f"virtual:{board.facts['control']}"]
            client.post("/v1/devices", {"name": "bench", "board": "virtual", "transports": transports})
            return first_edge_s(client, link, SENTENCES)


def first_edge_s(client: Client, link: BoardControl, sentences: int) -> float:
    """Seconds by the board's own clock, from sending a sentence to the first edge of its program; the median."""
    took = []
    for half_ms in range(300, 300 + sentences):
        before = link.ask(control.Edges())
        answer = _say(client, f"blink the led on pin 2 every {half_ms} ms")
        assert [e.kind for e in answer.evidence] == ["counted"], answer
        first = next(e for e in link.edges(before.next).edges if e.pin == 2)
        took.append((first.t_ms - before.now_ms) / 1000)
        _say(client, "stop blink")
    return median(took)


def _say(client: Client, sentence: str) -> Answer:
    for event in client.stream("/v1/chat", {"text": sentence, "chat_id": "bench"}):
        if isinstance(event, Answer):
            return event
    raise AssertionError(f"no answer to {sentence!r}")
