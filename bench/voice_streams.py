"""The devices that talk with one core of the host at once, and the cost of a silent one. The engines are stubs.

A device says two seconds, hears the answer, says the next: one of its directions always carries audio. The number is
carried when no device heard a gap in its answer. Host and devices have a core each.
"""

from __future__ import annotations

import ssl
import sys
import time
from dataclasses import dataclass
from typing import Final

from bench.link_streams import a_core_each, many_files
from bench.processes import Running, running
from bench.report import Metric, percentile
from bench.voice_devices import Conversations, Talker, Talkers

GOAL: Final = 200
TRIES: Final = 2
"""A neighbour's noise only adds gaps: a number counts as too many when it was too many twice."""


@dataclass(frozen=True, slots=True)
class Effort:
    """`numbers` of devices, from few to many; `idle` more of them for the memory."""

    numbers: tuple[int, ...] = (100, 200, 300, 400)
    lasts_s: float = 8.0
    warm: int = 50
    idle: int = 200
    settle_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Carried:
    found: Conversations
    devices: int
    host_share: float

    @property
    def unanswered(self) -> int:
        return self.found.counts.utterances - len(self.found.counts.answer_s)

    @property
    def faults(self) -> int:
        return self.found.counts.gaps + self.unanswered


def measure(effort: Effort | None = None) -> list[Metric]:
    effort = effort or Effort()
    most = max(*effort.numbers, effort.warm + effort.idle)
    with many_files(), running("bench.voice_host", "--devices", str(most)) as host, a_core_each(host):
        tls = ssl.create_default_context(cadata=host.facts["ca"])
        talkers = Talkers()
        try:
            here, idle_kb = _idle(talkers, host, tls, effort)
            trials = _search(talkers, here, host, tls, effort)
        finally:
            talkers.close()
    return [Metric("memory of a voice device that is silent", idle_kb, "KB", 80.0), *metrics(trials)]


def metrics(trials: list[Carried]) -> list[Metric]:
    """Of the largest number without a gap, each utterance answered; where even the least had some, of that."""
    carried = [trial for trial in trials if not trial.faults]
    if carried:
        best = carried[-1]
    else:
        best = trials[0]
    counts = best.found.counts
    return [
        Metric(
            "devices that talk at once without a gap, a core", carried[-1].devices if carried else 0, "", GOAL, True
        ),
        *(
            Metric(f"gaps with {t.devices} devices, {t.found.counts.utterances} utterances", t.found.counts.gaps, "")
            for t in trials
        ),
        *(Metric(f"utterances without an answer with {t.devices} devices", t.unanswered, "") for t in trials),
        Metric(f"with {best.devices}: the host's core", best.host_share * 100, "%"),
        Metric(f"with {best.devices}: devices a whole core would do by its CPU", best.devices / best.host_share, ""),
        *(
            Metric(
                f"with {best.devices}: end of speech to first audio, p{share}",
                percentile(counts.answer_s, share) * 1000,
                "ms",
            )
            for share in (50, 99)
            if counts.answer_s
        ),
        Metric(f"with {best.devices}: the devices' core", best.found.cpu_share * 100, "%"),
        Metric(f"with {best.devices}: p99 of the devices' own delay", percentile(counts.sent_late_s, 99) * 1000, "ms"),
    ]


def _idle(talkers: Talkers, host: Running, tls: ssl.SSLContext, effort: Effort) -> tuple[list[Talker], float]:
    """Devices with a microphone that say nothing, and the memory of each in KB."""
    tokens = host.facts["tokens"]
    port = host.facts["port"]
    here = talkers.connect(port, tokens[: effort.warm], tls)
    time.sleep(effort.settle_s)
    before_mb = host.rss_mb()
    here += talkers.connect(port, tokens[effort.warm : effort.warm + effort.idle], tls)
    time.sleep(effort.settle_s)
    return here, (host.rss_mb() - before_mb) * 1000 / effort.idle


def _search(talkers: Talkers, here: list[Talker], host: Running, tls: ssl.SSLContext, effort: Effort) -> list[Carried]:
    """Up to the first number that is too many; of each number the better of its tries."""
    trials: list[Carried] = []
    for number in effort.numbers:
        here += talkers.connect(host.facts["port"], host.facts["tokens"][len(here) : number], tls)
        tries = []
        for _ in range(TRIES):
            cpu_s = host.cpu_s()
            waited_s = host.waited_s()
            found = talkers.converse(here[:number], effort.lasts_s)
            tries.append(Carried(found, number, (host.cpu_s() - cpu_s) / found.lasted_s))
            lost = max((host.waited_s() - waited_s) / found.lasted_s, found.waited_share)
            if not tries[-1].faults:
                break
            heard = f"{found.counts.gaps} gaps and {tries[-1].unanswered} utterances were not answered"
            _say(f"{number} devices heard {heard} while others had {lost:.0%} of a core")
        trials.append(min(tries, key=lambda one: one.faults))
        if trials[-1].faults:
            break
    return trials


def _say(text: str) -> None:
    print(f"voice_streams: {text}", file=sys.stderr)
