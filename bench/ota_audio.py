"""A device that speaks and listens, 50 frames a second each way, while 200 others fetch an update from the same host.

How late a frame is, is from when it was due to when it came, at the host and at the device. Host and devices have a
core each; quiet times and times with downloads take turns in one run.
"""

from __future__ import annotations

import json
import math
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from bench.link_streams import a_core_each, many_files
from bench.processes import running
from bench.report import Metric, median, percentile
from bench.stream_devices import Device, Devices, Heard

DEVICES: Final = 200
TURNS: Final = 6
LASTS_S: Final = 3.0
WARM_S: Final = 0.5
GOAL_MS: Final = 20.0


def measure() -> list[Metric]:
    quiet = Heard(0, 0, math.inf)
    loaded = Heard(0, 0, math.inf)
    rates = []
    shares = []
    with many_files(), running("bench.ota_host", "--fetching", str(DEVICES)) as host, a_core_each(host):
        devices = Devices()
        with _downloads(host.facts) as downloads:
            tls = ssl.create_default_context(cadata=host.facts["ca"])
            speaker = devices.connect(host.facts["port"], [host.facts["token"]], tls, linked=True)
            for _ in range(TURNS):
                _speak(devices, speaker, quiet)
                _say(downloads, "go")
                cpu_s = host.cpu_s()
                began_s = time.monotonic()
                _speak(devices, speaker, loaded)
                lasted_s = time.monotonic() - began_s
                shares.append((host.cpu_s() - cpu_s) / lasted_s)
                found = _say(downloads, "stop", answers=True)
                rates.append(found["bytes"] / lasted_s / 1e6)
                if found["most"]:
                    fairness = found["least"] / found["most"]
                else:
                    fairness = 0.0
        devices.close()
    return [
        *_lateness("nobody downloads", quiet, None),
        *_lateness(f"{DEVICES} download", loaded, GOAL_MS),
        Metric("bytes that the downloads got", median(rates), "MB/s"),
        Metric("the host's core meanwhile", median(shares) * 100, "%"),
        Metric("the slowest download's share of the fastest's", fairness, "x"),
    ]


def _speak(devices: Devices, speaker: Sequence[Device], heard: Heard) -> None:
    began_s = time.monotonic()
    heard.begin_s = began_s + WARM_S
    heard.end_s = began_s + WARM_S + LASTS_S
    devices.talk(speaker, heard, began_s)
    devices.end(speaker)


def _lateness(when: str, heard: Heard, goal: float | None) -> list[Metric]:
    """The worse direction counts."""
    sides = {"host": heard.host_heard, "device": heard.devices_heard}
    said = percentile(heard.devices_said, 99) * 1000
    found = [Metric(f"{when}: the device's own delay before it speaks, p99", said, "ms")]
    for side, delays in sides.items():
        found.append(Metric(f"{when}: {side} hears, p50", percentile(delays, 50) * 1000, "ms"))
        found.append(Metric(f"{when}: {side} hears, p99", percentile(delays, 99) * 1000, "ms", goal))
    return found


@contextmanager
def _downloads(facts: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "bench.ota_downloads"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        told = {name: facts[name] for name in ("port", "ca")}
        told |= {"tokens": facts["fetching"], "digest": facts["digests"][0], "size": facts["sizes"][0]}
        _say(process, json.dumps(told), answers=True)
        yield process
        assert process.stdin is not None
        process.stdin.close()


def _say(process: subprocess.Popen[str], text: str, *, answers: bool = False) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(text + "\n")
    process.stdin.flush()
    if answers:
        return dict(json.loads(process.stdout.readline()))
    return {}
