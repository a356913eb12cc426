"""The link's cost on loopback: round trips and CPU beside a raw TLS echo on the same loop, memory, handshakes, a storm.

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

from bench.link_device import WAIT_S, BareClient, DeviceClient, Messages, connect_device, connect_raw, websocket_frame
from bench.processes import Running, running
from bench.report import Metric, median, percentile
from microclaw.backoff import Backoff
from microclaw.wire.link.codec import encode
from microclaw.wire.link.frame import FrameType, encode_frame
from microclaw.wire.link.messages import Envelope, Ping

FRAME = encode_frame(FrameType.AUDIO_IN, bytes(640))
AT_ONCE = 16
STORM_WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Effort:
    """The size of a run; all `devices` echo `echoes` a round. A part of none is left out: handshakes, storm."""

    rtt_rounds: int = 50
    rtt_a_round: int = 100
    devices: int = 32
    echoes: int = 8_000
    echo_rounds: int = 9
    idle_warm: int = 100
    idle: int = 500
    handshakes: int = 400
    storm: int = 1_000
    settle_s: float = 1.0


def measure(effort: Effort | None = None) -> list[Metric]:
    effort = effort or Effort()
    tokens = max(effort.devices, effort.idle_warm + effort.idle, effort.handshakes, effort.storm)
    with (
        running("bench.link_host", "--devices", str(tokens)) as host,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_measure(Bench.of(host, effort)))


@dataclass(frozen=True, slots=True)
class Bench:
    effort: Effort
    host: Running
    port: int
    raw_port: int
    bare_port: int
    tokens: list[str]
    tls: ssl.SSLContext

    @classmethod
    def of(cls, host: Running, effort: Effort) -> Bench:
        facts: dict[str, Any] = host.facts
        tls = ssl.create_default_context(cadata=facts["ca"])
        return cls(effort, host, facts["port"], facts["raw_port"], facts["bare_port"], facts["tokens"], tls)

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
    count = bench.effort.devices
    devices = await bench.devices(range(count))
    plain = [await connect_raw(bench.raw_port, bench.tls) for _ in range(count)]
    bare = [await connect_device(bench.bare_port, "", bench.tls, BareClient) for _ in range(count)]
    for device in devices:
        device.start_audio()
    found = await _round_trips(bench.effort, devices[0], plain[0], bare[0])
    found += await _throughput(bench, devices, plain, bare)
    await _hang_up(bench, [*devices, *plain, *bare])
    found += await _idle_memory(bench)
    if bench.effort.handshakes:
        found += await _handshakes(bench)
    if bench.effort.storm:
        found += await _storm(bench)
    return found


async def _round_trips(effort: Effort, device: Messages, raw: Messages, bare: Messages) -> list[Metric]:
    """One frame at a time, the three in turn."""
    frame = websocket_frame(FRAME)
    link_us: list[float] = []
    raw_us: list[float] = []
    bare_us: list[float] = []
    for number in range(effort.rtt_rounds + 1):
        linked = await _echo_times(device, frame, 1, effort.rtt_a_round)
        plain = await _echo_times(raw, frame, len(frame), effort.rtt_a_round)
        library = await _echo_times(bare, frame, 1, effort.rtt_a_round)
        if number:  # the first round warms them up
            link_us += linked
            raw_us += plain
            bare_us += library
    metrics = []
    for share, goal in ((50, 1.2), (95, None), (99, None)):
        ours, theirs, bare_aiohttp = (percentile(times_us, share) for times_us in (link_us, raw_us, bare_us))
        metrics += [
            Metric(f"RTT p{share}, 641 bytes, link", ours, "us"),
            Metric(f"RTT p{share}, raw TLS", theirs, "us"),
            Metric(f"RTT p{share}, bare aiohttp", bare_aiohttp, "us"),
            Metric(f"RTT p{share}, link / bare aiohttp", ours / bare_aiohttp, "x", goal),
            Metric(f"RTT p{share}, link / raw TLS", ours / theirs, "x"),
        ]
    return metrics


async def _echo_times(client: Messages, frame: bytes, expected: int, count: int) -> list[float]:
    times = []
    async with asyncio.timeout(WAIT_S):
        for _ in range(count):
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
    audio = []
    control = []
    plain = []
    library = []
    for _ in range(bench.effort.echo_rounds):
        plain.append(await _echoes(bench, raw, frame, len(frame)))
        library.append(await _echoes(bench, bare, frame, 1))
        audio.append(await _echoes(bench, devices, frame, 1))
        control.append(await _echoes(bench, devices, ping, 1))
    named = (("a", audio), ("c", control), ("r", plain), ("b", library))
    cpu = {name: [us for _, us in runs] for name, runs in named}
    ratios = {name: median([ours / its for ours, its in zip(cpu["a"], cpu[name], strict=True)]) for name in "rb"}
    return [
        Metric(f"audio frames echoed a second, {len(devices)} devices", median([rate for rate, _ in audio]), "1/s"),
        Metric(f"CONTROL answered a second, {len(devices)} devices", median([rate for rate, _ in control]), "1/s"),
        Metric("raw TLS frames echoed a second", median([rate for rate, _ in plain]), "1/s"),
        Metric("CPU an echoed audio frame", median(cpu["a"]), "us"),
        Metric("CPU an answered CONTROL message", median(cpu["c"]), "us"),
        Metric("CPU an echoed raw TLS frame", median(cpu["r"]), "us"),
        Metric("CPU an echoed WebSocket message, bare aiohttp", median(cpu["b"]), "us"),
        Metric("CPU an audio frame, link / bare aiohttp", ratios["b"], "x", 1.6),
        Metric("CPU an audio frame, link / raw TLS", ratios["r"], "x"),
    ]


async def _echoes(bench: Bench, clients: Sequence[Messages], frame: bytes, expected: int) -> tuple[float, float]:
    """Echoes a second, and microseconds of the host's CPU for each."""

    each = max(1, bench.effort.echoes // len(clients))

    async def one(client: Messages) -> None:
        for _ in range(each):
            back = client.expect(expected)
            client.transport.write(frame)
            await back

    cpu_s = bench.host.cpu_s()
    began = time.perf_counter()
    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*(one(client) for client in clients))
    done = each * len(clients)
    return done / (time.perf_counter() - began), (bench.host.cpu_s() - cpu_s) / done * 1e6


async def _idle_memory(bench: Bench) -> list[Metric]:
    warm = bench.effort.idle_warm
    count = bench.effort.idle
    devices = [await bench.device(number) for number in range(warm)]
    before_mb = bench.host.rss_mb()
    devices += await bench.devices(range(warm, warm + count))
    idle_kb = (bench.host.rss_mb() - before_mb) * 1000 / count
    await _hang_up(bench, devices)
    return [Metric("memory an idle device, all state", idle_kb, "KB", 60)]


async def _handshakes(bench: Bench) -> list[Metric]:
    """TCP, TLS, upgrade, token, hello, welcome, presence in the store."""
    count = bench.effort.handshakes
    cpu_s = bench.host.cpu_s()
    began = time.perf_counter()
    devices = await bench.devices(range(count))
    took_s = time.perf_counter() - began
    cpu_ms = (bench.host.cpu_s() - cpu_s) / count * 1e3
    await _hang_up(bench, devices)
    return [
        Metric("handshakes a second", count / took_s, "1/s"),
        Metric("CPU a handshake", cpu_ms, "ms"),
    ]


async def _storm(bench: Bench) -> list[Metric]:
    """Every device loses its connection at once and comes back with the link's backoff."""
    count = bench.effort.storm
    devices = await bench.devices(range(count))
    cpu_s = bench.host.cpu_s()
    await _hang_up(bench, devices)
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

    async with asyncio.timeout(STORM_WAIT_S), asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(come_back(number), name=f"device {number}")
    metrics = [
        Metric(f"storm of {count}: half are back", percentile(back_s, 50), "s"),
        Metric(f"storm of {count}: all are back", max(back_s), "s"),
        Metric(f"storm of {count}: tries a device", tries / count, ""),
        Metric(f"storm of {count}: the host's CPU", bench.host.cpu_s() - cpu_s, "s"),
        Metric(f"storm of {count}: the host's memory", bench.host.rss_mb(), "MB"),
    ]
    await _hang_up(bench, devices)
    return metrics


async def _hang_up(bench: Bench, devices: Sequence[Messages]) -> None:
    for device in devices:
        device.transport.abort()
    gc.collect()
    await asyncio.sleep(bench.effort.settle_s)  # the host takes its leave of each
