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

from microclaw.language.quantities import ONES
from microclaw.models.protocol import DeviceContext, KnownDevice
from microclaw.offline.apps import known_apps, matching, taking_off
from microclaw.offline.decision import Act, CannotDo, Context, Decision, Say, capital, failure
from microclaw.offline.last_act import PROGRAMS_ON_PINS
from microclaw.offline.references import each_call
from microclaw.offline.sentences import english

ON_BOARDS: Final = "act-on-boards"
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
    r"(?P<name>(?:board|device|esp32)[ -]?#?\d+|(?!d\d|(?:high|low|all|both|off|now)\b)[a-z][\w-]*)"
    r"(?=\s+(?:every|each|for|when|if)\b|[\s.?!]*$)"
)


class Chosen(Struct, frozen=True):
    """The sentence without its boards, and the boards; `named`: by their own names."""

    rest: str
    devices: tuple[KnownDevice, ...]
    named: bool = True


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


def chosen_boards(said: str, known: DeviceContext) -> Chosen | Say | None:
    """The boards that a sentence names; None if it names none. It asks where a word means two things."""
    boards = tuple(one for one in known.devices if one.board.pins)
    if (every := _EVERY.search(said)) is not None:
        # "All" may mean all pins, or a question be about all boards anyway.
        parse = english().parse(said)
        return None if parse and parse.kind in _OF_ALL else Chosen(_without(said, every), boards, named=False)
    own = {device.name.lower(): device for device in known.devices}
    restart = _RESTART.fullmatch(said)
    if restart is not None and (name := restart["name"].lower()) in own:
        if not restart["kind"] and any(app.name.lower() == name for one in known.devices for app in one.apps):
            text = f"{name} is a device, and a program is called so, too. Which do you mean? Nothing was done."
            return Say(text, "ambiguous", f"restart the program {name}; or: restart the board {name}")
        return Chosen("restart the board", (own[name],))
    labelled = _labelled(boards)
    names = "|".join(re.escape(name) for name in sorted({*labelled, *own}, key=len, reverse=True)) or "(?!)"
    one = rf"{_BEFORE}(?:{names})(?![\w-])(?: {_BOARD})?"
    phrase = rf"(?:^\W*|\s+)(?<!turn )(?<!switch ){_AT}{one}(?:{_AND}(?:{_AT})?{one})*(?=[\s.!?,:]|$)[,:]?"
    found = list(re.finditer(rf"(?i){phrase}|^\W*(?:{names})[,:]\s", said))
    if len(found) != 1:
        return None
    devices: dict[str, KnownDevice] = {}
    spoken = [name.lower() for name in re.findall(rf"(?i)(?<![\w-])(?:{names})(?![\w-])", found[0][0])]
    for name in spoken:
        meant = labelled.get(name, ())
        if name in own and meant not in ((), (own[name],)):
            shown = [one.name for one in meant[:_MAX_SHOWN]]
            text = f"{name} is a device, and a label of {', '.join(shown)}. Which do you mean? Nothing was done."
            return Say(text, "ambiguous", f"say: on {name}; or name them: on {' and '.join(shown)}")
        devices |= {board.name: board for board in ((own[name],) if name in own else meant)}
    return Chosen(_without(said, found[0]), tuple(devices.values()), named=set(spoken) <= own.keys())


def answered_device(said: str, known: DeviceContext) -> KnownDevice | None:
    """The device that an answer like "on virtual-1" or "virtual-1" names and nothing else."""
    found = chosen_boards(f"it on {_ANSWERED.sub('', with_written_names(said, known)).strip()}", known)
    if not isinstance(found, Chosen) or len(found.devices) != 1 or found.rest.strip(" .?!,") != "it":
        return None
    return found.devices[0]


def unknown_device(said: str, known: DeviceContext) -> Say | None:
    """The answer to "turn on pin 2 on kitchen" where no device is called so: understood without its end."""
    found = _AT_NAME.search(said)
    if found is None or not known.devices or english().parse(_without(said, found)) is None:
        return None
    names = [device.name for device in known.devices]
    text = f"There is no device {found['name']}, so I did nothing. There is: {', '.join(names[:_MAX_SHOWN])}."
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
        try:
            is_removal = one.parse.kind in _REMOVES
            acts = _removals(one, one.device, named=at.named) if is_removal else each_call(one, decide)
            calls += [(one.device.name, act) for act in acts]
        except CannotDo as exc:
            cannot[one.device.name] = exc.say
    if cannot and (at.named or not calls):
        name, say = next(iter(cannot.items()))
        return replace(say, text=f"On {name} that cannot be done: {say.text} Nothing was done on any board.", asks=None)
    if not calls:
        return Say("None of the boards has such a program.", "app_not_found", "what is running")
    left_out = "".join(f" Left out: {name}: {say.text.rstrip('.')}." for name, say in cannot.items())
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


def _removals(at: Context, device: KnownDevice, *, named: bool) -> list[Act]:
    """The calls that take programs off the board; none where it has none."""
    apps, said = known_apps(device), at.parse.word("app") or ""
    meant = matching(apps, said) if at.parse.kind == "remove_app" else apps
    if not meant and named:
        raise CannotDo(Say(f"There is no program {said}.", "app_not_found", "what is running"))
    if len(meant) > 1 and at.parse.kind == "remove_app":
        raise CannotDo(Say("More than one program is called so.", "ambiguous", f"stop {meant[0]['name']}"))
    return [taking_off(at, app) for app in meant]


def _without(said: str, found: re.Match[str]) -> str:
    return re.sub(r"\s+([.!?,])", r"\1", f"{said[: found.start()]} {said[found.end() :]}").strip()
