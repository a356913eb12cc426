"""A process that recognises speech with Whisper: `python -m microclaw.interfaces.voice.engines.whisper_worker`.

A speech library may hold the interpreter's lock, crash or hang, so it has its own process. After its models are loaded
the process can open no file and no socket. Whisper was made for pieces of 30 s; to hear the 10 s that a command needs
takes a fifth of the time (docs/decisions/0042).
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
"""Silence after the audio, by which Whisper recognises the end."""
MAX_PROMPT_TOKENS: Final = 200
TOKENS_A_S: Final = 8
LEAST_TOKENS: Final = 12
MAX_WORDS: Final = 200
MEMORY_BYTES: Final = 4 << 30
"""The model small.en needs a quarter of it."""
QUESTION: Final = struct.Struct("<II")
"""The sizes of its JSON and of the audio behind it."""
ANSWER: Final = struct.Struct("<I")
"""The size of its JSON."""
Hear = Callable[[dict[str, Any], bytes], dict[str, Any]]
"""Return the answer to a question about an utterance."""


class WhisperModelRunner:
    """A loaded Whisper model. It hears an utterance as a whole, with a prompt of sentences that may be said."""

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
        # The first use takes longer and allocates memory, which is not possible after the limits are set.
        self.hear({"prompt": "Turn on pin four."}, bytes(2 * RATE_HZ))

    def hear(self, request: dict[str, Any], pcm: bytes) -> dict[str, Any]:
        """Return the words with their probabilities, and the measures of the whole text.

        `mean_log` is how likely the text is, `no_speech` how likely silence is, and `packed` by how much the text
        shrinks when it is compressed.
        """
        import numpy as np

        audio = np.frombuffer(pcm[: len(pcm) // 2 * 2], np.int16).astype(np.float32) / 32768
        if not audio.size:
            return {"words": [], "mean_log": 0.0, "no_speech": 1.0, "packed": 1.0}
        tokenizer = self._tokenizer
        prompt_text = " " + str(request["prompt"])
        prompt_tokens = tokenizer.encode(prompt_text)[-MAX_PROMPT_TOKENS:]
        prompt = [tokenizer.sot_prev, *prompt_tokens, *tokenizer.sot_sequence, tokenizer.no_timestamps]
        audio_s = audio.size / RATE_HZ
        result = self._model.model.generate(
            self._model.encode(self._features(audio, audio_s)),
            [prompt],
            beam_size=1,
            max_length=len(prompt) + LEAST_TOKENS + int(audio_s * TOKENS_A_S),
            return_scores=True,
            return_logits_vocab=True,
            return_no_speech_prob=True,
        )[0]
        token_ids = result.sequences_ids[0]
        text = tokenizer.decode(token_ids).encode()
        return {
            "words": self._words(token_ids, result.logits[0])[:MAX_WORDS],
            "mean_log": float(result.scores[0]),
            "no_speech": float(result.no_speech_prob),
            "packed": len(text) / max(1, len(zlib.compress(text))),
        }

    def _features(self, audio: Any, audio_s: float) -> Any:
        """Return the features of the audio, padded with silence to a length between LEAST_S and MOST_S."""
        import numpy as np

        heard_s = min(MOST_S, max(LEAST_S, audio_s + MARGIN_S))
        # The encoder halves the number of frames, so it has to be even.
        frame_count = int(heard_s * FEATURES_A_S) // 2 * 2
        features = self._model.feature_extractor(audio)[:, :frame_count]
        return np.pad(features, ((0, 0), (0, frame_count - features.shape[1])))

    def _words(self, token_ids: list[int], logits: list[Any]) -> list[list[Any]]:
        """Return each word with the lowest probability of its tokens.

        Signs belong to the word before them, and their probability does not count.
        """
        import numpy as np

        words: list[list[Any]] = []
        # `logits` has one entry more, for the end of the text.
        for token_id, values in zip(token_ids, logits, strict=False):
            scores = np.asarray(values, dtype=np.float32).ravel()
            # Without this step the exponential of a high score would overflow.
            scores = scores - scores.max()
            probability = float(math.exp(scores[token_id]) / np.exp(scores).sum())
            piece = self._tokenizer.decode([token_id])
            if piece.startswith(" ") or not words:
                words.append([piece.strip(), 1.0])
            else:
                words[-1][0] += piece
            if any(sign.isalnum() for sign in piece):
                words[-1][1] = round(min(words[-1][1], probability), 4)
        return [word for word in words if word[0]]


def question(asked: object, pcm: bytes) -> bytes:
    """Return a question as the process reads it: both sizes, its JSON, then the audio."""
    body = json.dumps(asked).encode()
    return QUESTION.pack(len(body), len(pcm)) + body + pcm


def work(open_ears: Callable[[dict[str, Any]], Hear]) -> None:
    """Answer questions on standard input and output until the input ends. The first question loads the model."""
    answers = os.fdopen(os.dup(1), "wb")
    # A library that prints to standard output must not write between the answers.
    os.dup2(2, 1)
    hear: Hear | None = None
    while len(head := sys.stdin.buffer.read(QUESTION.size)) == QUESTION.size:
        body_bytes, pcm_bytes = QUESTION.unpack(head)
        request = json.loads(sys.stdin.buffer.read(body_bytes))
        pcm = sys.stdin.buffer.read(pcm_bytes)
        if hear is None:
            hear = open_ears(request)
            answer = dict[str, Any]()
            _confine()
        else:
            answer = hear(request, pcm)
        text = json.dumps(answer).encode()
        answers.write(ANSWER.pack(len(text)) + text)
        answers.flush()


def _confine() -> None:
    """Forbid this process new files, sockets and processes, and limit its memory."""
    for kind, limit in (
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, MEMORY_BYTES),
    ):
        resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    work(lambda setup: WhisperModelRunner(setup).hear)
