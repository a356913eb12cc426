"""Names of devices in a sentence: a spoken one ("board 1") is written as it is (board-1), an unknown one is told.

A number that no device has ("board 3", "the first board") is never taken for a pin or left out. It acts on nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from microclaw.models.protocol import DeviceContext
from microclaw.offline.decision import Say
from microclaw.offline.parse import Parse

_WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_LEAD: Final = (
    r"(?P<lead>^\W*(?:please )?|(?<!turn )(?<!switch )(?<!power )\b(?:on|at|of|from|for|in|to|is|what can|"
    r"except(?: for)?|but(?: not)?|than|restart|reboot|reset|power cycle)\s+(?:the |my |our )?)"
)
_JOINT: Final = r"(?:[\s_-]*#?|\s+(?:number|no\.?|nr\.?)\s*)"
_NO_QUANTITY: Final = (
    r"(?![\w%/-]|[.:]\d|\s*(?:%|°|(?:times?|x|ms|m?secs?|s|seconds?|milliseconds?|mins?|minutes?|hours?|h|days?|weeks?|"
    r"percent|degrees?|k?hz|hertz|volts?|v|amps?|a\.?m|p\.?m)\b))"
)
_NUMBER: Final = rf"(?:\d{{1,4}}|{'|'.join(_WORDS)})"
_AND: Final = r"(?:\s*,\s*(?:and\s+)?|\s+(?:and|or|&|plus)\s+)"
_KINDS: Final = frozenset({"board", "device"})
_NUMBERED: Final = re.compile(
    r"(?i)\b(?:boards?|devices?|esp32(?:[- ][sc]\d)?)"
    rf"(?:[\s_-]+#?|\s*#|\s+(?:number|no\.?|nr\.?)\s*){_NUMBER}{_NO_QUANTITY}"
    r"|\bthe (?:first|1st|second|2nd|third|3rd|fourth|4th|last|other|next|same) (?:board|device|esp32)\b"
)
_ENDS_IN_NUMBER: Final = re.compile(r"(?P<stem>.*[^\W\d])[-_]?(?P<number>\d{1,4})", re.S)
_LISTED: Final = r"(?:the |my |our )?(?:device |board )?(?:called |named )?(?!d\d)[a-z][\w-]*"
_LIST: Final = rf"{_LISTED}(?:{_AND}(?:(?:on|at|of|from|in) )?{_LISTED})*"
_AT_NAMES: Final = re.compile(
    rf"(?i)\s*\b(?P<at>on|at|of|from|in) (?:both )?(?P<names>{_LIST})(?=\s+(?:every|each|for|when|if)\b|[\s.?!]*$)"
    rf"|^\W*(?:on|at|in) (?:both )?(?P<first>{_LIST}),?\s"
)
_NO_DEVICE: Final = frozenset(
    re.findall(
        r"\w+",
        "on off high low full max maximum min half now please it this that them me here there both all again pin pins "
        "gpio led board device button click press demand time startup boot start today tonight tomorrow monday tuesday "
        "wednesday thursday friday saturday sunday noon midnight night day sunset sunrise once repeat and or the a "
        "wait then blink toggle stop read set turn switch dim fade undo restart show tell remove",
    )
)
_MAX_SHOWN: Final = 8


def with_written_names(said: str, device_context: DeviceContext) -> str:
    """The sentence with "board 1 and 2" as "board-1 and board-2" where devices have that name; as it stands elsewhere.

    Of several numbers one that no device has stays a number: "board-1 and board 7".
    """
    stems: dict[str, dict[int, str]] = {}
    for device in device_context.devices:
        if (name := _ENDS_IN_NUMBER.fullmatch(device.name)) is not None:
            stems.setdefault(name["stem"].lower(), {})[int(name["number"])] = device.name
    for stem, names in stems.items():
        called = rf"{re.escape(stem)}{'s?' if stem in _KINDS else ''}{_JOINT}"
        pattern = rf"(?i){_LEAD}{called}(?P<numbers>{_NUMBER}(?:{_AND}(?:{called})?{_NUMBER})*){_NO_QUANTITY}"

        def written(match: re.Match[str], stem: str = stem, names: dict[int, str] = names) -> str:
            numbers = [_number(word) for word in re.findall(rf"(?i){_NUMBER}(?!\w)", match["numbers"])]
            if numbers[0] not in names:
                return match[0]
            return match["lead"] + " and ".join(names.get(number, f"{stem} {number}") for number in numbers)

        said = re.sub(pattern, written, said)
    return said


def no_such_number(said: str, device_context: DeviceContext) -> Say | None:
    """The answer to a sentence about "board 3" or "the first board", where no device is called so; else None."""
    called = {device.name.lower() for device in device_context.devices}
    found = next((one[0] for one in _NUMBERED.finditer(said) if one[0].lower() not in called), None)
    return _unknown([found], device_context) if found is not None and called else None


def unknown_device(
    said: str, parse: Parse | None, read: Callable[[str], Parse | None], device_context: DeviceContext
) -> Say | None:
    """The answer to "turn on pin 2 on kitchen" where no device is called so; only for what no template fits.

    What is understood by `read` without its end "on kitchen", or names a device there as well, speaks of a device.
    """
    if (parse is not None and not parse.loose and " " not in (parse.word("app") or "")) or not device_context.devices:
        return None
    called = {device.name.lower() for device in device_context.devices}
    others = {word for device in device_context.devices for label in device.labels for word in _label_words(label)}
    others |= {one.name.lower() for one in device_context.names} | _NO_DEVICE
    for found in _AT_NAMES.finditer(said):
        names = [one.split()[-1].lower() for one in re.split(rf"(?i){_AND}", found["names"] or found["first"])]
        unknown = [one for one in dict.fromkeys(names) if one not in called]
        is_room = found["at"] in ("in", "of") and parse is not None and parse.loose  # "how warm is it in the kitchen"
        if not unknown or is_room or not others.isdisjoint(unknown):
            continue
        rest = read(f"{said[: found.start()]} {said[found.end() :]}".strip())
        if len(unknown) < len(names) or (rest is not None and not rest.loose):
            return _unknown(unknown, device_context)
    return None


def _unknown(names: Sequence[str], device_context: DeviceContext) -> Say:
    known = [device.name for device in device_context.devices]
    text = f"There is no device {' and no device '.join(names)}, so I did nothing. There is: "
    step = f"end the sentence with: on {known[0]}"
    return Say(f"{text}{', '.join(known[:_MAX_SHOWN])}.", "unknown_name", step)


def _label_words(label: str) -> tuple[str, str]:
    """ "room=living-room" as it is said: "living-room", and by its first word."""
    value = label.lower().rpartition("=")[2]
    return value, re.split(r"[-_]", value)[0]


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _WORDS.index(word.lower())
