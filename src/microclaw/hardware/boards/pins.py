"""Refuses pins that may not be used, by the board's profile. Facts live in boards/, the refusal here."""

from __future__ import annotations

from collections.abc import Collection, Set

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


def boot_pin(board: BoardProfile) -> int | None:
    """Return the pin of the board's own button, or None if it has none."""
    for number, pin in board.pins.items():
        if "BOOT button" in (pin.caution or ""):
            return number
    return None


def offer_boards(
    board: BoardProfile, uses: Collection[tuple[int, PinUse]], names: Set[str] = frozenset()
) -> str | None:
    """Return the words that offer boards on which all pins of a program may be used so; None if no other is better.

    `names` are the names of Arduino's packages (A1, LED_BUILTIN) that the program has: another board has its own GPIOs
    for them. Of each chip, one board is offered.
    """
    if _fits_all(board, board, uses, names):
        return None
    offers: dict[str, str] = {}
    for board_id in board_ids():
        other = load_board(board_id)
        if _fits_all(other, board, uses, names):
            offers.setdefault(other.chip, f"the {other.chip} (--board {board_id})")
    if not offers:
        return None
    return f"all pins of this program fit {' and '.join(offers.values())}"


def _fits_all(other: BoardProfile, board: BoardProfile, uses: Collection[tuple[int, PinUse]], names: Set[str]) -> bool:
    """Return True if the other board has all names, and takes all pins, of a program that was read for `board`."""
    if not names <= other.named_pins.keys():
        return False
    elsewhere = {}
    for name in names & board.named_pins.keys():
        elsewhere[board.named_pins[name]] = other.named_pins[name]
    return all(refusal(other, elsewhere.get(pin, pin), use) is None for pin, use in uses)


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
