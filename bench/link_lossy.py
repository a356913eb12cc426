"""Audio over a network that loses packets: how many frames miss a 200 ms buffer, over the link and over bare TLS.

Devices send 50 frames a second and get each back. Only what they send is lost, so a frame's way to the host is what
makes it late; a round trip takes 30 ms when nothing is lost.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvloop

from bench.link_device import DeviceClient, Messages, RawClient, connect_device, websocket_frame
from bench.lossy_network import HOST, Network, lossy_network, missing
from bench.processes import running
from bench.report import Metric
from microclaw.wire.link.frame import FrameType, encode_frame

LOSSES = (0.0, 0.01, 0.03, 0.05)
RTT_S, BUFFER_S, FRAME_S = 0.030, 0.200, 0.020
LASTS_S = 60.0
STREAMS = 2  # of each kind, all at once
DRAIN_S = 5.0
FRAME = websocket_frame(encode_frame(FrameType.AUDIO_IN, bytes(640)))


class _Arrivals(Messages):
    """When each frame came back."""

    unit = 1

    def __init__(self, *words: str) -> None:
        super().__init__(*words)
        self.arrived_s: list[float] = []

    def got(self, count: int) -> None:
        super().got(count)
        whole = self.received // self.unit - len(self.arrived_s)
        self.arrived_s += [time.perf_counter()] * whole


class LinkStream(_Arrivals, DeviceClient):
    """Over the link."""


class BareStream(_Arrivals, RawClient):
    """Over TLS alone."""

    unit = len(FRAME)


def measure() -> list[Metric]:
    lacks = missing()
    if lacks is not None:
        print(f"link_lossy: skipped: {lacks}", file=sys.stderr)
        return []
    metrics: list[Metric] = []
    with lossy_network(RTT_S / 2, seed=4) as network:
        network.enter_host()
        with running("bench.link_host", "--devices", str(STREAMS), "--address", HOST) as host:
            network.enter_device()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                for loss in LOSSES:
                    metrics += runner.run(_measure(host.facts, network, loss))
    return metrics


async def _measure(facts: dict[str, Any], network: Network, loss: float) -> list[Metric]:
    tls = ssl.create_default_context(cadata=facts["ca"])
    network.loss = 0.0
    loop = asyncio.get_running_loop()
    linked: list[_Arrivals] = []
    bare: list[_Arrivals] = []
    for token in facts["tokens"]:
        device = await connect_device(facts["port"], token, tls, LinkStream, address=HOST)
        assert isinstance(device, LinkStream)
        device.start_audio()
        linked.append(device)
        _, plain = await loop.create_connection(
            BareStream, HOST, facts["raw_port"], ssl=tls, server_hostname="localhost"
        )
        bare.append(plain)
    network.loss, network.lost = loss, 0
    sent_s = await _stream([*linked, *bare])
    network.loss = 0.0
    await asyncio.sleep(DRAIN_S)
    for stream in (*linked, *bare):
        stream.transport.abort()
    named = f"at {loss:.0%} loss, {RTT_S * 1000:.0f} ms RTT"
    goal = 0.0 if loss <= 0.01 else None
    return [
        Metric(f"late frames {named}, link", _late_percent(linked, sent_s), "%", goal),
        Metric(f"late frames {named}, bare TLS", _late_percent(bare, sent_s), "%"),
        Metric(f"slowest round trip {named}, link", _slowest_ms(linked, sent_s), "ms"),
        Metric(f"slowest round trip {named}, bare TLS", _slowest_ms(bare, sent_s), "ms"),
        Metric(f"packets lost {named}", network.lost, ""),
    ]


async def _stream(streams: Sequence[_Arrivals]) -> list[float]:
    """When each frame was sent, on all streams together."""
    sent_s: list[float] = []
    due_s = time.perf_counter()
    for _ in range(round(LASTS_S / FRAME_S)):
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        sent_s.append(time.perf_counter())
        for stream in streams:
            stream.transport.write(FRAME)
        due_s += FRAME_S
    return sent_s


def _late_percent(streams: Sequence[_Arrivals], sent_s: Sequence[float]) -> float:
    """Frames that came later than a round trip and the buffer allow, or never."""
    late = 0
    for stream in streams:
        late += len(sent_s) - len(stream.arrived_s)
        late += sum(came - sent > RTT_S + BUFFER_S for sent, came in zip(sent_s, stream.arrived_s, strict=False))
    return 100 * late / (len(sent_s) * len(streams))


def _slowest_ms(streams: Sequence[_Arrivals], sent_s: Sequence[float]) -> float:
    """Of the frames that came back."""
    return max(came - sent for each in streams for sent, came in zip(sent_s, each.arrived_s, strict=False)) * 1000
