"""The device link on loopback: round trips and CPU beside a raw TLS echo on the same loop, memory, handshakes, a storm.

Devices run in this process and the host in another; ratios hold on a busy machine, absolutes do not.
"""

from __future__ import annotations

import asyncio
import gc
import random
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from bench.link_device import BareClient, DeviceClient, Messages, connect_device, connect_raw, websocket_frame
from bench.processes import Running, running
from bench.report import Metric, median
from microclaw.wire.link.backoff import Backoff
from microclaw.wire.link.codec import encode
from microclaw.wire.link.frame import FrameType, encode_frame
from microclaw.wire.link.messages import Envelope, Ping

FRAME = encode_frame(FrameType.AUDIO_IN, bytes(640))
RTT_ROUNDS, RTT_A_ROUND = 20, 100
ECHOES, STREAMS = 20_000, 32
ECHO_ROUNDS = 3
IDLE_WARM, IDLE = 100, 500
HANDSHAKES, AT_ONCE = 400, 16
STORM = 1_000


def measure() -> list[Metric]:
    with (
        running("bench.link_host", "--devices", str(STORM)) as host,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_measure(Bench.of(host)))


@dataclass(frozen=True, slots=True)
class Bench:
    host: Running
    port: int
    raw_port: int
    bare_port: int
    tokens: list[str]
    tls: ssl.SSLContext

    @classmethod
    def of(cls, host: Running) -> Bench:
        facts: dict[str, Any] = host.facts
        tls = ssl.create_default_context(cadata=facts["ca"])
        return cls(host, facts["port"], facts["raw_port"], facts["bare_port"], facts["tokens"], tls)

    async def device(self, number: int) -> DeviceClient:
        return await connect_device(self.port, self.tokens[number], self.tls)

    async def devices(self, numbers: range) -> list[DeviceClient]:
        """All of them, a few at a time."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> DeviceClient:
            async with gate:
                return await self.device(number)

        return list(await asyncio.gather(*(one(number) for number in numbers)))


async def _measure(bench: Bench) -> list[Metric]:
    devices = await bench.devices(range(STREAMS))
    plain = [await connect_raw(bench.raw_port, bench.tls) for _ in range(STREAMS)]
    bare = [await connect_device(bench.bare_port, "", bench.tls, BareClient) for _ in range(STREAMS)]
    for device in devices:
        device.start_audio()
    found = [*await _round_trips(devices[0], plain[0], bare[0]), *await _throughput(bench, devices, plain, bare)]
    await _hang_up([*devices, *plain, *bare])
    found += await _idle_memory(bench)
    found += await _handshakes(bench)
    found += await _storm(bench)
    return found


async def _round_trips(device: Messages, raw: Messages, bare: Messages) -> list[Metric]:
    """One frame at a time, the three in turn."""
    frame = websocket_frame(FRAME)
    link_us: list[float] = []
    raw_us: list[float] = []
    bare_us: list[float] = []
    for number in range(RTT_ROUNDS + 1):
        linked = await _echo_times(device, frame, 1)
        plain = await _echo_times(raw, frame, len(frame))
        library = await _echo_times(bare, frame, 1)
        if number:  # the first round warms them up
            link_us += linked
            raw_us += plain
            bare_us += library
    metrics = []
    for share, goal in ((50, 1.2), (95, None), (99, 2.0)):
        ours, theirs = _percentile(link_us, share), _percentile(raw_us, share)
        metrics += [
            Metric(f"RTT p{share}, 641 bytes, link", ours, "us"),
            Metric(f"RTT p{share}, raw TLS", theirs, "us"),
            Metric(f"RTT p{share}, bare aiohttp", _percentile(bare_us, share), "us"),
            Metric(f"RTT p{share}, link / raw TLS", ours / theirs, "x", goal),
        ]
    return metrics


async def _echo_times(client: Messages, frame: bytes, expected: int) -> list[float]:
    times = []
    for _ in range(RTT_A_ROUND):
        began = time.perf_counter()
        back = client.expect(expected)
        client.transport.write(frame)
        await back
        times.append((time.perf_counter() - began) * 1e6)
    return times


async def _throughput(
    bench: Bench, devices: Sequence[Messages], raw: Sequence[Messages], bare: Sequence[Messages]
) -> list[Metric]:
    """One frame at a time on each of many connections, as streams are: no two share a read or a write."""
    frame = websocket_frame(FRAME)
    ping = websocket_frame(encode_frame(FrameType.CONTROL, encode(Envelope(bytes(16), Ping(1, 1)))))
    audio, control, plain, library = [], [], [], []
    for _ in range(ECHO_ROUNDS):
        plain.append(await _echoes(bench, raw, frame, len(frame)))
        library.append(await _echoes(bench, bare, frame, 1))
        audio.append(await _echoes(bench, devices, frame, 1))
        control.append(await _echoes(bench, devices, ping, 1))
    named = (("a", audio), ("c", control), ("r", plain), ("b", library))
    cpu = {name: median([us for _, us in runs]) for name, runs in named}
    return [
        Metric(f"audio frames echoed a second, {STREAMS} devices", median([rate for rate, _ in audio]), "1/s"),
        Metric(f"CONTROL answered a second, {STREAMS} devices", median([rate for rate, _ in control]), "1/s"),
        Metric("raw TLS frames echoed a second", median([rate for rate, _ in plain]), "1/s"),
        Metric("CPU an echoed audio frame", cpu["a"], "us"),
        Metric("CPU an answered CONTROL message", cpu["c"], "us"),
        Metric("CPU an echoed raw TLS frame", cpu["r"], "us"),
        Metric("CPU an echoed WebSocket message, bare aiohttp", cpu["b"], "us"),
        Metric("CPU an audio frame, link / bare aiohttp", cpu["a"] / cpu["b"], "x"),
        Metric("CPU an audio frame, link / raw TLS", cpu["a"] / cpu["r"], "x", 1.5),
    ]


async def _echoes(bench: Bench, clients: Sequence[Messages], frame: bytes, expected: int) -> tuple[float, float]:
    """Echoes a second, and microseconds of the host's CPU for each."""

    async def one(client: Messages) -> None:
        for _ in range(ECHOES // STREAMS):
            back = client.expect(expected)
            client.transport.write(frame)
            await back

    cpu_s, began = bench.host.cpu_s(), time.perf_counter()
    await asyncio.gather(*(one(client) for client in clients))
    done = ECHOES // STREAMS * STREAMS
    return done / (time.perf_counter() - began), (bench.host.cpu_s() - cpu_s) / done * 1e6


async def _idle_memory(bench: Bench) -> list[Metric]:
    devices = [await bench.device(number) for number in range(IDLE_WARM)]
    before_mb = bench.host.rss_mb()
    devices += await bench.devices(range(IDLE_WARM, IDLE_WARM + IDLE))
    idle_kb = (bench.host.rss_mb() - before_mb) * 1000 / IDLE
    await _hang_up(devices)
    return [Metric("memory an idle device, all state", idle_kb, "KB", 60)]


async def _handshakes(bench: Bench) -> list[Metric]:
    """TCP, TLS, upgrade, token, hello, welcome, presence in the store."""
    cpu_s, began = bench.host.cpu_s(), time.perf_counter()
    devices = await bench.devices(range(HANDSHAKES))
    took_s = time.perf_counter() - began
    cpu_ms = (bench.host.cpu_s() - cpu_s) / HANDSHAKES * 1e3
    await _hang_up(devices)
    return [
        Metric("handshakes a second", HANDSHAKES / took_s, "1/s"),
        Metric("CPU a handshake", cpu_ms, "ms"),
    ]


async def _storm(bench: Bench) -> list[Metric]:
    """Every device loses its connection at once and comes back with the link's backoff."""
    devices = await bench.devices(range(STORM))
    cpu_s = bench.host.cpu_s()
    await _hang_up(devices)
    began = time.perf_counter()
    back_s: list[float] = []
    tries = 0

    async def come_back(number: int) -> None:
        nonlocal tries
        backoff = Backoff(random.random)
        while True:
            await asyncio.sleep(backoff.next_wait_s())
            tries += 1
            try:
                devices[number] = await bench.device(number)
            except (OSError, TimeoutError):
                continue
            back_s.append(time.perf_counter() - began)
            return

    async with asyncio.TaskGroup() as group:
        for number in range(STORM):
            group.create_task(come_back(number), name=f"device {number}")
    metrics = [
        Metric(f"storm of {STORM}: half are back", _percentile(back_s, 50), "s"),
        Metric(f"storm of {STORM}: all are back", max(back_s), "s"),
        Metric(f"storm of {STORM}: tries a device", tries / STORM, ""),
        Metric(f"storm of {STORM}: the host's CPU", bench.host.cpu_s() - cpu_s, "s"),
        Metric(f"storm of {STORM}: the host's memory", bench.host.rss_mb(), "MB"),
    ]
    await _hang_up(devices)
    return metrics


async def _hang_up(devices: Sequence[Messages]) -> None:
    for device in devices:
        device.transport.abort()
    gc.collect()
    await asyncio.sleep(1)  # the host takes its leave of each


def _percentile(values: list[float], share: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]
