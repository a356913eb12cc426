"""A good device's round trips beside hostile ones, and its quiet ones. The host grants what it always does.

Run as a program it is the hostile side: a process of its own, so that it takes no time of the measuring one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import ssl
import time
from typing import Any

import uvloop
from tests.link.attacks import GONE, Target, attacks, commit

from bench.link_device import DeviceClient, connect_device, websocket_frame
from bench.processes import running
from bench.report import Metric
from microclaw.wire.link.codec import encode
from microclaw.wire.link.frame import FrameType, encode_frame
from microclaw.wire.link.messages import Envelope, Hello, Software

FRAME_S = 0.02  # a stream's pace: faster is a flood of its own
SAMPLES = 500
HOSTILE = 500
HOSTILE_S = SAMPLES * FRAME_S


def measure() -> list[Metric]:
    with (
        running("bench.link_host", "--devices", "2", "--guarded") as host,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        quiet_us, hostile_us = runner.run(_measure(host.facts))
        peak_mb = host.rss_mb()
    metrics = []
    for share, goal in ((50, None), (99, 2.0)):
        quiet, hostile = _percentile(quiet_us, share), _percentile(hostile_us, share)
        metrics += [
            Metric(f"RTT p{share}, 641 bytes, quiet", quiet, "us"),
            Metric(f"RTT p{share}, beside {HOSTILE} hostile connections", hostile, "us"),
            Metric(f"RTT p{share}, hostile / quiet", hostile / quiet, "x", goal),
        ]
    worst_ms = max(hostile_us) / 1000
    return [*metrics, Metric("worst RTT beside them", worst_ms, "ms"), Metric("the host's memory", peak_mb, "MB")]


async def _measure(facts: dict[str, Any]) -> tuple[list[float], list[float]]:
    tls = ssl.create_default_context(cadata=facts["ca"])
    device = await connect_device(facts["port"], facts["tokens"][0], tls)
    device.start_audio()
    await _echo_times(device, 50)  # warm
    quiet = await _echo_times(device, SAMPLES)
    words = ("bench.link_hostile", str(facts["port"]), facts["tokens"][1])
    with running(*words):
        hostile = await _echo_times(device, SAMPLES)
    device.transport.abort()
    return quiet, hostile


async def _echo_times(device: DeviceClient, count: int) -> list[float]:
    """Microseconds of each of `count` audio frames, one every 20 ms, late or not."""
    frame = websocket_frame(encode_frame(FrameType.AUDIO_IN, bytes(640)))
    times: list[float] = []
    due_s = time.perf_counter()
    for _ in range(count):
        due_s += FRAME_S
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        began = time.perf_counter()
        back = device.expect(1)
        device.transport.write(frame)
        await back
        times.append((time.perf_counter() - began) * 1e6)
    return times


async def _attack(port: int, token: str) -> None:
    """500 connections of every kind, evenly over the time of the measurement."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    hello = Hello(bytes(16), Software("replayed", "1"), "virtual", (), bytes(8), 0, "power_on")
    greeting = encode_frame(FrameType.CONTROL, encode(Envelope(secrets.token_bytes(16), hello)))
    kinds = attacks(greeting, f"{token[:-2]}AA", f"{token[:-2]}AE")
    target = Target(port, tls)

    async def one(number: int) -> int:
        await asyncio.sleep(number * HOSTILE_S / HOSTILE)
        kind = number % len(kinds)
        try:
            return await commit(kinds[kind], number, target, f"127.0.1.{1 + kind}")
        except TimeoutError:
            return GONE

    await asyncio.gather(*(one(number) for number in range(HOSTILE)))


def _percentile(values: list[float], share: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("token", help="of another device: the tokens shown are made of it and open nothing")
    options = parser.parse_args()
    print(json.dumps({"ready": True}), flush=True)
    asyncio.run(_attack(options.port, options.token))


if __name__ == "__main__":
    main()
