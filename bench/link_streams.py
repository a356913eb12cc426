"""The devices that one core of the host talks with: 50 frames a second each way, over the link and bare aiohttp.

The number is searched at which the 99th percentile of the delay, from when a frame was due to when it came, passes
20 ms in either direction. A host has one core for itself, the devices have another.
"""

from __future__ import annotations

import os
import resource
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.paced_stream import FRAME_S
from bench.processes import Running, running
from bench.report import Metric
from bench.stream_devices import Conversation, Device, Devices

LATE_S = 0.02
# devices: up by GROWTH until too many, then halved down to steps of STEP
FIRST = 400
MOST = 1_600
STEP = 25
GROWTH = 1.5
CALM_S = 0.2
WARM_S = 0.8
LASTS_S = 2.2
TRIES = 2  # a neighbour's noise only ever adds delay: a number counts as too many when it was too many twice
DISTURBED_SHARE = 0.03  # of the time, that other processes had the core of host or devices: a failure is no verdict
# in a whole search
DISTURBED_TRIES = 6
DISTURBED_WAIT_S = 1.0
CROWDED_SHARE = 0.9  # of the devices' core: more of it and they, too, may be the limit


def measure() -> list[Metric]:
    words = ("bench.link_host", "--paced", "--devices", str(MOST))
    with many_files(), running(*words) as linked, running(*words) as bare, a_core_each(linked, bare):
        devices = Devices()
        try:
            searches = [Search(devices, linked, linked=True), Search(devices, bare, linked=False)]
            unknown = searches
            while unknown:  # in turn: the same weather for both
                unknown = [search for search in unknown if search.advance()]
        finally:
            devices.close()
    link, library = searches
    if library.carried:
        ratio = link.carried / library.carried
    else:
        ratio = 0.0
    return [
        Metric("full-duplex streams a core, link", link.carried, ""),
        Metric("full-duplex streams a core, bare aiohttp", library.carried, ""),
        Metric("full-duplex streams, link / bare aiohttp", ratio, "x", 0.75, at_least=True),
        *link.metrics("link"),
        *library.metrics("bare aiohttp"),
    ]


class Search:
    """For the largest number of devices that one host carries."""

    def __init__(self, devices: Devices, host: Running, *, linked: bool) -> None:
        self.carried = 0
        self._devices = devices
        self._host = host
        self._linked = linked
        self._too_many: int | None = None
        self._failed = self._disturbed = 0
        self._here: list[Device] = []
        self._best: tuple[Conversation, float] | None = None
        self._tls = ssl.create_default_context(cadata=host.facts["ca"])

    def advance(self) -> bool:
        """One conversation more; False when the number is known."""
        count = self._next()
        if count is None:
            return False
        self._bring(count)
        host = self._host
        time.sleep(CALM_S)
        cpu_s = host.cpu_s()
        waited_s = host.waited_s()
        devices = self._here[:count]
        found = self._devices.converse(devices, warm_s=WARM_S, lasts_s=LASTS_S, late_s=LATE_S)
        cpu_share = (host.cpu_s() - cpu_s) / found.lasted_s
        waited_share = (host.waited_s() - waited_s) / found.lasted_s
        self._devices.end(devices)
        self._judge(found, cpu_share, waited_share)
        return True

    def _judge(self, found: Conversation, host_share: float, waited_share: float) -> None:
        if found.p99_s <= LATE_S:
            self.carried = found.devices
            self._failed = 0
            self._best = found, host_share
            return
        lost = max(waited_share, found.waited_share)
        if lost > DISTURBED_SHARE and self._disturbed < DISTURBED_TRIES:
            self._disturbed += 1
            time.sleep(DISTURBED_WAIT_S)
            return
        if lost > DISTURBED_SHARE:
            _say(f"{found.devices} devices were too many while others had {lost:.0%} of a core: it may be more")
        if found.cpu_share > CROWDED_SHARE:
            _say(f"{found.devices} devices took {found.cpu_share:.0%} of their own core: they may be the limit")
        self._failed += 1
        if self._failed >= TRIES:
            self._too_many = found.devices
            self._failed = 0

    def metrics(self, named: str) -> list[Metric]:
        """Of the conversation with the most devices that were carried."""
        if self._best is None:
            return []
        found, host_share = self._best
        frame_us = host_share / found.devices * FRAME_S * 1e6
        return [
            Metric(f"with that many: p99 of the delay, {named}", found.p99_s * 1000, "ms"),
            Metric(f"with that many: the host's core, {named}", host_share * 100, "%"),
            Metric(f"with that many: CPU of a frame each way, {named}", frame_us, "us"),
            Metric(f"with that many: the devices' core, {named}", found.cpu_share * 100, "%"),
            Metric(f"with that many: p99 of the devices' own delay, {named}", found.send_p99_s * 1000, "ms"),
        ]

    def _next(self) -> int | None:
        if self._too_many is None:
            if self.carried >= MOST:
                _say(f"{MOST} devices are not enough to find the limit")
                return None
            return min(MOST, round(self.carried * GROWTH)) or FIRST
        if self._too_many - self.carried <= STEP:
            return None
        return (self._too_many + self.carried) // 2

    def _bring(self, count: int) -> None:
        facts = self._host.facts
        tokens = facts["tokens"][len(self._here) : count]
        port = facts["port" if self._linked else "bare_port"]
        self._here += self._devices.connect(port, tokens, self._tls, linked=self._linked)


def _say(text: str) -> None:
    print(f"link_streams: {text}", file=sys.stderr)


@contextmanager
def a_core_each(*hosts: Running) -> Iterator[None]:
    """Hosts on one core, this process on another, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        _say("one core only: devices take the host's time")
        yield
        return
    for host in hosts:
        host.pin(cores[-1])
    os.sched_setaffinity(0, {cores[0]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def many_files() -> Iterator[None]:
    """As many open files as this process may have, for it and for those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
