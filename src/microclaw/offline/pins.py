"""Finds the pin, LED, sensor or device that a sentence means, from the board's profile. It asks instead of guessing."""

from __future__ import annotations

import re

from msgspec import Struct

from microclaw.boards.profile import BoardProfile
from microclaw.offline.decision import CannotDo, Context, Say, Slot, ask


class Quantity(Struct, frozen=True):
    """Something a sensor measures: its sensor, the field of its reading, the unit as shown and as said, its range.

    `least` and `most` are in the shown unit: BME280 datasheet, table 1 to 4; INA219 datasheet, 8.6.3 with 0.1 ohm.
    """

    sensor: str
    field: str
    shown_unit: str
    said_unit: str
    decimals: int
    least: float
    most: float


_ADD_DEVICE = "start a virtual one: microclaw up --virtual 1, or add yours: microclaw device add"
NO_DEVICE = Say("There is no device yet.", "ambiguous", _ADD_DEVICE)
QUANTITIES = {
    "temperature": Quantity("bme280", "temperature_c", "°C", "degrees", 1, -40, 85),
    "humidity": Quantity("bme280", "humidity_pct", "%", "percent", 0, 0, 100),
    "pressure": Quantity("bme280", "pressure_hpa", "hPa", "hpa", 1, 300, 1100),
    "voltage": Quantity("ina219", "voltage_v", "V", "volts", 2, 0, 26),
    "current": Quantity("ina219", "current_ma", "mA", "amps", 1, -3200, 3200),
    "power": Quantity("ina219", "power_mw", "mW", "watts", 0, 0, 83_200),
}
_PAD = re.compile(r"(?i)(?<![\w.])(?:pins? )?d(\d{1,2})(?![\w.%])")


class PinTarget(Struct, frozen=True):
    """The pin that a sentence means; `active_level` turns on what is connected to it. `is_led`: the board's own LED."""

    pin: int
    active_level: int = 1
    is_led: bool = False

    @property
    def words(self) -> str:
        return "the LED" if self.is_led else f"pin {self.pin}"


def pads_to_pins(said: str, board: BoardProfile | None) -> str:
    """ "D5" as "pin 5", or as the GPIO of that pad on a board whose pads are numbered on their own."""
    pads = board.arduino_pins if board else {}
    if "D0" not in pads:
        return _PAD.sub(lambda m: f"pin {int(m[1])}", said)
    return _PAD.sub(lambda m: f"pin {pads[f'D{int(m[1])}']}" if f"D{int(m[1])}" in pads else m[0], said)


def board_of(at: Context) -> BoardProfile:
    """The board a sentence is about; asks which when several could be meant."""
    known = at.device_context.devices
    meant = [at.device] if at.device is not None else [one for one in known if one.board.pins] or known
    if not meant:
        raise CannotDo(NO_DEVICE)
    name = meant[0].name
    if len(meant) > 1:
        names = ", ".join(one.name for one in meant)
        raise ask(f"Which device? There are {len(meant)}: {names}.", f"say it, as in: on {name}", "device")
    if not meant[0].board.pins:
        raise ask(f"{name} has no pins of its own: name a board.", "see which there are: list devices", "device")
    return meant[0].board


def pin_target(at: Context, slot: Slot = "pin") -> PinTarget:
    """The pin a sentence names, or the board's LED when it says so; asks "which pin?" otherwise."""
    board, pin = board_of(at), at.parse.number(slot)
    is_led = pin is None or (board.led is not None and board.led.pin == pin)
    if is_led and slot == "pin" and at.parse.word("thing") == "led":
        return _led(at)
    if pin is None:
        question = "Which pin is the button on?" if slot == "button_pin" else "Which pin?"
        raise ask(question, "name it, as in: pin 4", slot)
    if pin not in board.pins:
        raise ask(f"The {board.chip} has no pin {pin}. Which pin do you mean?", "which pins are free", slot)
    return PinTarget(pin)


def sensor_of(at: Context) -> tuple[str, Quantity, int]:
    """The quantity that a sentence means, and the I2C address of its sensor on this board."""
    board, quantity = board_of(at), at.parse.word("quantity") or "temperature"
    sensors = board.i2c.sensors if board.i2c else {}
    wanted = QUANTITIES.get(quantity)
    if wanted is not None and wanted.sensor in sensors:
        return quantity, wanted, sensors[wanted.sensor]
    text = f"The profile of {board.title} has no sensor for {quantity}."
    if wanted is not None or at.parse.number("pin") is not None:
        raise ask(text, "scan the i2c bus" if wanted else "read its voltage on an analog pin: read adc 4")
    raise ask(f"{text} Which pin is its analog output on?", "read its voltage: read adc 4", "pin")


def addressable_led(at: Context) -> int | None:
    """The pin of the board's addressable LED, where the sentence means that and the board takes programs for it."""
    device, pin, thing = at.device, at.parse.number("pin"), at.parse.word("thing") or "led"
    led = device.board.led if device is not None and "py" in device.kinds else None
    is_meant = led is not None and led.kind == "addressable" and pin in (None, led.pin) and thing == "led"
    return led.pin if led is not None and is_meant else None


def _led(at: Context) -> PinTarget:
    board = board_of(at)
    led = board.led
    if led is not None and (led.kind == "simple" or at.parse.kind == "remove_on_pin"):
        return PinTarget(led.pin, led.active_level, is_led=True)
    if led is not None and addressable_led(at) is not None:
        text = f"The LED of {board.title} (pin {led.pin}) is addressable. On, off, a color, blink or rainbow?"
        raise ask(text, "as in: make the LED red")
    why = board.no_led or "its profile knows none" if led is None else "its firmware cannot drive the WS2812"
    text = f"{board.title} has no LED that a program can switch: {why}. Which pin is yours on?"
    raise ask(text, f"wire one and name it, as in: blink the LED on pin {board.free_pins('output')[0]}", "pin")
