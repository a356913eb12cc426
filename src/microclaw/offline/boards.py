"""The boards of a sentence: by name ("on desk"), number ("board 1"), label ("in the kitchen") or all ("everywhere").

A board that no device is called like is told, and nothing is done. For several boards one call does it for all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.models.protocol import DeviceContext, KnownDevice
from microclaw.offline.apps import ON_BOARDS, known_apps, matching, taking_off
from microclaw.offline.decision import Act, CannotDo, Context, Decision, Parse, Say, capital, failure
from microclaw.offline.last_act import PROGRAMS_ON_PINS
from microclaw.offline.references import each_call
from microclaw.offline.sentences import english

_TOOLS: Final = frozenset(
    {"gpio-set", "pwm-set", "gpio-get", "adc-read", "deploy-wasm-app", "uninstall-wasm-app", "switch-program"}
)
_REMOVES: Final = frozenset({"remove_app", "remove_all"})
ON_MANY: Final = PROGRAMS_ON_PINS | _REMOVES | {"set_pin", "dim_pin", "read_pin", "read_adc", "read_sensor_every"}
"""The kinds of sentence that can be done on several boards at once."""
_OF_ALL: Final = frozenset({"all_pins", "list_apps", "list_devices"})
_MAX_SHOWN: Final = 8

_BOARD: Final = r"(?:boards?|devices?|rooms?)"
_EVERY: Final = re.compile(
    rf"(?i)\s*\b(?:(?:on|from|off|for|at|in|to|of) )?(?:all|every|each)(?: one)?(?: of)?(?: the| my| our)? {_BOARD}\b"
    r"|\s*\beverywhere\b"
    r"|\s*(?<!turn )(?<!switch )(?<!put )\b(?:on|from|off) (?:all|each)(?: of them)?(?=\s*[.!]?\s*$)"
)
EXCEPT: Final = re.compile(r"(?i)\b(?:except|excluding|but|apart from|other than)\b")
_AND: Final = r"(?:\s*,\s*(?:and\s+)?|\s+(?:and|or|&|plus)\s+)(?:also )?"
_AT: Final = r"(?:on|at|of|from|in|for) "
_BEFORE: Final = rf"(?:(?:the|my|our|both|all|{_BOARD}) )*"
_RESTART: Final = re.compile(
    r"(?i)\W*(?:(?:please|can you|could you) )*(?:restart|reboot|reset|power cycle) "
    r"(?:the |my |our )?(?:device |board )?(?P<name>[\w-]+)(?: now)?(?:,? please)?\W*"
)
_ANSWERED: Final = re.compile(r"(?i)^(?:(?:on|at|the|device|board|it's|it is|i mean|use)\s+)+")

_WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_LEAD: Final = (
    r"(?P<lead>^\W*(?:please )?|(?<!turn )(?<!switch )(?<!power )\b(?:on|at|of|from|for|in|to|is|what can|"
    r"except(?: for)?|but(?: not)?|than|restart|reboot|reset|power cycle)\s+(?:the |my |our )?)"
)
_JOINT: Final = r"(?:[\s_-]*#?|\s+(?:number|no\.?|nr\.?)\s*)"
_NUMBER: Final = rf"(?:\d{{1,4}}|{'|'.join(_WORDS)})"
_NO_QUANTITY: Final = (
    r"(?![\w%/-]|[.:]\d|\s*(?:%|°|(?:times?|x|ms|m?secs?|s|seconds?|milliseconds?|mins?|minutes?|hours?|h|days?|weeks?|"
    r"percent|degrees?|k?hz|hertz|volts?|v|amps?|a\.?m|p\.?m)\b))"
)
_NUMBERED: Final = re.compile(
    r"(?i)\b(?:boards?|devices?|esp32(?:[- ][sc]\d)?)(?:[\s_-]+#?|\s*#|\s+(?:number|no\.?|nr\.?)\s*)"
    rf"{_NUMBER}{_NO_QUANTITY}"
)
_ENDS_IN_NUMBER: Final = re.compile(r"(?P<stem>.*[^\W\d])[-_]?(?P<number>\d{1,4})", re.S)
_AT_NAME: Final = re.compile(
    r"(?i)\s*\b(?P<at>on|at|of|from|in) (?:the |my |our )?(?:device |board )?"
    r"(?P<name>(?!d\d|(?:high|low|all|both|off|now)\b)[a-z][\w-]*)"
    r"(?=\s+(?:every|each|for|when|if)\b|[\s.?!]*$)"
)


class Chosen(Struct, frozen=True):
    """The sentence without its boards, and the boards; `named`: by their own names."""

    rest: str
    devices: tuple[KnownDevice, ...]
    named: bool = True


def with_written_names(said: str, known: DeviceContext) -> str:
    """The sentence with "board 1 and 2" as "board-1 and board-2" where devices have that name; as it stands elsewhere.

    Of several numbers one that no device has stays a number: "board-1 and board 7".
    """
    stems: dict[str, dict[int, str]] = {}
    for device in known.devices:
        if (name := _ENDS_IN_NUMBER.fullmatch(device.name)) is not None:
            stems.setdefault(name["stem"].lower(), {})[int(name["number"])] = device.name
    for stem, names in stems.items():
        called = rf"{re.escape(stem)}{'s?' if stem in ('board', 'device') else ''}{_JOINT}"
        pattern = rf"(?i){_LEAD}{called}(?P<numbers>{_NUMBER}(?:{_AND}(?:{called})?{_NUMBER})*){_NO_QUANTITY}"

        def written(match: re.Match[str], stem: str = stem, names: dict[int, str] = names) -> str:
            numbers = [_number(word) for word in re.findall(rf"(?i){_NUMBER}(?!\w)", match["numbers"])]
            if numbers[0] not in names:
                return match[0]
            return match["lead"] + " and ".join(names.get(number, f"{stem} {number}") for number in numbers)

        said = re.sub(pattern, written, said)
    return said


def chosen_boards(said: str, known: DeviceContext) -> Chosen | Say | None:
    """The boards that a sentence names; None if it names none. It asks where a word means two things."""
    if (number := no_such_number(said, known)) is not None:
        return number
    boards = tuple(one for one in known.devices if one.board.pins)
    if (every := _EVERY.search(said)) is not None and not _is_of_all(said):
        return Chosen(_without(said, every), boards, named=False)
    own = {device.name.lower(): device for device in known.devices}
    apps = {app.name.lower() for device in known.devices for app in device.apps}
    restart = _RESTART.fullmatch(said)
    if restart is not None and (name := restart["name"].lower()) in own.keys() - apps:
        return Chosen("restart the board", (own[name],))
    labelled = _labelled(boards)
    names = "|".join(re.escape(name) for name in sorted({*labelled, *own}, key=len, reverse=True)) or "(?!)"
    one = rf"{_BEFORE}(?:{names})(?![\w-])(?: {_BOARD})?"
    phrase = rf"(?:^\W*|\s+)(?<!turn )(?<!switch ){_AT}{one}(?:{_AND}(?:{_AT})?{one})*(?=[\s.!?,:]|$)[,:]?"
    found = list(re.finditer(rf"(?i){phrase}|^\W*(?:{names})[,:]\s", said))
    if len(found) != 1:
        return None
    spoken = found[0]
    devices: dict[str, KnownDevice] = {}
    is_own = True
    for name in [name.lower() for name in re.findall(rf"(?i)(?<![\w-])(?:{names})(?![\w-])", spoken[0])]:
        meant = labelled.get(name, ())
        if name in own and meant not in ((), (own[name],)):
            shown = [one.name for one in meant[:_MAX_SHOWN]]
            text = f"{name} is a device, and a label of {', '.join(shown)}. Which do you mean? Nothing was done."
            return Say(text, "ambiguous", f"say: on {name}; or name them: on {' and '.join(shown)}")
        is_own = is_own and name in own
        devices |= {board.name: board for board in ((own[name],) if name in own else meant)}
    return Chosen(_without(said, spoken), tuple(devices.values()), named=is_own)


def answered_device(said: str, known: DeviceContext) -> KnownDevice | None:
    """The device that an answer like "on virtual-1" or "virtual-1" names and nothing else."""
    found = chosen_boards(f"it on {_ANSWERED.sub('', with_written_names(said, known).strip())}", known)
    if not isinstance(found, Chosen) or len(found.devices) != 1 or found.rest.strip(" .?!,") != "it":
        return None
    return found.devices[0]


def no_such_number(said: str, known: DeviceContext) -> Say | None:
    """The answer to a sentence about "board 3" where no device is called so; else None."""
    called = {device.name.lower() for device in known.devices}
    found = next((one[0] for one in _NUMBERED.finditer(said) if one[0].lower() not in called), None)
    return _unknown(found, known) if found is not None and called else None


def unknown_device(said: str, parse: Parse | None, known: DeviceContext) -> Say | None:
    """The answer to "turn on pin 2 on kitchen" where no device is called so; only for what no template fits.

    What is understood without its end "on kitchen" speaks of a device.
    """
    found = _AT_NAME.search(said)
    if found is None or (parse is not None and not parse.loose and " " not in (parse.word("app") or "")):
        return None
    is_room = found["at"] in ("in", "of") and parse is not None and parse.loose  # "how warm is it in the hall"
    rest = english().parse(_without(said, found))
    if not known.devices or is_room or rest is None or rest.loose:
        return None
    return (
        None
        if any(found["name"].lower() == one.name.lower() for one in known.devices)
        else _unknown(found["name"], known)
    )


def _unknown(name: str, known: DeviceContext) -> Say:
    names = [device.name for device in known.devices]
    text = f"There is no device {name}, so I did nothing. There is: {', '.join(names[:_MAX_SHOWN])}."
    return Say(text, "unknown_name", f"end the sentence with: on {names[0]}")


def _labelled(boards: tuple[KnownDevice, ...]) -> dict[str, tuple[KnownDevice, ...]]:
    """The boards by their labels, room=kitchen as kitchen, in each spelling."""
    labelled: dict[str, tuple[KnownDevice, ...]] = {}
    for board in boards:
        for label in board.labels:
            place = label.lower().removeprefix("room=")
            for spelling in {place, re.sub(r"[-_]", " ", place), f"{place} room"}:
                labelled[spelling] = (*(one for one in labelled.get(spelling, ()) if one is not board), board)
    return labelled


def decide_for_each(at: Context, decide: Callable[[Context], Decision]) -> Decision:
    """One call for all boards, then what became of each. It refuses what a board that was named cannot do."""
    calls: list[tuple[str, Act]] = []
    cannot: dict[str, Say] = {}
    for one in at.each:
        assert one.device is not None
        found = _removals(one, one.device, named=at.named) if one.parse.kind in _REMOVES else _acts(one, decide)
        if isinstance(found, Say):
            cannot[one.device.name] = found
        else:
            calls += [(one.device.name, act) for act in found]
    if cannot and (at.named or not calls):
        name, say = next(iter(cannot.items()))
        return replace(say, text=f"On {name} that cannot be done: {say.text} Nothing was done on any board.", asks=None)
    if not calls:
        text = f"None of the {len(at.each)} boards has such a program, so there is nothing to stop."
        return Say(text, "app_not_found", "what is running")
    left = "; ".join(f"{name}: {say.text.rstrip('.')}" for name, say in cannot.items())
    left_out = f" Left out: {left}." if left else ""
    if at.results:
        last = at.results[-1]
        if not last.ok:
            failed = failure(last)
            return replace(failed, text=f"{capital(failed.text)}.{left_out}")
        return Say(f"{capital(str(last.fields.get('message', 'done')))}.{left_out}")
    if len(tools := {act.tool for _, act in calls}) > 1 or not tools <= _TOOLS:
        text = "That is another kind of act on some of these boards (a program, or a pin), so I did nothing."
        return Say(text, "ambiguous", f"say it for one board: on {calls[0][0]}")
    groups: dict[str, tuple[list[str], Mapping[str, Any]]] = {}
    for name, act in calls:
        arguments = {key: value for key, value in act.arguments.items() if key != "device"}
        groups.setdefault(json.dumps(arguments, sort_keys=True), ([], arguments))[0].append(name)
    each = [{"devices": names, "arguments": arguments} for names, arguments in groups.values()]
    names = list(dict.fromkeys(name for name, _ in calls))
    more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
    first = calls[0][1]
    return Act(ON_BOARDS, {"tool": first.tool, "each": each}, f"{first.words} on {', '.join(names[:_MAX_SHOWN])}{more}")


def _acts(at: Context, decide: Callable[[Context], Decision]) -> list[Act] | Say:
    """Every call of the sentence on its board; what cannot be done there is an answer."""
    try:
        if acts := each_call(at, decide):
            return acts
        decision = decide(at)
    except CannotDo as exc:
        return exc.say
    assert isinstance(decision, Say)
    return decision


def _removals(at: Context, device: KnownDevice, *, named: bool) -> list[Act] | Say:
    """The calls that take programs off the board; none where it has none."""
    apps, said = known_apps(device), at.parse.word("app") or ""
    meant = matching(apps, said) if at.parse.kind == "remove_app" else apps
    if not meant and named:
        return Say(f"There is no program {said}".rstrip() + f" on {device.name}.", "app_not_found", "what is running")
    if len(meant) > 1 and at.parse.kind == "remove_app":
        names = " or ".join(str(app["name"]) for app in meant)
        return Say(f"Which one on {device.name}: {names}?", "ambiguous", f"stop {meant[0]['name']}")
    return [taking_off(at, app) for app in meant]


def _is_of_all(said: str) -> bool:
    """True if "all" means all pins, or a question is about all boards anyway ("what is running on all boards")."""
    parse = english().parse(said)
    return parse is not None and not parse.loose and parse.kind in _OF_ALL


def _without(said: str, found: re.Match[str]) -> str:
    return re.sub(r"\s+([.!?,])", r"\1", f"{said[: found.start()]} {said[found.end() :]}").strip()


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _WORDS.index(word.lower())
