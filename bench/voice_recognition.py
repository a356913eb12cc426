"""The recognition of spoken commands: how well, how fast, how wrongly.

flite and espeak-ng say the sentences of data/spoken.tsv (spoken_audio.py), without noise and with two levels of it.
The set "dev" and its voices are for tuning; "test" and its voices are measured. What a transcript would do is asked of
the offline reading: a wrong act is one that the sentence itself would not have led to.
`python -m bench.voice_recognition [dev|test] [all|rotated|few]` prints what became of each.
"""

from __future__ import annotations

import asyncio
import csv
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from msgspec import structs

from bench.processes import cpu_s, rss_mb
from bench.report import Metric, median
from bench.spoken_audio import NOISES, Noise, recorded, say
from microclaw.agent.models.protocol import DeviceContext, KnownDevice, ModelRequest, UserText
from microclaw.agent.offline.decision import Act
from microclaw.agent.offline.dialogue import understand
from microclaw.hardware.boards import load_board
from microclaw.hardware.boards.profile import BoardPin, PinUse
from microclaw.hardware.parts.named_parts import NamedPin
from microclaw.interfaces.voice.confirmation import must_ask_back
from microclaw.interfaces.voice.engines.engine import FRAME_BYTES, FRAME_MS, RATE_HZ, Transcript
from microclaw.interfaces.voice.engines.engine_pool import PoolLimits
from microclaw.interfaces.voice.engines.silero_vad import SileroVoiceDetector
from microclaw.interfaces.voice.engines.whisper import WhisperRecognizer
from microclaw.interfaces.voice.engines.whisper_models import model_folder
from microclaw.interfaces.voice.listening import Endpointer, Recognition
from microclaw.interfaces.voice.session_context import EndpointLimits

Outcome: TypeAlias = Literal["right", "asked back", "not caught", "other words", "wrong act"]
Kind: TypeAlias = Literal["command", "outside"]
Share: TypeAlias = Literal["all", "rotated", "few"]
"""Each sentence by every voice with every noise; with two noises, by a voice each; once."""
SENTENCES: Final = Path(__file__).parent / "data" / "spoken.tsv"
VOICES: Final = {
    "dev": ("flite:kal16", "flite:rms", "espeak-ng:en-gb"),
    "test": ("flite:slt", "flite:awb", "espeak-ng:en-us"),
}
BABBLE: Final = ("my brother lives in another town with his wife", "we walked along the river for an hour")
NAMES: Final = ("kitchen", "fan")
AT_ONCE: Final = 2
PATIENCE_S: Final = 120.0
PACED: Final = 6
"""Utterances that are also given at the pace of speech, for the latency."""


@dataclass(frozen=True, slots=True)
class Effort:
    share: Share = "rotated"


@dataclass(frozen=True, slots=True)
class Spoken:
    kind: Kind
    sentence: str
    voice: str
    noise: Noise
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    spoken: Spoken
    transcript: Transcript
    outcome: Outcome


def corpus(which: str, share: Share = "all") -> Iterator[Spoken]:
    """The utterances of a set, as many as `share` says; voices and noises come up equally often."""
    with SENTENCES.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["set"] == which]
    babble = [say(text, voice) for text in BABBLE for voice in VOICES["dev"][:2]]
    voices = VOICES[which]
    wanted = [(at, row, v, n) for at, row in enumerate(rows) for v in range(len(voices)) for n in range(len(NOISES))]
    for number, (at, row, v, n) in enumerate(wanted):
        is_turn = v == (at + n) % len(voices)
        is_one = n == at // len(voices) % len(NOISES)
        if share == "all" or (is_turn and is_one == (share == "few")):
            voice = voices[v]
            noise = NOISES[n]
            pcm = recorded(say(row["sentence"], voice), noise, babble, number)
            kind: Kind = "command" if row["kind"] == "command" else "outside"
            yield Spoken(kind, row["sentence"], voice, noise, pcm)


def acts(sentence: str) -> Act | None:
    """The first act of the offline reading; None where it asks or answers."""
    uses: frozenset[PinUse] = frozenset(("input", "output", "pwm", "adc", "i2c"))
    board = structs.replace(load_board("virtual"), pins={number: BoardPin(number, uses) for number in range(49)})
    device = KnownDevice("kitchen", board)
    context = DeviceContext((device,), device, (NamedPin("fan", 11),))
    decision = understand(ModelRequest("", (UserText(sentence),), (), device_context=context)).decision
    return decision if isinstance(decision, Act) else None


def judge(spoken: Spoken, transcript: Transcript) -> Outcome:
    if not transcript.text:
        return "not caught"
    if must_ask_back(transcript):
        return "asked back"
    done = acts(transcript.text)
    wanted = acts(spoken.sentence)
    is_same = transcript.text == spoken.sentence.replace("p.m.", "pm")
    is_wanted = (
        done is not None and wanted is not None and (done.tool, done.arguments) == (wanted.tool, wanted.arguments)
    )
    if done is not None and not is_same and not is_wanted:
        return "wrong act"
    if spoken.kind == "outside":
        return "other words"
    if is_same:
        return "right"
    return "right" if wanted is not None and done is not None else "other words"


async def recognise(recognizer: WhisperRecognizer, spoken: Spoken, *, paced: bool = False) -> tuple[Transcript, float]:
    """As a session hears it, with its detector: the transcript, and the ms from when the end was sure to it."""
    recognition = Recognition(recognizer, lambda _text: None)
    endpointer = Endpointer(EndpointLimits())
    detector = SileroVoiceDetector()
    began_s = time.perf_counter()
    for n, start in enumerate(range(0, len(spoken.pcm), FRAME_BYTES), start=1):
        frame = spoken.pcm[start : start + FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
        if endpointer.frame(detector.is_speech(frame)) not in (None, "began"):
            break
        recognition.feed(frame, endpointer)
        if paced:
            await asyncio.sleep(began_s + n * FRAME_MS / 1000 - time.perf_counter())
    fed_s = time.perf_counter()
    if not endpointer.has_begun:
        recognition.abandon()
        return Transcript("", 0.0), 0.0
    transcript = await recognition.finish()
    return transcript, (time.perf_counter() - fed_s) * 1000


def whisper(**limits: Any) -> WhisperRecognizer:
    """With the model of the wheel, on one thread."""
    model = model_folder("tiny.en", Path("/nowhere"))
    return WhisperRecognizer(lambda: NAMES, lambda: model, threads=1, limits=PoolLimits(answer_s=PATIENCE_S, **limits))


async def hear_all(utterances: Iterator[Spoken]) -> list[Heard]:
    heard: list[Heard] = []
    ears = whisper(most=AT_ONCE, kept=AT_ONCE)

    async def work() -> None:
        for spoken in left:
            transcript, _ = await recognise(ears, spoken)
            heard.append(Heard(spoken, transcript, judge(spoken, transcript)))

    left = iter(list(utterances))
    try:
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    finally:
        await ears.close()
    return heard


@dataclass(frozen=True, slots=True)
class Cost:
    latency_ms: float
    real_time: float
    rss_mb: float


def _innermost(pid: int) -> int:
    """The process at the end of a chain of only children: the engine inside of its sandbox."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    if children:
        return _innermost(int(children[0]))
    return pid


async def cost(utterances: Sequence[Spoken]) -> Cost:
    """Of one process, and utterances at the pace of speech."""
    ears = whisper(most=AT_ONCE, kept=1)
    try:
        await ears.warm_up()
        [pid] = map(_innermost, ears.pool.pids)
        before_s = cpu_s(pid)
        audio_s = 0.0
        late_ms = []
        for spoken in utterances:
            late_ms.append((await recognise(ears, spoken, paced=True))[1])
            audio_s += len(spoken.pcm) / RATE_HZ / 2
        real_time = (cpu_s(pid) - before_s) / audio_s
        return Cost(median(late_ms), real_time, rss_mb(pid))
    finally:
        await ears.close()


def measure(effort: Effort | None = None) -> list[Metric]:
    return measured(list(corpus("test", (effort or Effort()).share)))[1]


def measured(utterances: Sequence[Spoken]) -> tuple[list[Heard], list[Metric]]:
    heard = asyncio.run(hear_all(iter(utterances)))
    paced = [one.spoken for one in heard if one.spoken.kind == "command" and one.spoken.noise == "clean"][:PACED]
    return heard, [*metrics(heard), *cost_metrics(asyncio.run(cost(paced)))]


def metrics(heard: Sequence[Heard]) -> list[Metric]:
    rows = [Metric("wrong acts, of all utterances", _share(heard, "wrong act"), "%", 1.0)]
    for noise in NOISES:
        commands = [one for one in heard if one.spoken.kind == "command" and one.spoken.noise == noise]
        rows += [Metric(f"commands, {noise}: {name}", _share(commands, name), "%") for name in _OUTCOMES]
    outside = [one for one in heard if one.spoken.kind == "outside"]
    return rows + [Metric(f"outside: {name}", _share(outside, name), "%") for name in _OUTCOMES[1:]]


def cost_metrics(found: Cost) -> list[Metric]:
    return [
        Metric("end of an utterance, once it is sure, to transcript", found.latency_ms, "ms", 60.0),
        Metric("processor time per time of speech", found.real_time, "", 0.6),
        Metric("memory of a process", found.rss_mb, "MB", 300.0),
    ]


_OUTCOMES: Final[Sequence[Outcome]] = ("right", "asked back", "not caught", "other words", "wrong act")


def _share(heard: Sequence[Heard], outcome: Outcome) -> float:
    return 100 * sum(one.outcome == outcome for one in heard) / max(len(heard), 1)


def main(words: Sequence[str]) -> None:
    if words:
        which = words[0]
    else:
        which = "test"
    shares = get_args(Share)
    if len(words) > 1:
        share: Share = shares[shares.index(words[1])]
    else:
        share = "all"
    heard, rows = measured(list(corpus(which, share)))
    for one in heard:
        if one.outcome != "right" and not (one.spoken.kind == "outside" and one.outcome == "not caught"):
            print(
                f"{one.outcome:11} {one.spoken.voice:16} {one.spoken.noise:6} {one.spoken.sentence} -> {one.transcript}"
            )
    print(Counter((one.spoken.kind, one.spoken.voice, one.outcome) for one in heard))
    for metric in rows:
        print(f"{metric.name}: {metric.value:.3g} {metric.unit}")


if __name__ == "__main__":
    main(sys.argv[1:])
