"""The description of the devices in a prompt: boards with their pins, programs, names and wiring. It asks no device."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from microclaw.agent.language.pin_names import wired_names
from microclaw.agent.models.protocol import DeviceContext, KnownApp, KnownDevice
from microclaw.events import ProgramKind
from microclaw.hardware.boards.profile import BoardProfile, Firmware
from microclaw.hardware.parts.named_parts import part_line
from microclaw.hardware.parts.wiring import soldered_parts

_LANGUAGE: Final[dict[ProgramKind, str]] = {"wasm": "C", "py": "MicroPython"}
# After this stands more than a prompt needs of a pin's reason.
_DETAIL: Final = re.compile(r" \(|[:;] ")
_MAX_WIRED_CHARS: Final = 900
_NO_DEVICE: Final = (
    "There is no device yet: a person adds one with `microclaw up --virtual 1` or `microclaw device add`."
)


def describe_devices(context: DeviceContext, wiring: Callable[[str], str]) -> str:
    """Return a description of each device, the meant one first; facts that boards of a kind share stand there once.

    `wiring` returns the notes on the device of a name.
    """
    if not context.devices:
        return _NO_DEVICE
    texts: list[str] = []
    if len(context.devices) > 1:
        names = ", ".join(device.name for device in context.devices)
        texts.append(f"There are {len(context.devices)}: {names}.")
    first_of_kind: dict[str, str] = {}
    for device in sorted(context.devices, key=lambda device: device is not context.meant):
        facts = _kind_text(device)
        first_name = first_of_kind.setdefault(facts, device.name)
        note = " (meant when none is named)" if device is context.meant else ""
        head = f"Device {device.name}{note}: "
        if first_name == device.name:
            texts.append(head + facts)
        else:
            texts.append(f"{head}a board like {first_name}, pins and all.")
        texts.append(_own_text(device, context, wiring(device.name)))
    return "\n".join(texts)


def _kind_text(device: KnownDevice) -> str:
    """Return everything that a model needs to know about a board and that others of its kind have too."""
    board = device.board
    lines = [f"{board.title}, chip {board.chip}.", f"- {_led_line(board, device.kinds)}"]
    if board.i2c is not None:
        sensors = ", ".join(f"{name} at 0x{address:02x}" for name, address in board.i2c.sensors.items())
        lines.append(f"- I2C: SDA {board.i2c.sda}, SCL {board.i2c.scl}; sensors: {sensors or 'none known'}.")
    for line in _pin_lines(board):
        lines.append(f"- {line}")
    lines.append(f"- Power cut: {board.power_cut}")
    if board.firmware.described:
        lines.append(f"- {_firmware_line(board.firmware)}")
    if board.firmware.no_stock_build:
        lines.append(f"- Programs: {board.firmware.no_stock_build}. Without such a build only acting at once works.")
    return "\n".join(lines)


def _own_text(device: KnownDevice, context: DeviceContext, wiring: str) -> str:
    """Return the facts that a device does not share with others of its kind."""
    languages = " or ".join(_LANGUAGE[kind] for kind in device.kinds)
    programs = f"{len(device.apps) or 'none'} of {device.board.firmware.max_apps}"
    if device.apps:
        programs += f": {', '.join(map(_app_text, device.apps))}"
    lines = [f"- Programs ({languages}) put there by this host, {programs}."]
    lines += _wired_lines(device)
    pins: dict[str, int] = {}
    wired_texts = {named_pin.name for named_pin in wired_names(device.record, device.name)}
    for named_pin in context.names:
        is_of_device = named_pin.device in (None, device.name.lower())
        if is_of_device and named_pin.name not in wired_texts:
            pins[named_pin.name] = named_pin.pin
    if pins:
        names = ", ".join(f"{name} = pin {pin}" for name, pin in pins.items())
        lines.append(f"- Names that the person gave: {names}.")
    if device.labels:
        lines.append(f"- Labels: {', '.join(device.labels)}.")
    if wiring.strip():
        lines.append("- Notes on it, as written down:")
    for line in wiring.splitlines():
        if line.strip() and not line.startswith("# "):
            lines.append(f"  {line.strip()}")
    return "\n".join(lines) + "\n"


def _wired_lines(device: KnownDevice) -> list[str]:
    """Return the recorded parts in one line, up to _MAX_WIRED_CHARS; what is soldered on stands with the board."""
    soldered = soldered_parts(device.board).parts
    texts: list[str] = []
    size = 0
    hidden_count = 0
    for part in device.wiring.parts:
        if part in soldered:
            continue
        text = part_line(part)
        size += len(text)
        if size > _MAX_WIRED_CHARS:
            hidden_count += 1
        else:
            texts.append(text)
    if not texts:
        return []
    if hidden_count:
        texts.append(f"and {hidden_count} more (look: device.wiring)")
    return [f"- Wired to it: {'; '.join(texts)}."]


def _app_text(app: KnownApp) -> str:
    pins = ", ".join(map(str, (*app.pins, *app.uses))) or "none"
    if not app.reads:
        return f"{app.name} (pins {pins})"
    return f"{app.name} (pins {pins}; reads {', '.join(map(str, app.reads))})"


def _firmware_line(firmware: Firmware) -> str:
    """Return the parts of a described firmware that a program must keep to."""
    nodes = ", ".join(f"/dev/{node}" for node in sorted(firmware.device_nodes)) or "none"
    parts = [f"device files: {nodes}", f"functions of {', '.join(sorted(firmware.native_groups))}"]
    if firmware.natives_lacking:
        parts.append(f"without {', '.join(sorted(firmware.natives_lacking))}")
    if not firmware.has_files:
        parts.append("no files")
    return f"Its firmware is not the stock build and has only this: {'; '.join(parts)}."


def _led_line(board: BoardProfile, kinds: Sequence[ProgramKind]) -> str:
    free_pins = _ranges(board.usable_pins("output"))
    led = board.led
    if led is None:
        reason = board.no_led or "the profile knows none"
        return f"No LED that a program can switch: {reason}. Ask which pin one is on; free: {free_pins}."
    if led.kind == "addressable" and "py" in kinds:
        return (
            f"LED on pin {led.pin}: an addressable LED, not lit by a level, so gpio-set does nothing "
            f"there. A Python program lights it: from microclaw import neopixel, then neopixel({led.pin})"
            f'.fill("red"), .fill((0, 40, 0)), .off(); expect it as: led {led.pin}: red within 100 ms.'
        )
    if led.kind == "addressable":
        return (
            f"LED on pin {led.pin}: an addressable LED, not lit by a level, and no function of the "
            f"firmware can time it: say so, and ask which pin an ordinary LED is on; free: {free_pins}."
        )
    low_note = "" if led.active_level else ", lit by low: write 0 to turn it on, 1 to turn it off"
    return f"LED on pin {led.pin}: a plain LED{low_note}."


def _pin_lines(board: BoardProfile) -> list[str]:
    usable_pins: list[int] = []
    adc_pins: list[int] = []
    reserved = defaultdict[str, list[int]](list)
    cautions = defaultdict[str, list[int]](list)
    for pin in board.pins.values():
        if pin.reserved is not None:
            reserved[_short_reason(pin.reserved)].append(pin.number)
            continue
        usable_pins.append(pin.number)
        if "adc" in pin.uses:
            adc_pins.append(pin.number)
        if pin.caution is not None:
            cautions[_short_reason(pin.caution)].append(pin.number)
    lines = [f"Pins for use: {_ranges(usable_pins)}; ADC: {_ranges(adc_pins) or 'none'}."]
    if reserved:
        lines.append(f"Reserved, never use them: {_by_reason(reserved)}.")
    if cautions:
        lines.append(f"With caution: {_by_reason(cautions)}.")
    return lines


def _short_reason(reason: str) -> str:
    """Return the beginning of a reason; the tool free-pins has all of it."""
    return _DETAIL.split(reason)[0]


def _by_reason(pins: Mapping[str, Collection[int]]) -> str:
    """Return "19-20 (the USB port); 26-32 (your flash)": pins with the same reason stand together."""
    return "; ".join(f"{_ranges(numbers)} ({reason})" for reason, numbers in pins.items())


def _ranges(numbers: Collection[int]) -> str:
    """Format numbers as ranges: [1, 2, 3, 7] becomes "1-3, 7"."""
    ranges: list[str] = []
    for start in sorted(numbers):
        if start - 1 in numbers:
            continue
        end = start
        while end + 1 in numbers:
            end += 1
        if start == end:
            ranges.append(str(start))
        else:
            ranges.append(f"{start}-{end}")
    return ", ".join(ranges)
