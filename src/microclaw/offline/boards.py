"""Sentences for several boards ("everywhere", "in the kitchen", "on lamp and fan"): which boards, and one call for all.

Each board reads the sentence by itself: its own LED, pads, names and programs. It calls no tool.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.models.protocol import DeviceContext, KnownDevice
from microclaw.offline import schedules
from microclaw.offline.app_sentences import ON_BOARDS, known_apps, matching, taking_off
from microclaw.offline.decision import Act, CannotDo, Context, Decision, Result, Say, capital, failure
from microclaw.offline.last_act import PROGRAMS_ON_PINS
from microclaw.offline.names import names_to_pins
from microclaw.offline.parse import Parse
from microclaw.offline.pins import NO_DEVICE, pads_to_pins
from microclaw.offline.program_orders import program_order
from microclaw.offline.references import each_call
from microclaw.offline.sentences import english

_TOOLS: Final = frozenset(
    {"gpio-set", "pwm-set", "gpio-get", "adc-read", "deploy-wasm-app", "uninstall-wasm-app", "switch-program"}
)
_READS: Final = frozenset({"read_pin", "read_adc"})
_REMOVES: Final = frozenset({"remove_app", "remove_all"})
_ON_MANY: Final = PROGRAMS_ON_PINS | _READS | _REMOVES | {"set_pin", "dim_pin", "read_sensor_every"}
_OF_ALL: Final = frozenset({"all_pins", "list_apps", "list_devices"})
_BOARD: Final = r"(?:boards?|devices?|rooms?)"
_EVERY: Final = re.compile(
    rf"(?i)\s*\b(?:(?:on|from|off|for|at|in|to|of) )?(?:all|every|each)(?: one)?(?: of)?(?: the| my| our)? {_BOARD}\b"
    r"|\s*\beverywhere\b"
    r"|\s*(?<!turn )(?<!switch )(?<!put )\b(?:on|from|off) "
    r"(?:all|each)(?: of them)?(?=\s*[.!]?\s*$)"
)
_AND: Final = r"(?:\s*,\s*(?:and\s+)?|\s+(?:and|or|&|plus)\s+)(?:also )?"
_AT: Final = r"(?:(?:on|at|of|from|in|for) )?"
_BEFORE: Final = rf"(?:(?:the|my|our|both|all|{_BOARD}) )*"
_AFTER: Final = r"(?=\s+(?:every|each|for|when|if|to|at|high|low|on|off|and)\b|\s*[.!?,]|\s*$)"
_GOES_ON: Final = re.compile(r"(?i)\s*,?\s*and\b")
_EXCEPT: Final = re.compile(r"(?i)\b(?:except|excluding|but|apart from|other than)\b")
_MAX_SHOWN: Final = 8


class BoardChoice(Struct, frozen=True):
    """The sentence without its boards, and the boards; `named`: by their own names."""

    rest: str
    devices: tuple[KnownDevice, ...]
    named: bool = False

    @property
    def alone(self) -> KnownDevice | None:
        """The board, where it is only one."""
        return self.devices[0] if len(self.devices) == 1 else None


def chosen_boards(said: str, device_context: DeviceContext) -> BoardChoice | Say | None:
    """The boards that a sentence chooses otherwise than by the name of one; a question where two are meant by a word.

    None for a sentence that chooses none so.
    """
    boards = tuple(one for one in device_context.devices if one.board.pins)
    groups = _labelled(boards) | {one.name.lower(): (one,) for one in boards}
    if (found := _EVERY.search(said)) is not None and not _is_of_all(said):
        return BoardChoice(_without(said, found), boards)
    return _named(said, device_context, groups)


def _labelled(boards: Sequence[KnownDevice]) -> dict[str, tuple[KnownDevice, ...]]:
    """The boards by their labels, room=kitchen as kitchen, in each spelling."""
    labelled: dict[str, tuple[KnownDevice, ...]] = {}
    for board in boards:
        for label in board.labels:
            place = label.lower().removeprefix("room=")
            for spelling in (place, re.sub(r"[-_]", " ", place), f"{place} room"):
                labelled[spelling] = (*(one for one in labelled.get(spelling, ()) if one is not board), board)
    return labelled


def _named(
    said: str, device_context: DeviceContext, groups: Mapping[str, tuple[KnownDevice, ...]]
) -> BoardChoice | Say | None:
    """ "on lamp, fan and desk", "in the kitchen": several boards, or one that is not named by its own name alone."""
    names = "|".join(re.escape(name) for name in sorted(groups, key=len, reverse=True)) or "(?!)"
    one = rf"{_BEFORE}(?:{names})(?![\w-])(?: {_BOARD})?"
    at = r"(?<!turn )(?<!switch )\b(?P<at>on|at|of|from|in|for)"
    found = re.search(rf"(?i)\s*{at} {one}(?:(?:{_AND}{_AT}{one})+|{_AFTER})", said)
    if found is None or _GOES_ON.match(said, found.end()):  # "in the kitchen and pin 6 in the hall"
        return None
    called = [name.lower() for name in re.findall(rf"(?i)(?<![\w-])(?:{names})(?![\w-])", found[0])]
    own = {device.name.lower(): device for device in device_context.devices}
    labelled = _labelled(device_context.devices)
    if any(re.search(rf"(?i)\b(?:board|device) {re.escape(name)}", found[0]) for name in called if name not in own):
        return None  # "on board kitchen" is the name of one
    for name in called:
        if name in own and labelled.get(name, (own[name],)) != (own[name],):
            shown = [one.name for one in labelled[name][:_MAX_SHOWN]]
            text = f"{name} is a device, and a label of {', '.join(shown)}. Which do you mean? Nothing was done."
            return Say(text, "ambiguous", f"say: on {name}; or name them: on {' and '.join(shown)}")
    is_own = all(name in own for name in called)
    if is_own and len(called) < 2 and found["at"].lower() != "in":
        return None  # one board by its name, which is split off elsewhere
    meant = {board.name: board for name in called for board in groups[name]}
    return BoardChoice(_without(said, found), tuple(meant.values()), named=is_own)


def for_each(
    choice: BoardChoice, said: str, device_context: DeviceContext, results: tuple[Result, ...]
) -> Context | Say:
    """The sentence as each board reads it, or why it is not done on several."""
    if _EXCEPT.search(said):
        step = f"name those that you mean, as in: on {' and '.join(one.name for one in choice.devices[:2])}"
        return Say("I leave no board out of a sentence, so I did nothing.", "ambiguous", step)
    each: list[Context] = []
    for device in choice.devices:
        parse = _parsed(choice.rest, device, device_context)
        if isinstance(parse, Say):
            return parse
        if parse is None or parse.kind not in _ON_MANY or "it" in (parse.word("thing"), parse.word("app")):
            step = f"as in: turn on pin 4 everywhere; or for one board: on {device.name}"
            return Say("I do not do that on several boards at once, so I did nothing.", "ambiguous", step)
        confirmed = replace(parse, confirmed=True)  # the one question is that of the tool
        each.append(Context(confirmed, choice.rest, device_context, device, True))
    if not each:
        return NO_DEVICE
    return Context(each[0].parse, said, device_context, None, choice.named, results, tuple(each))


def decide_for_each(at: Context, decide: Callable[[Context], Decision]) -> Decision:
    """One call for all boards, then what became of each. It refuses what a board that was named cannot do."""
    calls, cannot = _calls(at, decide)
    if not calls or (at.named and cannot):
        return _cannot(at, cannot)
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
    groups: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for name, act in calls:
        arguments = {key: value for key, value in act.arguments.items() if key != "device"}
        groups.setdefault(json.dumps(arguments, sort_keys=True), ([], arguments))[0].append(name)
    each = [{"devices": names, "arguments": arguments} for names, arguments in groups.values()]
    first = calls[0][1]
    boards = list(dict.fromkeys(name for name, _ in calls))
    more = f" and {len(boards) - _MAX_SHOWN} more" if len(boards) > _MAX_SHOWN else ""
    words = f"{first.words} on {', '.join(boards[:_MAX_SHOWN])}{more}"
    return Act(ON_BOARDS, {"tool": first.tool, "each": each}, words)


def _calls(at: Context, decide: Callable[[Context], Decision]) -> tuple[list[tuple[str, Act]], dict[str, Say]]:
    """The calls of each board, and why a board cannot; a board where there is nothing to remove has neither."""
    calls: list[tuple[str, Act]] = []
    cannot: dict[str, Say] = {}
    for one in at.each:
        assert one.device is not None
        if one.parse.kind in _REMOVES:
            found: list[Act] | Say = _removals(one, one.device, named=at.named)
        else:
            found = _acts(one, decide)
        if isinstance(found, Say):
            cannot[one.device.name] = found
        else:
            calls += [(one.device.name, act) for act in found]
    return calls, cannot


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
    apps = known_apps(device)
    said = at.parse.word("app") or ""
    meant = matching(apps, said) if at.parse.kind == "remove_app" else apps
    if not meant and named:
        what = f"no program {said!r}" if said else "no program of this host"
        return Say(f"There is {what} on {device.name}.", "app_not_found", "what is running")
    if len(meant) > 1 and at.parse.kind == "remove_app":
        names = " or ".join(str(app["name"]) for app in meant)
        return Say(f"Which one on {device.name}: {names}?", "ambiguous", f"stop {meant[0]['name']}")
    return [taking_off(at, app) for app in meant]


def _cannot(at: Context, cannot: dict[str, Say]) -> Say:
    """Why nothing is done on any of them."""
    if not cannot:
        said = at.each[0].parse.word("app")
        what = f"a program {said!r}" if said else "a program of this host"
        text = f"None of the {len(at.each)} boards has {what}, so there is nothing to stop."
        return Say(text, "app_not_found", "what is running")
    name, say = next(iter(cannot.items()))
    return replace(say, text=f"On {name} that cannot be done: {say.text} Nothing was done on any board.", asks=None)


def _parsed(text: str, device: KnownDevice, device_context: DeviceContext) -> Parse | Say | None:
    """The sentence as it is read for one board: with its pads and the names of its pins."""
    sentences = english()
    text = pads_to_pins(text, device.board)
    if (order := program_order(text, device_context, None)) is not None:
        return order[0]
    text, there = names_to_pins(text, device_context, device)
    if there is not None and there is not device:
        return Say(f"That name is of a pin of {there.name}, so I did nothing.", "ambiguous", "name the pin: pin 4")
    return schedules.parse_schedule(text, sentences) or sentences.parse(text)


def _is_of_all(said: str) -> bool:
    """True if "all" means all pins, or a question is about all boards anyway ("what is running on all boards")."""
    parse = english().parse(said)
    return parse is not None and not parse.loose and parse.kind in _OF_ALL


def _without(said: str, found: re.Match[str]) -> str:
    return re.sub(r"\s+([.!?,])", r"\1", f"{said[: found.start()]} {said[found.end() :]}").strip()
