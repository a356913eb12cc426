"""Decides which spoken words a person must confirm before anything is done, on every transport."""

from __future__ import annotations

import time
from typing import Final

from microclaw.agent.offline.opposites import has_opposite
from microclaw.bounded_map import BoundedMap
from microclaw.interfaces.voice.engines.engine import Transcript

ASK_BACK_BELOW: Final = 0.5
"""A transcript with a lower confidence is asked back."""
MAX_RECENT: Final = 64
RECENT_S: Final = 120.0


def must_ask_back(transcript: Transcript) -> bool:
    """Return True if a person must confirm the words before anything is done."""
    return transcript.confidence < ASK_BACK_BELOW or has_opposite(transcript.text, transcript.unclear)


def did_you_say(text: str) -> str:
    return f"Did you say: {text}?"


class RecentTranscripts:
    """The last MAX_RECENT transcripts by their keys. Each can be taken once, within RECENT_S."""

    def __init__(self) -> None:
        self._transcripts: BoundedMap[str, tuple[float, Transcript]] = BoundedMap(MAX_RECENT)

    def put(self, key: str, transcript: Transcript) -> None:
        self._transcripts[key] = (time.monotonic(), transcript)

    def take(self, key: str) -> Transcript | None:
        entry = self._transcripts.pop(key, None)
        if entry is None:
            return None
        put_s, transcript = entry
        if time.monotonic() - put_s > RECENT_S:
            return None
        return transcript
