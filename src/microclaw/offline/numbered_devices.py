"""Devices that a sentence calls by a number: "on board 1", "device #2", "the first board". It acts on nothing.

What is the name of a device, spoken, is put in its written form (board-1); any other number is no device, and is never
taken for a pin or left out.
"""

from __future__ import annotations

import re
from typing import Final

from microclaw.models.protocol import DeviceContext
from microclaw.offline.decision import Say

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
    rf"(?i)(?:{_LEAD}|{_AND})(?P<name>(?:boards?|devices?|esp(?:32)?(?:[- ][sc]\d)?){_JOINT}{_NUMBER}){_NO_QUANTITY}"
)
_COUNTED: Final = re.compile(
    r"(?i)\b(?:on|at|of|from|for|in|restart|reboot|reset) "
    r"(?P<name>the (?:first|1st|second|2nd|third|3rd|fourth|4th|last|other|next|same) (?:board|device|esp32))\b"
)
_ENDS_IN_NUMBER: Final = re.compile(r"(?P<stem>.*[^\W\d])[-_]?(?P<number>\d{1,4})", re.S)
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
    if not device_context.devices:
        return None
    called = {device.name.lower() for device in device_context.devices}
    names = [found["name"] for found in _NUMBERED.finditer(said) if found["name"].lower() not in called]
    counted = _COUNTED.search(said)
    known = ", ".join(device.name for device in device_context.devices[:_MAX_SHOWN])
    if names:
        called_so = names[0] if names[0].lower().startswith("device") else f"device {names[0]}"
        text = f"There is no {called_so}, so I did nothing. There is: {known}."
    elif counted is not None:
        text = f"I do not know which device is {counted['name']}, so I did nothing. There is: {known}."
    else:
        return None
    step = f"end the sentence with: on {device_context.devices[0].name}"
    return Say(text, "unknown_name", step)


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _WORDS.index(word.lower())
