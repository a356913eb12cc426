"""A spoken turn as a person has it: a virtual board with microphone and speaker, the host with its own engines.

Real processes and the real link: Whisper hears, the offline sentences answer, flite speaks. The stages are the
host's own trace of each turn; from the end of what was said to the first sample played is the board's clock. The same
audio is given to the engines alone, in turn with the host, so that what lies beyond them is seen. Then the microphone
is opened while the host speaks.
"""

from __future__ import annotations

import array
import asyncio
import itertools
import tempfile
import time
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.processes import private_home, running
from bench.report import Metric, median, percentile
from bench.spoken_audio import say
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.child import BoardControl
from microclaw.interfaces.voice.engines.engine import FRAME_BYTES, FRAME_MS, RATE_HZ
from microclaw.interfaces.voice.engines.flite import Flite
from microclaw.interfaces.voice.engines.whisper import WhisperRecognizer
from microclaw.interfaces.voice.engines.whisper_models import model_folder
from microclaw.interfaces.voice.session_context import EndpointLimits
from microclaw.wire import board_control as control
from microclaw.wire.board_replies import SpeakerState

VOICE: Final = "flite:rms"
SENTENCES: Final = (
    "turn on pin four",
    "read pin thirteen",
    "turn off pin four",
    "what is the temperature",
    "set pin seven low",
    "list devices",
)
LONG: Final = "what can you do"
"""Its answer is long enough to be interrupted."""
DEVICE: Final = "bench"
SILENCE_MS: Final = EndpointLimits().silence_ms
PATIENCE_S: Final = 60.0
LOOK_EVERY_S: Final = 0.02
SPOKEN_S: Final = 0.3
"""How long the host has spoken when it is interrupted."""
QUIET: Final = 500
"""Samples below are no speech at the end of a sentence."""
STAGES: Final = (
    ("end heard", "final"),
    ("final", "first token"),
    ("first token", "first sentence"),
    ("first sentence", "first audio out"),
    ("first audio out", "first audible"),
)


@dataclass(frozen=True, slots=True)
class Effort:
    turns: int = 12
    interruptions: int = 6


@dataclass(frozen=True, slots=True)
class Answered:
    """From the end of what was said to the first audible, by the board; and the first sentence of the answer."""

    heard_ms: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Turn:
    """All in ms. `steps` are of the host's trace."""

    answered: Answered
    steps: Mapping[str, float]

    def span_ms(self, first: str, then: str) -> float:
        return self.steps[then] - self.steps[first]


@dataclass(frozen=True, slots=True)
class Alone:
    """The engines without a host: the same audio and the same sentence. In ms."""

    final_ms: float
    first_audio_ms: float


@dataclass(frozen=True, slots=True)
class Interruption:
    """`cut_ms` of audio were played after the microphone was opened; `stale` frames came after `cancel_stream`."""

    cut_ms: int
    stale: int


def measure(effort: Effort | None = None) -> list[Metric]:
    effort = effort or Effort()
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as folder, _spoken_to(Path(folder)) as stage:
        first = stage.turn(SENTENCES[0])
        answers = []
        alone = []
        with asyncio.Runner() as runner, _engines(runner) as engines:
            for sentence in itertools.islice(itertools.cycle(SENTENCES), effort.turns):
                answered = stage.turn(sentence)
                answers.append(answered)
                alone.append(runner.run(engines.hear_and_say(stage.spoken(sentence), answered.sentence)))
        turns = [Turn(*one) for one in zip(answers, stage.traces(effort.turns), strict=True)]
        cuts = [stage.interruption() for _ in range(effort.interruptions)]
        glitches = stage.board.ask(control.Speaker()).glitches
    return [
        *turn_metrics(turns, alone),
        Metric("the same, the first turn of a host", first.heard_ms, "ms"),
        Metric("gaps in all answers", glitches, ""),
        *interruption_metrics(cuts),
    ]


def turn_metrics(turns: Sequence[Turn], alone: Sequence[Alone]) -> list[Metric]:
    silence = _spans(turns, "speech end", "end heard")
    heard = [turn.answered.heard_ms for turn in turns]
    found = [
        Metric(
            "end of speech to first audible, p50", _p(_spans(turns, "speech end", "first audible"), 50), "ms", 1000.0
        ),
        Metric("end of speech to first audible, p95", _p(_spans(turns, "speech end", "first audible"), 95), "ms"),
        Metric("the same at the board, last sample to first sample, p50", _p(heard, 50), "ms"),
        Metric("the same at the board, last sample to first sample, p95", _p(heard, 95), "ms"),
        Metric("  speech end to end heard (the silence that ends an utterance), p50", _p(silence, 50), "ms"),
    ]
    for first, then in STAGES:
        spans = _spans(turns, first, then)
        found += [Metric(f"  {first} to {then}, p{share}", _p(spans, share), "ms") for share in (50, 95)]
    both = [(turn, one) for turn, one in zip(turns, alone, strict=True) if "final" in turn.steps]
    beyond_final = [turn.span_ms("end heard", "final") - one.final_ms for turn, one in both]
    beyond_audio = [turn.span_ms("first sentence", "first audible") - one.first_audio_ms for turn, one in both]
    return [
        *found,
        Metric("recognizer alone: last audio to text, p50", _p([a.final_ms for a in alone], 50), "ms"),
        Metric("synthesizer alone: sentence to first audio, p50", _p([a.first_audio_ms for a in alone], 50), "ms"),
        Metric("final, beyond the recognizer, p50", _p(beyond_final, 50), "ms"),
        Metric("first sentence to first audible, beyond the synthesizer, p50", _p(beyond_audio, 50), "ms", 100.0),
    ]


def interruption_metrics(cuts: Sequence[Interruption]) -> list[Metric]:
    return [
        Metric("interrupted: frames that came after cancel_stream, most", max(c.stale for c in cuts), "", 0.0),
        Metric("interrupted: played after the microphone opened, p50", median([c.cut_ms for c in cuts]), "ms"),
        Metric("interrupted: the same in frames of 20 ms, most", max(c.cut_ms for c in cuts) / FRAME_MS, "", 2.0),
    ]


def trimmed(said: array.array[int]) -> array.array[int]:
    """Without the silence at the end, so that its last sample is the end of speech."""
    last = max((at for at, sample in enumerate(said) if abs(sample) > QUIET), default=0)
    return said[: last + 1]


def _spans(turns: Sequence[Turn], first: str, then: str) -> list[float]:
    return [turn.span_ms(first, then) for turn in turns if first in turn.steps and then in turn.steps]


def _p(samples: Sequence[float], share: int) -> float:
    return percentile(samples, share)


class Stage:
    """A host that was started and a board that is linked to it."""

    def __init__(self, folder: Path, client: Client, board: BoardControl) -> None:
        self.board = board
        self._folder = folder
        self._client = client
        self._said: dict[str, bytes] = {}
        self._asked = 0

    def spoken(self, sentence: str) -> bytes:
        if sentence not in self._said:
            self._said[sentence] = trimmed(say(sentence, VOICE)).tobytes()
        return self._said[sentence]

    def turn(self, sentence: str) -> Answered:
        """The sentence is said; when it is answered aloud the answer is cut off by the button."""
        self._say(sentence)
        state = self._until(lambda state: bool(state.answer_ms and state.said))
        self.board.ask(control.Speaker(hush=True))
        self._until(lambda state: not state.speaking and not state.listening)
        return Answered(state.answer_ms, state.said[-1])

    def interruption(self) -> Interruption:
        self._say(LONG)
        before = self._until(lambda state: bool(state.answer_ms))
        time.sleep(SPOKEN_S)
        self._say(SENTENCES[0])
        after = self._until(lambda state: state.cut_ms > 0 and bool(state.answer_ms))
        self.board.ask(control.Speaker(hush=True))
        self._until(lambda state: not state.speaking and not state.listening)
        return Interruption(after.cut_ms, after.stale - before.stale)

    def _say(self, sentence: str) -> None:
        path = self._folder / "said.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(self.spoken(sentence))
        self._asked += 1
        self.board.ask(control.Mic(str(path), "wake"))

    def _until(self, condition: Callable[[SpeakerState], bool]) -> SpeakerState:
        give_up_s = time.monotonic() + PATIENCE_S
        while not condition(state := self.board.ask(control.Speaker())):
            if time.monotonic() > give_up_s:
                raise TimeoutError(f"the board is not spoken to: {state}")
            time.sleep(LOOK_EVERY_S)
        return state

    def traces(self, count: int) -> list[dict[str, float]]:
        """The steps of the newest turns in ms, the oldest of them first, once so many have ended."""
        give_up_s = time.monotonic() + PATIENCE_S
        while len(turns := self._client.get("/v1/voice", {"newest": 100})["turns"]) < self._asked:
            if time.monotonic() > give_up_s:
                raise TimeoutError(f"{len(turns)} of {self._asked} turns have ended")
            time.sleep(LOOK_EVERY_S)
        return [dict(turn["steps"]) for turn in turns[-count:]]


class Engines:
    """The engines as the host has them, without the host."""

    def __init__(self) -> None:
        model = model_folder("tiny.en", Path("/nowhere"))
        self.recognizer = WhisperRecognizer(lambda: (DEVICE,), lambda: model)
        self.synthesizer = Flite()

    async def hear_and_say(self, spoken: bytes, sentence: str) -> Alone:
        """The audio at the pace of speech, with the silence after which the host is sure of the end."""
        heard = bytearray()
        began_s = time.perf_counter()
        frames = -(-len(spoken) // FRAME_BYTES) + SILENCE_MS // FRAME_MS
        for number in range(frames):
            frame = spoken[number * FRAME_BYTES : (number + 1) * FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
            heard += frame
            await asyncio.sleep(began_s + (number + 1) * FRAME_MS / 1000 - time.perf_counter())
        fed_s = time.perf_counter()
        await self.recognizer.hear(bytes(heard))
        final_ms = (time.perf_counter() - fed_s) * 1000
        return Alone(final_ms, await self._first_audio_ms(sentence))

    async def _first_audio_ms(self, sentence: str) -> float:
        began_s = time.perf_counter()
        async with aclosing(self.synthesizer.speak(sentence)) as pieces:
            async for _ in pieces:
                return (time.perf_counter() - began_s) * 1000
        raise AssertionError(f"{sentence!r} made no audio")


@contextmanager
def _engines(runner: asyncio.Runner) -> Iterator[Engines]:
    engines = Engines()
    runner.run(engines.recognizer.warm_up())
    try:
        yield engines
    finally:
        runner.run(engines.recognizer.close())


@contextmanager
def _spoken_to(folder: Path) -> Iterator[Stage]:
    """A host with its link, and a board that is paired with it by a secret."""
    words = ("microclaw", "up", "--json", "--port", "0", "--link", "127.0.0.1:0")
    with private_home() as environ, running(*words, environ=environ):
        client = Client(load_settings(environ).control_socket)
        voice = client.get("/v1/voice")
        if voice["state"] == "off" or voice["problem"]:
            raise SystemExit(f"voice is off: {voice['problem']}")
        made = client.post("/v1/devices/provision", {"name": DEVICE, "board": "virtual", "secret": True, "host": None})
        secret = folder / "secret"
        socket = folder / "board.sock"
        secret.touch(mode=0o600)
        secret.write_text(made["secret"], encoding="ascii")
        board = ("microclaw.virtual", "--die-with-parent", "--control", str(socket), "--wasmachine", "0")
        link = ("--link", f"wss://{made['host']}:{made['port']}/link", "--link-ca-sha256", made["ca_sha256"])
        with running(*board, *link, "--link-secret-file", str(secret)), BoardControl(socket) as look:
            give_up_s = time.monotonic() + PATIENCE_S
            while look.ask(control.Link()).state != "connected":
                if time.monotonic() > give_up_s:
                    raise TimeoutError(f"the board is not linked: {look.ask(control.Link())}")
                time.sleep(LOOK_EVERY_S)
            yield Stage(folder, client, look)
