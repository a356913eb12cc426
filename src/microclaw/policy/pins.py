"""Which pin may be used for what, by the board's profile. Facts live in boards/, the refusal here."""

from __future__ import annotations

from microclaw.boards.profile import BoardProfile, PinUse
from microclaw.errors import PinRefused

_NEIGHBOURS = 4

_NEEDS: dict[PinUse, str] = {
    "input": "be read",
    "output": "be switched",
    "pwm": "carry PWM",
    "adc": "measure a voltage",
    "i2c": "carry I2C",
}


def check_pin(board: BoardProfile, pin: int, use: PinUse) -> None:
    """Raise PinRefused, with the reason and the nearest free pins, when this board must not use the pin so."""
    known = board.pins.get(pin)
    if known is None:
        reason = f"the {board.chip} has no GPIO {pin}"
    elif known.reserved is not None:
        reason = f"{board.title} reserves it: {known.reserved}"
    elif use not in known.uses:
        offers = ", ".join(sorted(known.uses)) or "nothing"
        reason = f"on {board.title} it offers {offers}"
    else:
        return
    near = nearest_free_pins(board, pin, use)
    hint = f"pins near it that can {_NEEDS[use]}: {', '.join(map(str, near))}" if near else None
    raise PinRefused(f"pin {pin} cannot {_NEEDS[use]}: {reason}", next_step=hint)


def pin_caution(board: BoardProfile, pin: int) -> str | None:
    """Why to think twice before using this pin, or None."""
    known = board.pins.get(pin)
    return known.caution if known is not None and known.reserved is None else None


def nearest_free_pins(board: BoardProfile, pin: int, use: PinUse) -> tuple[int, ...]:
    """Up to four pins that offer the use without any caution, nearest number first."""
    free = [p.number for p in board.pins.values() if use in p.uses and p.reserved is None and p.caution is None]
    return tuple(sorted(free, key=lambda number: (abs(number - pin), number))[:_NEIGHBOURS])
