"""A 20 ms frame of audio in the firmware's own files, on the unix port: sent by its WebSocket, without TLS."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import Final

from bench.report import Metric

ROOT: Final = Path(__file__).parents[1]
MICROPYTHON: Final = ROOT / ".micropython/bin/micropython"
FRAMES: Final = 500
PATIENCE_S: Final = 60
_SCRIPT: Final = """
import asyncio, sys, time
from websocket import WebSocket

async def main():
    reader, _ = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    ws, frame, spent = WebSocket(reader), bytearray(b"\\x02" + bytes(range(256)) * 3)[:641], []
    for _ in range(int(sys.argv[2])):
        began = time.ticks_us()
        await ws.send(frame)
        spent.append(time.ticks_diff(time.ticks_us(), began))
        await asyncio.sleep_ms(0)
    spent.sort()
    print(spent[len(spent) // 2], spent[len(spent) * 95 // 100])

asyncio.run(main())
"""


def measure() -> list[Metric]:
    if not MICROPYTHON.exists():
        raise SystemExit("scripts/micropython.sh makes MicroPython's unix port: run it first")
    with socket.create_server(("127.0.0.1", 0)) as server:
        drain = threading.Thread(target=_drain, args=(server,), daemon=True)
        drain.start()
        done = subprocess.run(
            [MICROPYTHON, "-X", "heapsize=160K", "-c", _SCRIPT, str(server.getsockname()[1]), str(FRAMES)],
            env={**os.environ, "MICROPYPATH": f"{ROOT / 'firmware/fw'}:.frozen"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        drain.join(PATIENCE_S)
    middle_us, most_us = (int(word) for word in done.stdout.split())
    return [
        Metric("a frame of 640 bytes, masked and sent", middle_us / 1000, "ms", 2.0),
        Metric("  95 of 100 take less than", most_us / 1000, "ms"),
    ]


def _drain(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        while connection.recv(65_536):
            pass
