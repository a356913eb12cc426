"""When a text that was heard is asked back before anything is done, whichever way it came. It asks nothing itself."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from microclaw.offline.opposites import has_opposite
from microclaw.voice.engines.engine import Transcript

ASK_BACK_BELOW: Final = 0.5
"""A transcript of less confidence is asked back."""
MAX_RECENT: Final = 64
RECENT_S: Final = 120.0
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def must_ask_back(transcript: Transcript) -> bool:
    """Return True if a person must confirm the words before anything is done."""
    if transcript.confidence < ASK_BACK_BELOW:
        return True
    return has_opposite(transcript.text, transcript.unclear)


def did_you_say(text: str) -> str:
    return f"Did you say: {text}?"


class Recent(Generic[K, V]):
    """The last MAX_RECENT values by their keys, for RECENT_S."""

    def __init__(self) -> None:
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def put(self, key: K, value: V) -> None:
        self._values[key] = (time.monotonic(), value)
        self._values.move_to_end(key)
        if len(self._values) > MAX_RECENT:
            self._values.popitem(last=False)

    def get(self, key: K, default: V) -> V:
        since_s, value = self._values.get(key, (0.0, default))
        is_over = time.monotonic() - since_s > RECENT_S
        return default if is_over else value

    def pop(self, key: K, default: V) -> V:
        value = self.get(key, default)
        self._values.pop(key, None)
        return value
