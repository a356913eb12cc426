"""What is never done, whatever else a sentence says: it destroys the board, harms people, or takes off a protection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence


class Dangers:
    """The phrases of one language, by the reason not to."""

    def __init__(self, phrases: Mapping[str, Sequence[str]]) -> None:
        self._reasons = {
            reason: re.compile(rf"(?<![\w'-])(?:{'|'.join(found)})(?![\w'-])") for reason, found in phrases.items()
        }

    def reason(self, said: str) -> str | None:
        """Why it is never done; None for all other sentences."""
        return next((reason for reason, found in self._reasons.items() if found.search(said)), None)
