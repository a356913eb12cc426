"""What stands in the way of a wish: a thing that no board can do (impossible.toml), or a pin that none may use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

from microclaw.agent.language.quantities import normalize_quantities
from microclaw.agent.models.protocol import KnownDevice
from microclaw.agent.offline.decision import Say, capitalize
from microclaw.agent.offline.ready_programs import ReadyProgram, mention
from microclaw.agent.offline.sentences import any_of, read_templates
from microclaw.errors import PinRefused
from microclaw.hardware.boards.pins import check_pin

_PIN: Final = re.compile(r"\bpin (\d{1,3})\b")


class Reason(NamedTuple):
    """What stands in the way of a wish with these words; `asks`: a part of it is missing."""

    words: re.Pattern[str]
    text: str
    next_step: str
    asks: bool


def find_obstacle(text: str, device: KnownDevice | None, programs: Sequence[ReadyProgram]) -> Say | None:
    """Return the reason why the wish cannot be done as it is, with the nearest that can; None if none is known."""
    nearest = ""
    if programs:
        nearest = f" {mention(programs[:1])}"
    for reason in _reasons():
        if reason.words.search(text):
            if reason.asks:
                return Say(reason.text, "ambiguous", reason.next_step)
            return Say(f"{reason.text}{nearest}", "not_possible", programs[0].example if programs else reason.next_step)
    if device is None:
        return None
    for pin in sorted(pins_in(text)):
        profile = device.board.pins.get(pin)
        if profile is None or profile.reserved:
            try:
                check_pin(device.board, pin, "output")
            except PinRefused as exc:
                return Say(f"{capitalize(exc.message)}.{nearest}", "not_possible", exc.next_step)
    return None


def pins_in(text: str) -> frozenset[int]:
    """Return the pins that a sentence names."""
    return frozenset(int(digits) for digits in _PIN.findall(normalize_quantities(text)))


@cache
def _reasons() -> list[Reason]:
    reasons = []
    for row in read_templates(("words", "references", "impossible"))["reasons"].values():
        words = re.compile(any_of(row["words"]).pattern, re.IGNORECASE)
        reasons.append(Reason(words, row["text"], row["next_step"], row.get("asks", False)))
    return reasons
