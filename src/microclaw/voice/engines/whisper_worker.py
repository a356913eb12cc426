"""A process that recognises speech with Whisper: `python -m microclaw.voice.engines.whisper_worker`.

A library of speech holds the interpreter's lock, or crashes, or hangs: so it has a process of its own, which can open
no file and no socket any more once its models are loaded. Whisper was made for pieces of 30 s; hearing the 10 s that a
command needs takes a fifth of the time (docs/decisions/0042).
"""

from __future__ import annotations

import json
import math
import os
import resource
import struct
import sys
import zlib
from collections.abc import Callable
from typing import Any, Final

RATE_HZ: Final = 16_000
FEATURES_A_S: Final = 100
LEAST_S: Final = 10.0
MOST_S: Final = 21.0
MARGIN_S: Final = 1.0
"""Silence behind the audio, by which Whisper knows the end."""
MAX_PROMPT_TOKENS: Final = 200
TOKENS_A_S: Final = 8
LEAST_TOKENS: Final = 12
MAX_WORDS: Final = 200
MEMORY_BYTES: Final = 4 << 30
"""small.en takes a quarter of it."""
QUESTION: Final = struct.Struct("<II")
"""The sizes of its JSON and of the audio behind it."""
ANSWER: Final = struct.Struct("<I")
"""The size of its JSON."""
Hear = Callable[[dict[str, Any], bytes], dict[str, Any]]
"""Answers a question about an utterance."""


class WhisperEars:
    """Hears an utterance as a whole, after a prompt of what may be said."""

    def __init__(self, setup: dict[str, Any]) -> None:
        from faster_whisper import WhisperModel  # type: ignore[import-untyped]
        from faster_whisper.tokenizer import Tokenizer  # type: ignore[import-untyped]

        model = WhisperModel(
            str(setup["model"]),
            device="cpu",
            compute_type="int8",
            cpu_threads=int(setup["threads"]),
            local_files_only=True,
        )
        self._model = model
        self._tokenizer = Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language="en")
        self.hear({"prompt": "Turn on pin four."}, bytes(2 * RATE_HZ))  # the first time takes memory and longer

    def hear(self, asked: dict[str, Any], pcm: bytes) -> dict[str, Any]:
        """The words with the probability of each, how likely the text is, and how likely that nobody spoke."""
        import numpy as np

        audio = np.frombuffer(pcm[: len(pcm) // 2 * 2], np.int16).astype(np.float32) / 32768
        if not audio.size:
            return {"words": [], "mean_log": 0.0, "no_speech": 1.0, "packed": 1.0}
        tokens = self._tokenizer
        told = tokens.encode(" " + str(asked["prompt"]))[-MAX_PROMPT_TOKENS:]
        prompt = [tokens.sot_prev, *told, *tokens.sot_sequence, tokens.no_timestamps]
        audio_s = audio.size / RATE_HZ
        frames = int(min(MOST_S, max(LEAST_S, audio_s + MARGIN_S)) * FEATURES_A_S) // 2 * 2
        features = self._model.feature_extractor(audio)[:, :frames]
        features = np.pad(features, ((0, 0), (0, frames - features.shape[1])))
        result = self._model.model.generate(
            self._model.encode(features),
            [prompt],
            beam_size=1,
            max_length=len(prompt) + LEAST_TOKENS + int(audio_s * TOKENS_A_S),
            return_scores=True,
            return_logits_vocab=True,
            return_no_speech_prob=True,
        )[0]
        ids = result.sequences_ids[0]
        text = tokens.decode(ids).encode()
        return {
            "words": self._words(ids, result.logits[0])[:MAX_WORDS],
            "mean_log": float(result.scores[0]),
            "no_speech": float(result.no_speech_prob),
            "packed": len(text) / max(1, len(zlib.compress(text))),
        }

    def _words(self, ids: list[int], logits: list[Any]) -> list[list[Any]]:
        """Each word with the least probability of its pieces; signs belong to the word before and count for nothing."""
        import numpy as np

        words: list[list[Any]] = []
        for token, values in zip(ids, logits, strict=False):  # the last values are those of the end
            likely = np.asarray(values, dtype=np.float32).ravel()
            likely = likely - likely.max()
            probability = float(math.exp(likely[token]) / np.exp(likely).sum())
            piece = self._tokenizer.decode([token])
            if piece.startswith(" ") or not words:
                words.append([piece.strip(), 1.0])
            else:
                words[-1][0] += piece
            if any(sign.isalnum() for sign in piece):
                words[-1][1] = round(min(words[-1][1], probability), 4)
        return [word for word in words if word[0]]


def question(asked: object, pcm: bytes) -> bytes:
    body = json.dumps(asked).encode()
    return QUESTION.pack(len(body), len(pcm)) + body + pcm


def work(open_ears: Callable[[dict[str, Any]], Hear]) -> None:
    """Serve on standard input and output until the input ends. The first question opens the ears."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    hear: Hear | None = None
    while len(head := sys.stdin.buffer.read(QUESTION.size)) == QUESTION.size:
        body_bytes, pcm_bytes = QUESTION.unpack(head)
        asked = json.loads(sys.stdin.buffer.read(body_bytes))
        pcm = sys.stdin.buffer.read(pcm_bytes)
        if hear is None:
            hear = open_ears(asked)
            answer = dict[str, Any]()
            _confine()
        else:
            answer = hear(asked, pcm)
        text = json.dumps(answer).encode()
        answers.write(ANSWER.pack(len(text)) + text)
        answers.flush()


def _confine() -> None:
    """No new file, socket or process from here on, and an end to memory."""
    for kind, limit in (
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, MEMORY_BYTES),
    ):
        resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    work(lambda setup: WhisperEars(setup).hear)
