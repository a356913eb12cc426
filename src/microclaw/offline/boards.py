"""The board of a sentence: by name ("on desk"), number ("board 1") or label ("in the kitchen").

A board that no device is called like is told, and nothing is done. Of several boards it asks which one.
"""

from __future__ import annotations

import re
from typing import Final

from microclaw.language.quantities import ONES
from microclaw.models.protocol import DeviceContext, KnownDevice
from microclaw.offline.decision import Say, numbered
from microclaw.offline.pins import NO_DEVICE
from microclaw.offline.sentences import english

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


def with_written_names(said: str, known: DeviceContext) -> str:
    """The sentence with "on board 1" or "on board one" as "on board-1" where a device has that name."""
    for device in known.devices:
        if (name := _ENDS_IN_NUMBER.fullmatch(device.name)) is not None:
            number = int(name["number"])
            spoken = "|".join((rf"0*{number}", *(word for word, value in ONES.items() if value == number)))
            lead = r"(^\W*|\b(?:on|at|of|from|for|in|to|is|and|than|restart|reboot|reset|,) (?:the |my |our )?)"
            words = rf"{re.escape(name['stem'])}[\s_-]*(?:#|number |no\.? ?)?(?:{spoken}){_NO_QUANTITY}"
            said = re.sub(rf"(?i){lead}{words}", lambda match, name=device.name: match[1] + name, said)  # type: ignore[misc]
    return said


def chosen_board(said: str, known: DeviceContext) -> tuple[str, KnownDevice] | Say | None:
    """The sentence without its board, and the board that it names; None if it names none, a question if several."""
    boards = tuple(one for one in known.devices if one.board.pins)
    if (every := _EVERY.search(said)) is not None:
        # "All" may mean all pins, or a question be about all boards anyway.
        parse = english().parse(said)
        return None if parse and parse.kind in _OF_ALL else _the_one(_without(said, every), boards)
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
    return found[1] if isinstance(found, tuple) and found[0].strip(" .?!,") == "it" else None


def unknown_device(said: str, known: DeviceContext) -> Say | None:
    """The answer to "turn on pin 2 on kitchen" where no device is called so: understood without its end."""
    if (found := _AT_NAME.search(said)) is None or not known.devices or english().parse(_without(said, found)) is None:
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
