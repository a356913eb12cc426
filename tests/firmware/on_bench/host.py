"""The modules built into the virtual board's MicroPython, for the unix port: calls by JSON lines over TCP.

MICROCLAW_BOARD is HOST:PORT of tests/virtual/py/bench.py, which sends events on a connection of their own.
"""

import asyncio
import json
import os
import socket

_calls = None
_hearing = None


def call(name, text):
    global _calls, _hearing
    if _calls is None:
        _calls = _open("calls")
    if _hearing is None and name in ("pin_irq", "timer_start"):
        _hearing = asyncio.create_task(_events())
    _calls.write(f'["{name}",{text}]\n')
    line = _calls.readline()
    if not line:
        raise OSError(19, "the simulated board is gone")
    return line


def _open(what):
    place, _, port = os.getenv("MICROCLAW_BOARD").rpartition(":")
    sock = socket.socket()
    sock.connect(socket.getaddrinfo(place, int(port))[0][-1])
    sock.write(f'["{what}"]\n')
    return sock


async def _events():
    from _board import dispatch

    reader = asyncio.StreamReader(_open("events"))
    while line := await reader.readline():
        dispatch(json.loads(line))
