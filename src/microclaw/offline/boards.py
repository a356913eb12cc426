"""The board of a sentence, by name ("on desk"), number ("board 1") or label ("in the kitchen"); its pins and sensors.

A board that no device is called like is told, and nothing is done. Of several boards, or of pins and LEDs that the
board's profile has not, it asks instead of guessing.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from microclaw.boards.profile import BoardProfile
from microclaw.language.quantities import ONES
from microclaw.models.protocol import DeviceContext, KnownDevice
from microclaw.offline.decision import CannotDo, Context, Quantity, Say, Slot, ask, numbered
from microclaw.offline.sentences import english

_ADD_DEVICE = "start a virtual one: microclaw up --virtual 1, or add yours: microclaw device add"
NO_DEVICE = Say("There is no device yet.", "ambiguous", _ADD_DEVICE)
_OF_ALL: Final = frozenset({"all_pins", "list_apps", "list_devices"})
_MAX_SHOWN: Final = 8

_BOARD: Final = r"(?:boards?|devices?|rooms?)"
_EVERY: Final = re.compile(
    rf"(?i)\s*\b(?:(?:on|from|off|for|at|in|to|of) )?(?:all|every|each)(?: one)?(?: of)?(?: the| my| our)? {_BOARD}\b"
    r"|\s*\beverywhere\b"
    r"|\s*(?<!turn )(?<!switch )(?<!put )\b(?:on|from|off) (?:all|each)(?: of them)?(?=\s*[.!]?\s*$)"
)
_AND: Final = r"(?:\s*,\s*(?:and\s+)?|\s+(?:and|or|&|plus)\s+)(?:also )?"
_AT: Final = r"(?:on|at|of|from|in|for) "
_BEFORE: Final = rf"(?:(?:the|my|our|both|all|{_BOARD}) )*"
_RESTART: Final = re.compile(
    r"(?i)\W*(?:please )?(?:restart|reboot|reset) (?:the |my )?(?P<kind>device |board )?(?P<name>[\w-]+)"
    r"(?:,? please)?\W*"
)
_ANSWERED: Final = re.compile(r"(?i)^(?:(?:on|at|the|device|board|it's|it is|i mean|use)\s+)+")
_ENDS_IN_NUMBER: Final = re.compile(r"(?P<stem>.*[^\W\d])[-_]?(?P<number>\d{1,4})", re.S)
_NO_QUANTITY: Final = (
    r"(?![\w%/:-]|\.\d|\s*(?:times?|x|ms|s|sec|min|seconds?|minutes?|hours?|percent|degrees?|hz)\b|"
    r"\s*(?:and|or|&|,)\s*#?\d)"
)
_AT_NAME: Final = re.compile(
    r"(?i)\s*\b(?:on|at|of|from|in) (?:the |my |our )?(?:device |board )?"
    r"(?P<name>(?:board|device|esp32)[ -]?#?\d+|"
    r"(?!d\d|(?:high|low|all|both|off|now|celsius|fahrenheit|kelvin|psi|volts|percent)\b)[a-z][\w-]*)"
    r"(?=\s+(?:every|each|for|when|if)\b|[\s.?!]*$)"
)
_PAD = re.compile(r"(?i)(?<![\w.])(?:pins? )?d(\d{1,2})(?![\w.%])")


class PinTarget(Struct, frozen=True):
    """The pin that a sentence means; `active_level` turns on what is connected to it. `is_led`: the board's own LED."""

    pin: int
    active_level: int = 1
    is_led: bool = False

    @property
    def words(self) -> str:
        if self.is_led:
            return "the LED"
        return f"pin {self.pin}"


def with_written_names(said: str, known: DeviceContext) -> str:
    """The sentence with "on board 1" or "on board one" as "on board-1" where a device has that name."""
    for device in known.devices:
        name = _ENDS_IN_NUMBER.fullmatch(device.name)
        if name is not None:
            number = int(name["number"])
            spoken = "|".join((rf"0*{number}", *(word for word, value in ONES.items() if value == number)))
            lead = r"(^\W*|\b(?:on|at|of|from|for|in|to|is|and|than|restart|reboot|reset|,) (?:the |my |our )?)"
            words = rf"{re.escape(name['stem'])}[\s_-]*(?:#|number |no\.? ?)?(?:{spoken}){_NO_QUANTITY}"
            said = re.sub(rf"(?i){lead}{words}", lambda match, name=device.name: match[1] + name, said)  # type: ignore[misc]
    return said


def chosen_board(said: str, known: DeviceContext) -> tuple[str, KnownDevice] | Say | None:
    """The sentence without its board, and the board that it names; None if it names none, a question if several."""
    boards = tuple(one for one in known.devices if one.board.pins)
    every = _EVERY.search(said)
    if every is not None:
        # "All" may mean all pins, or a question be about all boards anyway.
        parse = english().parse(said)
        if parse and parse.kind in _OF_ALL:
            return None
        return _the_one(_without(said, every), boards)
    own = {device.name.lower(): device for device in known.devices}
    restart = _RESTART.fullmatch(said)
    if restart is not None and (name := restart["name"].lower()) in own:
        if not restart["kind"] and any(app.name.lower() == name for one in known.devices for app in one.apps):
            text = f"{name} is a device, and a program is called so, too. Which do you mean? Nothing was done."
            return Say(text, "ambiguous", f"restart the program {name}; or: restart the board {name}")
        return "restart the board", own[name]
    called = _called(known)
    names = "|".join(re.escape(name) for name in sorted(called, key=len, reverse=True)) or "(?!)"
    one = rf"{_BEFORE}(?:{names})(?![\w-])(?: {_BOARD})?"
    phrase = rf"(?:^\W*|\s+)(?<!turn )(?<!switch ){_AT}{one}(?:{_AND}(?:{_AT})?{one})*(?=[\s.!?,:]|$)[,:]?"
    found = list(re.finditer(rf"(?i){phrase}|^\W*(?:{names})[,:]\s", said))
    if len(found) != 1:
        return None
    spoken = re.findall(rf"(?i)(?<![\w-])(?:{names})(?![\w-])", found[0][0])
    meant = {name for one in spoken for name in called[one.lower()]}
    chosen = tuple(device for device in known.devices if device.name in meant)
    return _the_one(_without(said, found[0]), chosen)


def answered_device(said: str, known: DeviceContext) -> KnownDevice | None:
    """The device that an answer like "on virtual-1" or "virtual-1" names and nothing else."""
    found = chosen_board(f"it on {_ANSWERED.sub('', with_written_names(said, known)).strip()}", known)
    if isinstance(found, tuple) and found[0].strip(" .?!,") == "it":
        return found[1]
    return None


def unknown_device(said: str, known: DeviceContext) -> Say | None:
    """The answer to "turn on pin 2 on kitchen" where no device is called so: understood without its end."""
    found = _AT_NAME.search(said)
    if found is None or not known.devices or english().parse(_without(said, found)) is None:
        return None
    names = [device.name for device in known.devices]
    text = f"There is no device {found['name']}, so I did nothing. There is: {', '.join(names[:_MAX_SHOWN])}."
    return Say(text, "unknown_name", f"end the sentence with: on {names[0]}")


def _the_one(rest: str, boards: tuple[KnownDevice, ...]) -> tuple[str, KnownDevice] | Say:
    """The rest of the sentence with the board; a question where several are meant, or none is there."""
    if len(boards) == 1:
        return rest, boards[0]
    if not boards:
        return NO_DEVICE
    rest = rest.strip(" ,:.")
    each = tuple(f"{rest} on {board.name}" for board in boards[:_MAX_SHOWN])
    text = f"I do that on one board at a time. Did you mean: {numbered(each)}?"
    return Say(text, "ambiguous", "its number", suggested=each)


def _called(known: DeviceContext) -> dict[str, set[str]]:
    """The devices by all that they are called: their names, and the labels of boards, room=kitchen as kitchen."""
    called: dict[str, set[str]] = {}
    for device in known.devices:
        called.setdefault(device.name.lower(), set()).add(device.name)
        for label in device.labels if device.board.pins else ():
            place = label.lower().removeprefix("room=")
            for spelling in (place, re.sub(r"[-_]", " ", place), f"{place} room"):
                called.setdefault(spelling, set()).add(device.name)
    return called


def _without(said: str, found: re.Match[str]) -> str:
    return re.sub(r"\s+([.!?,])", r"\1", f"{said[: found.start()]} {said[found.end() :]}").strip()


def pads_to_pins(said: str, board: BoardProfile | None) -> str:
    """ "D5" as "pin 5", or as the GPIO of that pad on a board whose pads are numbered on their own."""
    if board:
        pads = board.arduino_pins
    else:
        pads = {}
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
    board = board_of(at)
    pin = at.parse.number(slot)
    led = board.led
    if slot == "pin" and at.parse.word("thing") == "led" and pin in (None, led.pin if led else None):
        if led is not None and (led.kind == "simple" or at.parse.kind == "remove_on_pin"):
            return PinTarget(led.pin, led.active_level, is_led=True)
        if led is not None and addressable_led(at) is not None:
            text = f"The LED of {board.title} (pin {led.pin}) is addressable. On, off, a color, blink or rainbow?"
            raise ask(text, "as in: make the LED red")
        if led is None:
            why = board.no_led or "its profile knows none"
        else:
            why = "its firmware cannot drive the WS2812"
        text = f"{board.title} has no LED that a program can switch: {why}. Which pin is yours on?"
        step = f"wire one and name it, as in: blink the LED on pin {board.free_pins('output')[0]}"
        raise ask(text, step, "pin")
    if pin is None:
        question = "Which pin is the button on?" if slot == "button_pin" else "Which pin?"
        raise ask(question, "name it, as in: pin 4", slot)
    if pin not in board.pins:
        raise ask(f"The {board.chip} has no pin {pin}. Which pin do you mean?", "which pins are free", slot)
    return PinTarget(pin)


def sensor_of(at: Context) -> tuple[str, Quantity, int]:
    """The quantity that a sentence means, and the I2C address of its sensor on this board."""
    board = board_of(at)
    quantity = at.parse.word("quantity") or "temperature"
    if board.i2c:
        sensors = board.i2c.sensors
    else:
        sensors = {}
    wanted = english().quantities.get(quantity)
    if wanted is not None and wanted.sensor in sensors:
        return quantity, wanted, sensors[wanted.sensor]
    text = f"The profile of {board.title} has no sensor for {quantity}."
    if wanted is not None or at.parse.number("pin") is not None:
        raise ask(text, "scan the i2c bus" if wanted else "read its voltage on an analog pin: read adc 4")
    raise ask(f"{text} Which pin is its analog output on?", "read its voltage: read adc 4", "pin")


def addressable_led(at: Context) -> int | None:
    """The pin of the board's addressable LED, where the sentence means that and the board takes programs for it."""
    device = at.device
    pin = at.parse.number("pin")
    thing = at.parse.word("thing") or "led"
    led = device.board.led if device is not None and "py" in device.kinds else None
    is_meant = led is not None and led.kind == "addressable" and pin in (None, led.pin) and thing == "led"
    return led.pin if led is not None and is_meant else None
