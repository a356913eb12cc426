"""Answers spoken over a network that loses packets: how many frames come too late for a buffer of 200 ms, with Opus.

The link is TCP: a lost packet is sent again, and what came after it waits for it. So loss is delay here and never a
missing frame; the network of bench.lossy_network loses real packets, both ways, and the kernel's own TCP mends it.
Host: bench.voice_host with stub engines. Run as a program it is one network with one rate of loss.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench.link_lossy import NO_LATE_LOSS, RTT_S, SEED, in_networks
from bench.lossy_network import HOST, lossy_network, missing
from bench.processes import running
from bench.report import Metric
from bench.voice_devices import Counts, OpusTalker, Talkers

START_S = 60.0
REST_S = 60.0


@dataclass(frozen=True, slots=True)
class Effort:
    losses: tuple[float, ...] = (0.0, 0.01, 0.03)
    lasts_s: float = 30.0
    devices: int = 8


def measure(effort: Effort | None = None) -> list[Metric]:
    effort = effort or Effort()
    lacks = missing()
    if lacks is not None:
        print(f"voice_lossy: skipped: {lacks}", file=sys.stderr)
        return []
    words = ("bench.voice_lossy", "--lasts", str(effort.lasts_s), "--devices", str(effort.devices))
    return in_networks(words, effort.losses, START_S + effort.lasts_s + REST_S)


def metrics(counts: Counts, loss: float, lost: int) -> list[Metric]:
    named = f"at {loss:.0%} loss, {RTT_S * 1000:.0f} ms RTT"
    goal = 0.0 if loss <= NO_LATE_LOSS else None
    return [
        Metric(f"late frames of the answers {named}", 100 * counts.gaps / max(1, counts.frames_heard), "%", goal),
        Metric(f"frames heard {named}", counts.frames_heard, ""),
        Metric(f"packets lost {named}", lost, ""),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loss", type=float, required=True, help="share of the packets that are lost")
    parser.add_argument("--lasts", type=float, required=True, help="seconds")
    parser.add_argument("--devices", type=int, required=True)
    options = parser.parse_args(argv)
    with lossy_network(RTT_S / 2, SEED) as network:
        network.enter_host()
        with running("bench.voice_host", "--devices", str(options.devices), "--address", HOST) as host:
            network.enter_device()
            talkers = Talkers(OpusTalker)
            try:
                tls = ssl.create_default_context(cadata=host.facts["ca"])
                here = talkers.connect(host.facts["port"], host.facts["tokens"], tls, address=HOST)
                network.loss = options.loss
                network.lost = 0
                found = talkers.converse(here, options.lasts)
            finally:
                talkers.close()
    print(json.dumps([asdict(metric) for metric in metrics(found.counts, options.loss, network.lost)]), flush=True)


if __name__ == "__main__":
    main()
