"""Names of devices in a sentence: a spoken one ("board 1") is written as it is (board-1), an unknown one is told.

A number that no device has ("board 3") is never taken for a pin or left out. It acts on nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
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
)
_ENDS_IN_NUMBER: Final = re.compile(r"(?P<stem>.*[^\W\d])[-_]?(?P<number>\d{1,4})", re.S)
_AT_NAME: Final = re.compile(
    r"(?i)\s*\b(?P<at>on|at|of|from|in) (?:the |my |our )?(?:device |board )?"
    r"(?P<name>(?!d\d|(?:high|low|all|both|off|now)\b)[a-z][\w-]*)"
    r"(?=\s+(?:every|each|for|when|if)\b|[\s.?!]*$)"
    r"|^\W*(?:on|at|in) (?:the |my |our )?(?:device |board )?"
    r"(?P<first>(?!d\d|(?:night|noon|midnight|sunset|sunrise|once|half|total)\b)[a-z][\w-]*),?\s"
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
    """The answer to a sentence about "board 3" where no device is called so; else None."""
    called = {device.name.lower() for device in device_context.devices}
    found = next((one[0] for one in _NUMBERED.finditer(said) if one[0].lower() not in called), None)
    return _unknown(found, device_context) if found is not None and called else None


def unknown_device(
    said: str, parse: Parse | None, read: Callable[[str], Parse | None], device_context: DeviceContext
) -> Say | None:
    """The answer to "turn on pin 2 on kitchen" where no device is called so; only for what no template fits.

    What is understood by `read` without its end "on kitchen" speaks of a device.
    """
    found, fits = _AT_NAME.search(said), parse is not None and not parse.loose
    if found is None or (fits and parse is not None and " " not in (parse.word("app") or "")):
        return None
    is_room = found["at"] in ("in", "of") and parse is not None and parse.loose  # "how warm is it in the hall"
    name = found["name"] or found["first"]
    known = {device.name.lower() for device in device_context.devices}
    rest = read(f"{said[: found.start()]} {said[found.end() :]}".strip())
    if not known or name.lower() in known or is_room or rest is None or rest.loose:
        return None
    return _unknown(name, device_context)


def _unknown(name: str, device_context: DeviceContext) -> Say:
    known = [device.name for device in device_context.devices]
    text = f"There is no device {name}, so I did nothing. There is: {', '.join(known[:_MAX_SHOWN])}."
    return Say(text, "unknown_name", f"end the sentence with: on {known[0]}")


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _WORDS.index(word.lower())
