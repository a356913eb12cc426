"""The channel's times in seconds, and waiting longer each time something fails. Sends nothing."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """`pause_s`: the least time between two edits of a chat's message (Telegram takes about one a second; in a group 20
    a minute); `first_s`: a turn that ends sooner shows no progress; `poll_s`: how long Telegram holds a poll open.
    """

    poll_s: float = 50.0
    pause_s: float = 1.0
    group_pause_s: float = 3.0
    first_s: float = 0.7
    typing_s: float = 4.5  # Telegram shows "typing" for 5 s
    backoff_s: float = 1.0
    backoff_most_s: float = 60.0
    stranger_s: float = 60.0  # a stranger hears of pairing at most this often


class Backoff:
    """Waits twice as long each time, up to a limit, with jitter so that many do not come back together."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    async def wait(self, at_least_s: float = 0.0) -> None:
        pause_s = min(self._most_s, self._first_s * 2 ** min(self._failures, 16))
        self._failures += 1
        await asyncio.sleep(at_least_s + pause_s * random.uniform(0.5, 1.0))  # noqa: S311  jitter is no secret
