"""The board of a sentence, by name ("on desk"), number ("board 1") or label ("in the kitchen"); its pins and sensors.

If no device has the name of a board, the answer says so and nothing is done. If there are several boards, or if the
board's profile does not have the pin or LED, it asks instead of guessing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from microclaw.agent.language.quantities import ONES
from microclaw.agent.models.protocol import DeviceContext, KnownDevice
from microclaw.agent.offline.decision import CannotDo, Context, Say, Slot, ask, capitalize, number_sentences
from microclaw.agent.offline.recorded_parts import recorded_pins
from microclaw.agent.offline.sentences import english
from microclaw.agent.wishes.events import is_room
from microclaw.errors import PinRefused
from microclaw.hardware.boards.pins import boot_pin, check_pin
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.named_parts import switched_pins

_ADD_DEVICE = "start a virtual one: microclaw up --virtual 1, or add yours: microclaw device add"
NO_DEVICE = Say("There is no device yet.", "ambiguous", _ADD_DEVICE)
_OF_ALL: Final = frozenset({"all_pins", "all_off", "list_apps", "list_devices"})
_MAX_SHOWN: Final = 8
_PIN_QUESTIONS: Final[Mapping[Slot, str]] = {
    "button_pin": "Which pin is the button on?",
    "dial_pin": "Which pin is the potentiometer on?",
    "sensor_pin": "Which pin is the sensor on?",
}

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
    r"(?i)\s*\b(?P<joint>on|at|of|from|in) (?:the |my |our )?(?:device |board )?"
    r"(?P<name>(?:board|device|esp32)[ -]?#?\d+|"
    r"(?!d\d|(?:high|low|all|both|off|now|celsius|fahrenheit|kelvin|psi|volts|percent|present)\b)[a-z][\w-]*)"
    r"(?=\s+(?:every|each|for|when|if)\b|[\s.?!]*$)"
)
_READINGS: Final = frozenset({"read_sensor", "two_readings", "past_reading"})
# A level that is said as one, and not as what it does.
_LEVEL_WORD: Final = re.compile(r"(?i)\b(?:high|low)\b|(?:\bto|=) ?[01]\W*$|\bwrite [01]\b")
_BOOT_BUTTON: Final = re.compile(
    r"(?i)(?:\b(?:(?:the|my) )?boot button\b|\b(?:the|my) (?:board's (?:own )?|onboard |on-board |built-in )button\b"
    r"|\b(?P<verb>(?:press|push|hold|tap|hit|click)\w* )(?-i:BOOT\b)"
    r"|(?-i:\bBOOT\b)(?= (?:is |was )?(?:pressed|pushed|held|tapped|released)))(?! (?:is )?(?:on|at) )"
)
_PAD = re.compile(r"(?i)(?<![\w.])(?:pins? )?d(\d{1,2})(?![\w.%])")


class PinTarget(Struct, frozen=True):
    """The pin that a sentence means. `active_level` turns its load on. `is_led`: it is the board's own LED.

    `part` is what a person calls the part that is wired there and that low turns on; None if there is none.
    """

    pin: int
    active_level: int = 1
    is_led: bool = False
    part: str | None = None

    @property
    def words(self) -> str:
        if self.is_led:
            return "the LED"
        return f"pin {self.pin}"


def write_names(sentence: str, device_context: DeviceContext) -> str:
    """Return the sentence with "on board 1" or "on board one" as "on board-1" if a device has that name."""
    for device in device_context.devices:
        name = _ENDS_IN_NUMBER.fullmatch(device.name)
        if name is not None:
            pattern = _spoken_name(name["stem"], int(name["number"]))
            sentence = pattern.sub(lambda match, name=device.name: match[1] + name, sentence)  # type: ignore[misc]
    return sentence


def _spoken_name(stem: str, number: int) -> re.Pattern[str]:
    """Return the pattern of a name with its number as digits or in words, after a word that a board can follow."""
    spellings = [rf"0*{number}"]
    for word, value in ONES.items():
        if value == number:
            spellings.append(word)
    lead = r"(^\W*|\b(?:on|at|of|from|for|in|to|is|and|than|restart|reboot|reset|,) (?:the |my |our )?)"
    name = rf"{re.escape(stem)}[\s_-]*(?:#|number |no\.? ?)?(?:{'|'.join(spellings)})"
    return re.compile(rf"(?i){lead}{name}{_NO_QUANTITY}")


def choose_board(sentence: str, device_context: DeviceContext) -> tuple[str, KnownDevice] | Say | None:
    """Return the sentence without its board, and that board.

    Return None if it names no board, and a question if it names several.
    """
    every = _EVERY.search(sentence)
    if every is not None:
        # "All" may mean all pins, or a question be about all boards anyway.
        parse = english().parse(sentence)
        if parse and parse.kind in _OF_ALL:
            return None
        return _choose_one(_remove_match(sentence, every), with_pins(device_context.devices))
    restart = _chosen_restart(sentence, device_context)
    if restart is not None:
        return restart
    names = _board_names(device_context)
    # "desk" must not be found in "desk lamp".
    long_names_first = sorted(names, key=len, reverse=True)
    any_name = "|".join(map(re.escape, long_names_first)) or "(?!)"
    board = rf"{_BEFORE}(?:{any_name})(?![\w-])(?: {_BOARD})?"
    phrase = rf"(?:^\W*|\s+)(?<!turn )(?<!switch ){_AT}{board}(?:{_AND}(?:{_AT})?{board})*(?=[\s.!?,:]|$)[,:]?"
    matches = list(re.finditer(rf"(?i){phrase}|^\W*(?:{any_name})[,:]\s", sentence))
    if len(matches) != 1:
        # Two phrases with a board may be two acts, which no template reads.
        return None
    device_names = set[str]()
    for name in re.findall(rf"(?i)(?<![\w-])(?:{any_name})(?![\w-])", matches[0][0]):
        device_names |= names[name.lower()]
    devices = [device for device in device_context.devices if device.name in device_names]
    return _choose_one(_remove_match(sentence, matches[0]), devices)


def with_pins(devices: Sequence[KnownDevice]) -> list[KnownDevice]:
    """Return the devices whose board has pins: a speaker has none."""
    return [device for device in devices if device.board.pins]


def _chosen_restart(sentence: str, device_context: DeviceContext) -> tuple[str, KnownDevice] | Say | None:
    """Return "restart the board" with the board of "restart desk", or a question if a program is called so, too."""
    restart = _RESTART.fullmatch(sentence)
    if restart is None:
        return None
    name = restart["name"].lower()
    devices = {device.name.lower(): device for device in device_context.devices}
    if name not in devices:
        return None
    if not restart["kind"] and _is_program(name, device_context):
        text = f"{name} is a device, and a program is called so, too. Which do you mean? Nothing was done."
        sentences = (f"restart the program {name}", f"restart the board {name}")
        return Say(text, "ambiguous", "; or: ".join(sentences), suggested=sentences)
    return "restart the board", devices[name]


def _is_program(name: str, device_context: DeviceContext) -> bool:
    for device in device_context.devices:
        if any(app.name.lower() == name for app in device.apps):
            return True
    return False


def read_device(sentence: str, device_context: DeviceContext) -> KnownDevice | None:
    """Return the device of an answer that is only its name, as "on virtual-1" or "virtual-1"."""
    name = _ANSWERED.sub("", write_names(sentence, device_context)).strip()
    choice = choose_board(f"it on {name}", device_context)
    if isinstance(choice, tuple) and choice[0].strip(" .?!,") == "it":
        return choice[1]
    return None


def unknown_device(sentence: str, device_context: DeviceContext) -> Context | Say | None:
    """Return the answer to "turn on pin 2 on kitchen" if no device has this name.

    The sentence must be understood without its end; otherwise return None. "The lamp in the garden" may be a lamp of
    which only the pin is missing, so that is asked.
    """
    match = _AT_NAME.search(sentence)
    if match is None or not device_context.devices:
        return None
    parse = english().parse(_remove_match(sentence, match))
    if parse is None:
        return None
    is_lamp = parse.word("thing") == "load" and not parse.pins and parse.kind == "set_pin"
    is_light = parse.kind == "set_pin" and parse.word("thing") == "led"
    if match["joint"].lower() == "in" and is_light:
        # "The light in the kitchen" is hardly the board's LED: its pin is asked for.
        return None
    # "How warm is it in the greenhouse?": the answer names the board that measured it.
    is_place = match["joint"].lower() == "in" and parse.kind in _READINGS and is_room(match["name"])
    # "On my board" is the board that is meant anyway.
    is_meant = match["name"].lower() in ("board", "device")
    if is_lamp or is_place or is_meant:
        return Context(parse, sentence, device_context)
    names = [device.name for device in device_context.devices]
    text = f"There is no device {match['name']}, so I did nothing. There is: {', '.join(names[:_MAX_SHOWN])}."
    return Say(text, "unknown_name", f"end the sentence with: on {names[0]}")


def _choose_one(rest: str, boards: Sequence[KnownDevice]) -> tuple[str, KnownDevice] | Say:
    """Return the rest of the sentence with the board, or a question if there are several boards or none."""
    if len(boards) == 1:
        return rest, boards[0]
    if not boards:
        return NO_DEVICE
    rest = rest.strip(" ,:.")
    sentences = tuple(f"{rest} on {board.name}" for board in boards[:_MAX_SHOWN])
    text = f"I do that on one board at a time. Did you mean: {number_sentences(sentences)}?"
    return Say(text, "ambiguous", "its number", suggested=sentences)


def _board_names(device_context: DeviceContext) -> dict[str, set[str]]:
    """Return the devices by their names and by the labels of boards, with room=kitchen as kitchen."""
    names: dict[str, set[str]] = {}
    for device in device_context.devices:
        names.setdefault(device.name.lower(), set()).add(device.name)
        if not device.board.pins:
            continue
        for label in device.labels:
            place = label.lower().removeprefix("room=")
            for spelling in (place, re.sub(r"[-_]", " ", place), f"{place} room"):
                names.setdefault(spelling, set()).add(device.name)
    return names


def _remove_match(sentence: str, match: re.Match[str]) -> str:
    rest = f"{sentence[: match.start()]} {sentence[match.end() :]}"
    return re.sub(r"\s+([.!?,])", r"\1", rest).strip()


def pads_to_pins(sentence: str, board: BoardProfile | None) -> str:
    """Replace "D5" by "pin 5", or by the GPIO of that pad if the board numbers its pads differently."""
    pads = board.arduino_pins if board else {}
    has_own_numbers = "D0" in pads

    def replace_pad(match: re.Match[str]) -> str:
        number = int(match[1])
        if not has_own_numbers:
            return f"pin {number}"
        pin = pads.get(f"D{number}")
        if pin is None:
            return match[0]
        return f"pin {pin}"

    return _PAD.sub(replace_pad, sentence)


def boot_button_to_pin(sentence: str, board: BoardProfile | None) -> str:
    """Write "the boot button" with its pin, if the board has one."""
    pin = boot_pin(board) if board else None
    if pin is None:
        return sentence
    return _BOOT_BUTTON.sub(lambda match: f"{match['verb'] or ''}the button on pin {pin}", sentence)


def board_of(context: Context) -> BoardProfile:
    """Return the board that a sentence is about. Raises CannotDo, with a question, if there are several."""
    return device_of(context).board


def device_of(context: Context) -> KnownDevice:
    """Return the device with the board that a sentence is about. Raises CannotDo as `board_of`."""
    devices = list(context.device_context.devices)
    if context.device is not None:
        devices = [context.device]
    else:
        devices = with_pins(devices) or devices
    if not devices:
        raise CannotDo(NO_DEVICE)
    name = devices[0].name
    if len(devices) > 1:
        names = ", ".join(device.name for device in devices)
        raise ask(f"Which device? There are {len(devices)}: {names}.", f"say it, as in: on {name}", "device")
    if not devices[0].board.pins:
        raise ask(f"{name} has no pins of its own: name a board.", "see which there are: list devices", "device")
    return devices[0]


def pin_target(context: Context, slot: Slot = "pin") -> PinTarget:
    """Return the pin that a sentence names, or the board's LED. Raises CannotDo with "Which pin?" otherwise."""
    device = device_of(context)
    board = device.board
    pin = context.parse.number(slot)
    if slot == "pin" and context.parse.word("thing") == "led":
        led_pin = board.led.pin if board.led else None
        if pin in (None, led_pin):
            return _led_target(context, board)
    if pin is None:
        _check_other_pins(context, board)
        question = _PIN_QUESTIONS.get(slot, "Which pin?")
        places = [f"{part.id} is on pin {next(iter(part.pins.values()))}" for part in recorded_pins(context, slot)]
        if places:
            question = f"{question} {capitalize(', '.join(places))}."
        raise ask(question, "name it, as in: pin 4", slot)
    if pin not in board.pins:
        raise ask(f"The {board.chip} has no pin {pin}. Which pin do you mean?", "which pins are free", slot)
    # "Set pin 5 high" says the level, whatever is wired there.
    names_level = _LEVEL_WORD.search(context.sentence) is not None
    for switched in switched_pins(device.record):
        if switched.gpio == pin and not switched.active_level:
            return PinTarget(pin, int(names_level), part=switched.label or switched.part_id)
    return PinTarget(pin)


def _check_other_pins(context: Context, board: BoardProfile) -> None:
    """Raise CannotDo if the sentence names a pin that no program may use: then no other pin is asked for."""
    for pin in context.parse.pins:
        profile = board.pins.get(pin)
        if profile is None or profile.reserved:
            try:
                check_pin(board, pin, "output")
            except PinRefused as exc:
                raise ask(f"{capitalize(exc.message)}.", exc.next_step, code="not_possible") from exc


def _led_target(context: Context, board: BoardProfile) -> PinTarget:
    """Return the pin of the board's LED. Raises CannotDo if no program can switch it."""
    led = board.led
    if led is None:
        reason = board.no_led or "its profile knows none"
    elif led.kind == "simple" or context.parse.kind == "remove_on_pin":
        return PinTarget(led.pin, led.active_level, is_led=True)
    elif addressable_led(context) is not None:
        text = f"The LED of {board.title} (pin {led.pin}) is addressable. On, off, a color, blink or rainbow?"
        raise ask(text, "as in: make the LED red")
    else:
        reason = "its firmware cannot drive an addressable LED"
    text = f"{board.title} has no LED that a program can switch: {reason}. Which pin is yours on?"
    step = f"wire one and name it, as in: blink the LED on pin {board.usable_pins('output')[0]}"
    raise ask(text, step, "pin")


def addressable_led(context: Context) -> int | None:
    """Return the pin of the board's addressable LED, or None if the sentence or the firmware excludes it."""
    device = context.device
    pin = context.parse.number("pin")
    thing = context.parse.word("thing") or "led"
    if device is None or "py" not in device.kinds or thing != "led":
        return None
    led = device.board.led
    if led is None or led.kind != "addressable" or pin not in (None, led.pin):
        return None
    return led.pin
