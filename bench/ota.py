"""Serving updates: by HTTPS beside a plain TLS file server in the same run, and in windows on the link."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Any

import uvloop

from bench.link_device import connect_device
from bench.ota_host import SIZES
from bench.processes import running
from bench.report import Metric, median, paired_ratio
from microclaw.wire.link.frame import MAX_BLOB_BYTES
from microclaw.wire.link.messages import BlobRead

RUNS = 9
WINDOW_BYTES = 16_384
_MB = 1e6
_RECEIVE_BYTES = 1 << 18


def measure() -> list[Metric]:
    """Small ones show what a request costs (credential, store), large ones what a byte costs: those have the goal."""
    found: list[Metric] = []
    with running("bench.ota_host") as host:
        facts = host.facts
        tls = ssl.create_default_context(cadata=facts["ca"])
        for size, digest in zip(SIZES, facts["digests"], strict=True):
            found += _https(facts, digest, size, tls)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            link_s = runner.run(_windows(facts, tls))
    rate = SIZES[0] / _MB / link_s
    return [*found, Metric("link: windows of 16 KiB, one after the other", rate, "MB/s")]


def _https(facts: dict[str, Any], digest: str, size: int, tls: ssl.SSLContext) -> list[Metric]:
    ratio, ours_ms, plain_ms = paired_ratio(
        lambda: _download(facts["port"], f"/ota/{digest}.bin", facts["token"], size, tls),
        lambda: _download(facts["plain_port"], f"/{digest}", None, size, tls),
        RUNS,
    )
    what = f"HTTPS, {size >> 20} MiB"
    is_largest = size == max(SIZES)
    return [
        Metric(
            f"{what}: share of a plain TLS file server's rate",
            1 / ratio,
            "x",
            0.8 if is_largest else None,
            at_least=True,
        ),
        Metric(f"{what}: host", size / _MB / ours_ms * 1000, "MB/s"),
        Metric(f"{what}: plain TLS file server", size / _MB / plain_ms * 1000, "MB/s"),
    ]


def _download(port: int, path: str, token: str | None, size: int, tls: ssl.SSLContext) -> float:
    """Seconds from the request to the last byte; the handshake is not counted."""
    if token:
        bearer = f"Authorization: Bearer {token}\r\n"
    else:
        bearer = ""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{bearer}Connection: close\r\n\r\n".encode()
    buffer = memoryview(bytearray(_RECEIVE_BYTES))
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        tls.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        began_s = time.perf_counter()
        connection.sendall(request)
        got = 0
        while got < size and (count := connection.recv_into(buffer)):
            got += count
        seconds = time.perf_counter() - began_s
    if got < size:
        raise RuntimeError(f"{path}: {got} bytes came")
    return seconds


async def _windows(facts: dict[str, Any], tls: ssl.SSLContext) -> float:
    """Seconds of the smaller payload, the next window asked for when the last one is there; the median of three."""
    device = await connect_device(facts["port"], facts["token"], tls)
    size = SIZES[0]
    sha256 = bytes.fromhex(facts["digests"][0])
    taken_s = []
    for _ in range(3):
        began_s = time.perf_counter()
        for offset in range(0, size, WINDOW_BYTES):
            frames = device.expect(-(-min(WINDOW_BYTES, size - offset) // MAX_BLOB_BYTES))
            device.say(BlobRead(sha256, offset, WINDOW_BYTES))
            await frames
        taken_s.append(time.perf_counter() - began_s)
    device.transport.close()
    return median(taken_s)
