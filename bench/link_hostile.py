"""Good devices' round trips beside hostile ones, and their quiet ones. The host grants what it always does.

Run as a program it is the hostile side: a process of its own, so that it takes no time of the measuring one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import uvloop
from tests.devices.link.attacks import GONE, Target, attacks, commit

from bench.link_device import DeviceClient, connect_device, websocket_frame
from bench.processes import running
from bench.report import Metric, percentile
from microclaw.wire.link.codec import encode
from microclaw.wire.link.frame import FrameType, encode_frame
from microclaw.wire.link.messages import Envelope, Hello, Software

FRAME_S = 0.02  # a stream's pace: faster is a flood of its own
DRAIN_S = 5.0
FRAME = websocket_frame(encode_frame(FrameType.AUDIO_IN, bytes(640)))


@dataclass(frozen=True, slots=True)
class Effort:
    """`hostile` connections come evenly over `lasts_s`; as long is measured without them."""

    devices: int = 4
    hostile: int = 500
    lasts_s: float = 10.0
    warm_s: float = 1.0


def measure(effort: Effort | None = None) -> list[Metric]:
    effort = effort or Effort()
    with (
        running("bench.link_host", "--devices", str(effort.devices + 1), "--guarded") as host,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        quiet_us, hostile_us = runner.run(_measure(host.facts, effort))
        peak_mb = host.rss_mb()
    metrics = []
    for share, goal in ((50, None), (99, 2.0)):
        quiet = percentile(quiet_us, share)
        hostile = percentile(hostile_us, share)
        metrics += [
            Metric(f"RTT p{share}, 641 bytes, quiet", quiet, "us"),
            Metric(f"RTT p{share}, beside {effort.hostile} hostile connections", hostile, "us"),
            Metric(f"RTT p{share}, hostile / quiet", hostile / quiet, "x", goal),
        ]
    worst_ms = max(hostile_us) / 1000
    return [
        *metrics,
        Metric(f"worst RTT beside {effort.hostile} hostile connections", worst_ms, "ms"),
        Metric(f"the host's memory beside {effort.hostile} hostile connections", peak_mb, "MB"),
    ]


class _Echoed(DeviceClient):
    """The times at which the frames came back."""

    def __init__(self, token: str) -> None:
        super().__init__(token)
        self.came_s: list[float] = []

    def got(self, count: int) -> None:
        super().got(count)
        self.came_s += [time.perf_counter()] * count


async def _measure(facts: dict[str, Any], effort: Effort) -> tuple[list[float], list[float]]:
    tls = ssl.create_default_context(cadata=facts["ca"])
    devices = []
    for token in facts["tokens"][: effort.devices]:
        device = await connect_device(facts["port"], token, tls, _Echoed)
        assert isinstance(device, _Echoed)
        device.start_audio()
        devices.append(device)
    await _echo_times(devices, effort.warm_s)
    quiet = await _echo_times(devices, effort.lasts_s)
    words = ("bench.link_hostile", str(facts["port"]), facts["tokens"][-1])
    with running(*words, "--hostile", str(effort.hostile), "--lasts", str(effort.lasts_s)):
        hostile = await _echo_times(devices, effort.lasts_s)
    for device in devices:
        device.transport.abort()
    return quiet, hostile


async def _echo_times(devices: Sequence[_Echoed], lasts_s: float) -> list[float]:
    """Microseconds of each frame's round trip. A frame goes when it is due, whether the one before is back or not."""
    sent_s: list[list[float]] = [[] for _ in devices]
    for device in devices:
        device.came_s.clear()
    back = [device.expect(round(lasts_s / FRAME_S)) for device in devices]
    due_s = time.perf_counter()
    for _ in range(round(lasts_s / FRAME_S)):
        for device, sent in zip(devices, sent_s, strict=True):
            due_s += FRAME_S / len(devices)
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            sent.append(time.perf_counter())
            device.transport.write(FRAME)
    async with asyncio.timeout(DRAIN_S):
        await asyncio.gather(*back)
    pairs = zip(sent_s, devices, strict=True)
    return [(came - sent) * 1e6 for each, device in pairs for sent, came in zip(each, device.came_s, strict=True)]


async def _attack(port: int, token: str, hostile: int, lasts_s: float) -> None:
    """Connections of every kind, evenly over the time of the measurement."""
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    hello = Hello(bytes(16), Software("replayed", "1"), "virtual", (), bytes(8), 0, "power_on")
    greeting = encode_frame(FrameType.CONTROL, encode(Envelope(secrets.token_bytes(16), hello)))
    kinds = attacks(greeting, f"{token[:-2]}AA", f"{token[:-2]}AE")
    target = Target(port, tls)

    async def one(number: int) -> int:
        await asyncio.sleep(number * lasts_s / hostile)
        kind = number % len(kinds)
        try:
            return await commit(kinds[kind], number, target, f"127.0.1.{1 + kind}")
        except TimeoutError:
            return GONE

    await asyncio.gather(*(one(number) for number in range(hostile)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("token", help="of another device: the tokens shown are made of it and open nothing")
    parser.add_argument("--hostile", type=int, required=True, help="connections")
    parser.add_argument("--lasts", type=float, required=True, help="seconds")
    options = parser.parse_args()
    print(json.dumps({"ready": True}), flush=True)
    asyncio.run(_attack(options.port, options.token, options.hostile, options.lasts))


if __name__ == "__main__":
    main()
