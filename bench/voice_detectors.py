"""The detector of speech: what it misses, what it takes for speech, what it costs.

The sentences, voices and noises are those of voice_recognition's set "test". A frame is speech where the clean sentence
is within SPEECH_DB of its loudest frame; frames near such an edge are not judged.
"""

from __future__ import annotations

import csv
import time
from array import array
from collections.abc import Sequence
from typing import Final

from bench.report import Metric
from bench.spoken_audio import LEAD_S, NOISES, recorded, say
from bench.voice_recognition import BABBLE, SENTENCES, VOICES
from microclaw.interfaces.voice.engines.engine import FRAME_BYTES, FRAME_MS, RATE_HZ
from microclaw.interfaces.voice.engines.silero_vad import SileroVoiceDetector
from microclaw.interfaces.voice.listening import Endpointer
from microclaw.interfaces.voice.session_context import EndpointLimits

SPEECH_DB: Final = 30.0
EDGE_FRAMES: Final = 3
COUNT: Final = 20
"""Sentences, each by every voice with every noise."""
_SAMPLES: Final = FRAME_BYTES // 2


def is_spoken(said: Sequence[int], frames: int) -> list[bool | None]:
    """Of each frame of the recording: speech, none, or None where it is not judged."""
    lead = int(LEAD_S * RATE_HZ)
    whole = [0] * lead + list(said)
    whole += [0] * max(0, frames * _SAMPLES - len(whole))
    powers = [sum(x * x for x in whole[at * _SAMPLES : (at + 1) * _SAMPLES]) for at in range(frames)]
    loud = [power > max(powers) * 10 ** (-SPEECH_DB / 10) for power in powers]
    near = [loud[max(0, at - EDGE_FRAMES) : at + EDGE_FRAMES + 1] for at in range(frames)]
    return [around[0] if len(set(around)) == 1 else None for around in near]


def measure() -> list[Metric]:
    with SENTENCES.open(encoding="utf-8") as file:
        sentences = [row["sentence"] for row in csv.DictReader(file, delimiter="\t") if row["set"] == "test"][:COUNT]
    babble = [say(text, voice) for text in BABBLE for voice in VOICES["dev"][:2]]
    said: list[array[int]] = [say(text, voice) for text in sentences for voice in VOICES["test"]]
    metrics: list[Metric] = []
    for noise in NOISES:
        pcms = [recorded(one, noise, babble, number) for number, one in enumerate(said)]
        metrics += _measured(noise, said, pcms)
    return metrics


def _measured(name: str, said: Sequence[array[int]], pcms: Sequence[bytes]) -> list[Metric]:
    missed = spoken = false = silent = whole = 0
    cpu_s = audio_s = 0.0
    for one, pcm in zip(said, pcms, strict=True):
        frames = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)]
        detector = SileroVoiceDetector()
        began_s = time.process_time()
        found = [detector.is_speech(frame) for frame in frames]
        cpu_s += time.process_time() - began_s
        audio_s += len(frames) * FRAME_MS / 1000
        for truth, answer in zip(is_spoken(one, len(frames)), found, strict=True):
            spoken += truth is True
            missed += truth is True and not answer
            silent += truth is False
            false += truth is False and answer
        endpointer = Endpointer(EndpointLimits())
        whole += [moment for frame in found if (moment := endpointer.frame(frame))][:2] == ["began", "ended"]
    return [
        Metric(f"{name}: missed speech", 100 * missed / spoken, "%"),
        Metric(f"{name}: false speech", 100 * false / silent, "%"),
        Metric(f"{name}: utterances with an end", 100 * whole / len(said), "%"),
        Metric(f"{name}: CPU a second of audio", 1000 * cpu_s / audio_s, "ms"),
    ]
