"""Which streams of a device need a wake word. It listens to none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from microclaw.voice.trace import VoiceTrace

VAD: Final = "vad"
"""The trigger of a stream that the device opened by itself because somebody spoke, to it or to another person."""
FOLLOW_UP_S: Final = 8.0
"""So long after the host's last word an answer needs no wake word: time to think, and not the next conversation."""
MAX_FOLLOW_UPS: Final = 5
"""In a row: a television that talks into an answer does not talk with the host for ever."""
FAULT_TOLD_S: Final = 600.0
"""How often a device says that its wake words fail: it hears somebody speak all day."""
NO_WAKE: Final = "I cannot listen for my name right now. The log of the host says why."


class WakeRule:
    """One device's. `is_on`: there are wake words."""

    def __init__(self, is_on: bool, now_s: Callable[[], float]) -> None:
        self._is_on = is_on
        self._now_s = now_s
        self._follow_up_until_s = 0.0
        self._follow_ups = 0  # since somebody called the host
        self._fault_told_s: float | None = None

    def opened(self, trace: VoiceTrace) -> None:
        """A stream begins: whether it needs a wake word."""
        if not self._is_on or trace.trigger != VAD:
            self._follow_ups = 0
        elif self._now_s() < self._follow_up_until_s and self._follow_ups < MAX_FOLLOW_UPS:
            trace.is_follow_up = True
        else:
            trace.must_wake = True

    def woken(self, trace: VoiceTrace) -> None:
        self._follow_ups, trace.is_follow_up = 0, False

    def understood(self, trace: VoiceTrace) -> None:
        self._follow_ups += trace.is_follow_up

    def spoke(self) -> None:
        """The host has said something, or was called: what is said now may be meant for it."""
        self._follow_up_until_s = self._now_s() + FOLLOW_UP_S

    def may_tell_fault(self) -> bool:
        """Whether the person is told now that wake words fail."""
        now_s, before_s = self._now_s(), self._fault_told_s
        if before_s is not None and now_s - before_s < FAULT_TOLD_S:
            return False
        self._fault_told_s = now_s
        return True
