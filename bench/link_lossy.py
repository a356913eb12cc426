"""Audio over a network that loses packets: how many frames miss a 200 ms buffer, over the link and over bare TLS.

Devices send 50 frames a second and get each back; packets are lost both ways. A frame is late when there and back took
more than the round trip of 30 ms and the buffer: what either way lost counts against the one buffer. Run as a program
it is one network with one rate of loss: all are measured at the same time, each with namespaces and a host of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import Any

import uvloop

from bench.link_device import DeviceClient, Messages, RawClient, connect_device, websocket_frame
from bench.lossy_network import HOST, Network, lossy_network, missing
from bench.processes import running
from bench.report import Metric
from microclaw.wire.link.frame import FrameType, encode_frame

RTT_S = 0.030
BUFFER_S = 0.200
FRAME_S = 0.020
NO_LATE_LOSS = 0.01  # up to here no frame may be late
DRAIN_S = 5.0
START_S = 30.0
SEED = 4
FRAME = websocket_frame(encode_frame(FrameType.AUDIO_IN, bytes(640)))


@dataclass(frozen=True, slots=True)
class Effort:
    """`streams` over the link and as many over bare TLS, at each rate of loss."""

    losses: tuple[float, ...] = (0.0, 0.01, 0.03, 0.05)
    lasts_s: float = 60.0
    streams: int = 2


def measure(effort: Effort | None = None) -> list[Metric]:
    effort = effort or Effort()
    lacks = missing()
    if lacks is not None:
        print(f"link_lossy: skipped: {lacks}", file=sys.stderr)
        return []
    words = ("bench.link_lossy", "--lasts", str(effort.lasts_s), "--streams", str(effort.streams))
    return in_networks(words, effort.losses, START_S + effort.lasts_s + DRAIN_S)


def in_networks(words: Sequence[str], losses: Sequence[float], timeout_s: float) -> list[Metric]:
    """The metrics of `python -m WORDS --loss LOSS`, one process for each loss and all at the same time."""
    with ExitStack() as stack:
        networks = [
            stack.enter_context(
                subprocess.Popen([sys.executable, "-m", *words, "--loss", str(loss)], stdout=subprocess.PIPE)
            )
            for loss in losses
        ]
        metrics: list[Metric] = []
        for network in networks:
            said, _ = network.communicate(timeout=timeout_s)
            if network.returncode != 0:
                raise RuntimeError(f"a lossy network ended with {network.returncode}: what it says is above")
            metrics += [Metric(**each) for each in json.loads(said)]
    return metrics


class _Arrivals(Messages):
    """The times at which the frames came back."""

    unit = 1

    def __init__(self, *words: str) -> None:
        super().__init__(*words)
        self.arrived_s: list[float] = []

    def got(self, count: int) -> None:
        super().got(count)
        whole = self.received // self.unit - len(self.arrived_s)
        self.arrived_s += [time.perf_counter()] * whole

    async def whole(self, count: int) -> None:
        """Returns when so many frames came."""
        missing_units = count * self.unit - self.received
        if missing_units > 0:
            await self.expect(missing_units)


class LinkStream(_Arrivals, DeviceClient):
    """Over the link."""


class BareStream(_Arrivals, RawClient):
    """Over TLS alone."""

    unit = len(FRAME)


async def _measure(facts: dict[str, Any], network: Network, loss: float, lasts_s: float) -> list[Metric]:
    tls = ssl.create_default_context(cadata=facts["ca"])
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
    network.loss = loss
    network.lost = 0
    sent_s = await _stream([*linked, *bare], lasts_s)
    network.loss = 0.0
    with suppress(TimeoutError):  # what has not come by then counts as late
        async with asyncio.timeout(DRAIN_S):
            await asyncio.gather(*(stream.whole(len(sent_s)) for stream in (*linked, *bare)))
    for stream in (*linked, *bare):
        stream.transport.abort()
    named = f"at {loss:.0%} loss, {RTT_S * 1000:.0f} ms RTT"
    goal = 0.0 if loss <= NO_LATE_LOSS else None
    return [
        Metric(f"late frames {named}, link", _late_percent(linked, sent_s), "%", goal),
        Metric(f"late frames {named}, bare TLS", _late_percent(bare, sent_s), "%"),
        Metric(f"slowest round trip {named}, link", _slowest_ms(linked, sent_s), "ms"),
        Metric(f"slowest round trip {named}, bare TLS", _slowest_ms(bare, sent_s), "ms"),
        Metric(f"packets lost {named}", network.lost, ""),
    ]


async def _stream(streams: Sequence[_Arrivals], lasts_s: float) -> list[float]:
    """Send frames on all streams together; return their times. None waits for another to come back."""
    sent_s: list[float] = []
    due_s = time.perf_counter()
    for _ in range(round(lasts_s / FRAME_S)):
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loss", type=float, required=True, help="share of the packets that are lost")
    parser.add_argument("--lasts", type=float, required=True, help="seconds")
    parser.add_argument("--streams", type=int, required=True, help="of each kind")
    options = parser.parse_args()
    with lossy_network(RTT_S / 2, SEED) as network:
        network.enter_host()
        with running("bench.link_host", "--devices", str(options.streams), "--address", HOST) as host:
            network.enter_device()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                metrics = runner.run(_measure(host.facts, network, options.loss, options.lasts))
    print(json.dumps([asdict(metric) for metric in metrics]), flush=True)


if __name__ == "__main__":
    main()
