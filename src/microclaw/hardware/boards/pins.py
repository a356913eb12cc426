"""Refuses pins that may not be used, by the board's profile. Facts live in boards/, the refusal here."""

from __future__ import annotations

from collections.abc import Collection

from microclaw.errors import PinRefused
from microclaw.hardware.boards.profile import BoardProfile, PinUse
from microclaw.hardware.boards.reader import board_ids, load_board

_NEIGHBOURS = 4

_NEEDS: dict[PinUse, str] = {
    "input": "be read",
    "output": "be switched",
    "pwm": "carry PWM",
    "adc": "measure a voltage",
    "i2c": "carry I2C",
    "touch": "feel a touch",
}
_DRIVEN: frozenset[PinUse] = frozenset({"output", "pwm", "i2c"})


def check_pin(board: BoardProfile, pin: int, use: PinUse) -> None:
    """Raise PinRefused, with the reason and the nearest free pins, if this board must not use the pin so."""
    reason = refusal(board, pin, use)
    if reason is None:
        return
    hint = None
    near = nearest_usable_pins(board, pin, use)
    if near:
        hint = f"pins near it that can {_NEEDS[use]}: {', '.join(map(str, near))}"
    raise PinRefused(f"pin {pin} cannot {_NEEDS[use]}: {reason}", next_step=hint)


def refusal(board: BoardProfile, pin: int, use: PinUse) -> str | None:
    """Return why this board must not use the pin so, or None if it may."""
    facts = board.pins.get(pin)
    if facts is None:
        return f"the {board.chip} has no GPIO {pin}"
    if facts.reserved is not None:
        return f"GPIO {pin} belongs to {facts.reserved} ({board.title})"
    if use in facts.uses:
        return None
    if use in facts.lacks:
        return facts.lacks[use]
    if not facts.uses:
        return f"GPIO {pin} is of no use on {board.title}: {facts.caution or 'it offers nothing'}"
    is_input_only = not facts.uses & _DRIVEN
    if is_input_only and use in _DRIVEN:
        drives = "drive anything" if use == "i2c" else "drive an LED"
        return f"GPIO {pin} is input-only on {board.title}: it cannot {drives}"
    return f"on {board.title} it offers {', '.join(sorted(facts.uses))}"


def board_for_pins(board: BoardProfile, uses: Collection[tuple[int, PinUse]]) -> BoardProfile | None:
    """Return a board with another chip on which all of these pins may be used so, or None if there is none."""
    for board_id in board_ids():
        other = load_board(board_id)
        if other.chip == board.chip or other.title == board.title:
            continue
        if all(refusal(other, pin, use) is None for pin, use in uses):
            return other
    return None


def cautions(board: BoardProfile, pin: int, *, is_driven: bool, is_pulled: bool) -> list[tuple[str, str]]:
    """Return the reasons to think twice about a pin that the board allows, each with advice."""
    facts = board.pins[pin]
    reasons: list[tuple[str, str]] = []
    if is_driven and facts.caution is not None:
        reasons.append((f"pin {pin}: {facts.caution}", "use another pin if you can"))
    if is_pulled and "pull" in facts.lacks:
        reasons.append((f"pin {pin}: {facts.lacks['pull']}", "wire a resistor of 10 kOhm, or use another pin"))
    return reasons


def nearest_usable_pins(board: BoardProfile, pin: int, use: PinUse) -> tuple[int, ...]:
    """Return up to four free pins that offer the use, the nearest number first."""
    nearest = sorted(board.usable_pins(use), key=lambda number: (abs(number - pin), number))
    return tuple(nearest[:_NEIGHBOURS])
