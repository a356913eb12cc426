"""A device in words for a model: its LED, pins, sensors, programs, wiring. Asks no device."""

from __future__ import annotations

from collections.abc import Sequence

from microclaw.boards.profile import BoardProfile
from microclaw.models.protocol import KnownDevice

NO_DEVICE = "There is no device yet: a person adds one with `microclaw up --virtual 1` or `microclaw device add`."


def device_text(device: KnownDevice, *, meant: bool, labels: Sequence[str] = (), wiring: str = "") -> str:
    """Everything that a model needs to know of one device. `wiring` is what a person wrote down of it."""
    board = device.board
    lines = [f"Device {device.name}{' (meant when none is named)' if meant else ''}: {board.title}, chip {board.chip}."]
    lines.append(f"- {_led_line(board)}")
    if board.i2c is not None:
        sensors = ", ".join(f"{name} at 0x{address:02x}" for name, address in board.i2c.sensors.items()) or "none known"
        lines.append(f"- I2C: SDA {board.i2c.sda}, SCL {board.i2c.scl}; sensors: {sensors}.")
    lines += [f"- {line}" for line in _pin_lines(board)]
    if device.apps:
        apps = ", ".join(f"{a.name} (pins {', '.join(map(str, a.pins)) or 'none'})" for a in device.apps)
        lines.append(f"- Programs put there by this host: {apps}.")
    else:
        lines.append("- No program of this host runs there.")
    if labels:
        lines.append(f"- Labels: {', '.join(labels)}.")
    if wiring:
        lines.append("- Wiring, as written down:")
        lines += [f"  {line.strip()}" for line in wiring.splitlines() if line.strip() and not line.startswith("# ")]
    lines.append(f"- Power cut: {board.power_cut}")
    if board.firmware.no_stock_build:
        lines.append(f"- Programs: {board.firmware.no_stock_build}. Without such a build only acting at once works.")
    return "\n".join(lines) + "\n"


def ranges(numbers: Sequence[int]) -> str:
    """[1, 2, 3, 7] -> "1-3, 7"."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{a}-{b}" if a != b else str(a) for a, b in spans)


def _led_line(board: BoardProfile) -> str:
    free = ranges(board.free_pins("output"))
    if board.led is None:
        why = board.no_led or "the profile knows none"
        return f"No LED that a program can switch: {why}. Ask which pin one is on; free: {free}."
    if board.led.kind == "addressable":
        return (
            f"LED on pin {board.led.pin}: an addressable LED (WS2812), not lit by a level, and no function of the "
            f"firmware can time it: say so, and ask which pin an ordinary LED is on; free: {free}."
        )
    low = "" if board.led.active_level else ", lit by low: write 0 to turn it on, 1 to turn it off"
    return f"LED on pin {board.led.pin}: a plain LED{low}."


def _pin_lines(board: BoardProfile) -> list[str]:
    usable = [p.number for p in board.pins.values() if p.reserved is None]
    adc = [p.number for p in board.pins.values() if "adc" in p.uses and p.reserved is None]
    lines = [f"Pins for use: {ranges(usable)}; ADC: {ranges(adc) or 'none'}."]
    reasons: dict[str, list[int]] = {}
    for pin in board.pins.values():
        if pin.reserved is not None:
            reasons.setdefault(pin.reserved, []).append(pin.number)
    if reasons:
        lines.append("Reserved: " + "; ".join(f"{ranges(pins)} ({why})" for why, pins in reasons.items()) + ".")
    cautions = [f"{p.number} ({p.caution})" for p in board.pins.values() if p.caution and p.reserved is None]
    if cautions:
        lines.append("With caution: " + "; ".join(cautions) + ".")
    return lines
