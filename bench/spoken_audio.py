"""Sentences as audio for the bench of voice: flite and espeak-ng say them, noise is added at a given level."""

from __future__ import annotations

import array
import random
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from microclaw.interfaces.voice.engines.engine import RATE_HZ
from microclaw.interfaces.voice.resampling import Resampler

Noise: TypeAlias = Literal["clean", "20 dB", "10 dB"]
NOISES: Final[Sequence[Noise]] = ("clean", "20 dB", "10 dB")
LEAD_S: Final = 0.3
TAIL_S: Final = 0.9
"""The silence that ends an utterance is recorded too."""
BABBLE_VOICES: Final = 4
_LOUDEST: Final = 32_000


def say(text: str, voice: str) -> array.array[int]:
    """The sentence in samples of RATE_HZ. A voice is "flite:NAME" or "espeak-ng:NAME"."""
    program, name = voice.split(":")
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as folder:
        file = Path(folder, "said.wav")
        commands = {
            "flite": ["flite", "-voice", name, "-t", text, "-o", str(file)],
            "espeak-ng": ["espeak-ng", "-v", name, "-w", str(file), text],
        }
        subprocess.run(commands[program], check=True, timeout=30)
        with wave.open(str(file)) as audio:
            rate_hz = audio.getframerate()
            pcm = audio.readframes(audio.getnframes())
    resampler = Resampler(RATE_HZ)
    return array.array("h", resampler.feed(pcm, rate_hz) + resampler.rest())


def recorded(said: array.array[int], noise: Noise, others: Sequence[array.array[int]], seed: int) -> bytes:
    """The sentence with silence around it, and noise: half of its power white, half of it people who talk at once."""
    lead = int(LEAD_S * RATE_HZ)
    tail = int(TAIL_S * RATE_HZ)
    count = lead + len(said) + tail
    chance = random.Random(seed)
    speech = [0.0] * lead + [float(sample) for sample in said] + [0.0] * tail
    level = _rms(list(said))
    if noise == "clean":
        below_db = 50.0
        mixed = _white(count, chance)
    else:
        below_db = float(noise.split()[0])
        babble = _scaled(_babble(count, others, chance), 1.0)
        mixed = [a + b for a, b in zip(_scaled(_white(count, chance), 1.0), babble, strict=True)]
    added = _scaled(mixed, level * 10 ** (-below_db / 20))
    total = [a + b for a, b in zip(speech, added, strict=True)]
    loudest = max(abs(sample) for sample in total)
    factor = min(1.0, _LOUDEST / loudest)
    return array.array("h", (int(sample * factor) for sample in total)).tobytes()


def _white(count: int, chance: random.Random) -> list[float]:
    return [chance.uniform(-1.0, 1.0) for _ in range(count)]


def _babble(count: int, others: Sequence[array.array[int]], chance: random.Random) -> list[float]:
    total = [0.0] * count
    for _ in range(BABBLE_VOICES):
        voice = chance.choice(others)
        begin = chance.randrange(len(voice))
        turned = [*voice[begin:], *voice[:begin]]
        repeated = turned * (count // len(turned) + 1)
        total = [a + b for a, b in zip(total, repeated, strict=False)]
    return total


def _scaled(samples: list[float], level: float) -> list[float]:
    factor = level / max(_rms(samples), 1e-9)
    return [sample * factor for sample in samples]


def _rms(samples: Sequence[float]) -> float:
    return float((sum(sample * sample for sample in samples) / max(len(samples), 1)) ** 0.5)
