"""A process that recognises speech with Whisper: `python -m microclaw.voice.engines.whisper_worker`.

Whisper was made for pieces of 30 s; hearing the 10 s that a command needs takes a fifth of the time
(docs/decisions/0042).
"""

from __future__ import annotations

import math
import zlib
from typing import Any, Final

from microclaw.voice.engines.engine_worker import work

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


if __name__ == "__main__":
    work(lambda setup: WhisperEars(setup).hear, MEMORY_BYTES)
