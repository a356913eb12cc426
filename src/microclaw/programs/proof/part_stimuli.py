"""Brings together what expectations say of parts and the parts that are wired.

Stimuli become settings of values, and values that a part must show are checked against its facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import structs

from microclaw.errors import ConfigError, Diagnostic
from microclaw.hardware.parts.part_ids import part_id_of
from microclaw.hardware.parts.reader import Part, ValueRange, parts, quantities
from microclaw.hardware.parts.reader import Stimulus as Verb
from microclaw.hardware.parts.wiring import WiredPart, Wiring, part_roles
from microclaw.programs.proof.expectation_error import MAX_FINDINGS, ExpectationError
from microclaw.programs.proof.expectations import (
    Check,
    ExpectationLine,
    Expectations,
    LevelState,
    PartShows,
    ScreenMoments,
)
from microclaw.programs.proof.reaction import PartReaction, Reaction
from microclaw.programs.proof.screen_checks import ScreenShows
from microclaw.programs.proof.stimuli import PartSetting, PartStimulus, Stimulus

_BOUNCE: Final = "bounce_ms"
"""The attribute of parts whose contacts bounce."""


def with_settings(expectations: Expectations, wiring: Wiring) -> Expectations:
    """Return the expectations with the settings of the wired parts in the place of the text's stimuli.

    Values that a part must show have its usual slack, if the text gives none. A line about a display has its id.
    Raises ExpectationError for each part that is not wired, and for each value or verb that its part does not have.
    """
    stimuli: list[Stimulus] = []
    lines: list[ExpectationLine] = []
    findings: list[Diagnostic] = []
    for stimulus in expectations.stimuli:
        try:
            stimuli += _settings_of_line(stimulus, wiring)
        except ExpectationError as exc:
            findings += exc.findings
    for line in expectations.lines:
        try:
            lines.append(_in_wiring(line, wiring))
        except ExpectationError as exc:
            findings += exc.findings
    if findings:
        raise ExpectationError(findings[:MAX_FINDINGS])
    stimuli.sort(key=lambda stimulus: stimulus.at_ms)
    return structs.replace(expectations, lines=tuple(lines), stimuli=tuple(stimuli))


def _in_wiring(line: ExpectationLine, wiring: Wiring) -> ExpectationLine:
    """Return the line; the values that parts must show have the slack of their facts, and displays their ids."""
    checks: list[Check] = []
    for check in line.checks:
        subject = check.subject
        if isinstance(subject, PartShows):
            shown = _checked_shown(line, subject, wiring)
            checks.append(structs.replace(check, subject=shown))
        elif isinstance(check, PartReaction):
            checks.append(_on_pin(line, check, wiring))
        elif isinstance(subject, ScreenShows | ScreenMoments):
            part = _display_id(line, subject.part, wiring)
            checks.append(structs.replace(check, subject=structs.replace(subject, part=part)))
        else:
            checks.append(check)
    return structs.replace(line, checks=tuple(checks))


def _on_pin(line: ExpectationLine, check: PartReaction, wiring: Wiring) -> Reaction:
    """Return the reaction to a part as one to the pin that the part moves."""
    trigger = check.trigger
    wired = wiring.find(trigger.part)
    if wired is None:
        raise ExpectationError.at_line(line.number, _absence(trigger.part, wiring), _wired_ids(wiring))
    state = pin_state_of(wired)
    if state is None:
        text = f"{wired.id} ({wired.part}) has no pin that says if it is {trigger.value}"
        raise ExpectationError.at_line(line.number, text, "name a pin, as: when pin 4 falls: ...")
    name, level_state = state
    if trigger.value != name:
        raise ExpectationError.at_line(
            line.number, f"{wired.id} is never {trigger.value}", f"write: when {wired.id} is {name}"
        )
    if not trigger.is_so:
        level_state = LevelState(level_state.pin, 1 - level_state.level)
    try:
        return check.on_pin(level_state)
    except ValueError as exc:
        raise ExpectationError.at_line(line.number, str(exc), "name another pin") from exc


def pin_state_of(wired: WiredPart) -> tuple[str, LevelState] | None:
    """Return the only value of a part that is a yes or no, and the level of its only pin that says yes.

    None for a part with other values or with more pins.
    """
    facts = wired.facts
    names = list(facts.inputs)
    if len(facts.pins) != 1 or len(names) != 1 or facts.measures:
        return None
    pin = facts.pins[0]
    allowed = facts.inputs[names[0]]
    is_yes_or_no = (allowed.least, allowed.most) == (0, 1)
    if pin.use != "input" or not is_yes_or_no:
        return None
    level = 1
    if pin.polarity:
        level = wired.active_level
    return names[0], LevelState(wired.pins[pin.role], level)


def _display_id(line: ExpectationLine, part_id: str | None, wiring: Wiring) -> str:
    """Return the id of the display that a line is about: the only one if the line names none."""
    display_ids = [part.id for part in wiring.parts if part.facts.kind == "display"]
    if part_id is None and len(display_ids) == 1:
        return display_ids[0]
    displays = f"wired displays: {', '.join(display_ids) or 'none'}"
    if not display_ids:
        raise ExpectationError.at_line(line.number, "no display is wired to the board", _wired_ids(wiring))
    if part_id is None:
        step = f"name one, as: screen {display_ids[0]}: ...; {displays}"
        raise ExpectationError.at_line(line.number, "which display?", step)
    if part_id not in display_ids:
        raise ExpectationError.at_line(line.number, f"{part_id} is no display that is wired to the board", displays)
    return part_id


def _checked_shown(line: ExpectationLine, shown: PartShows, wiring: Wiring) -> PartShows:
    wired = wiring.find(shown.part)
    if wired is None:
        raise ExpectationError.at_line(line.number, _absence(shown.part, wiring), _wired_ids(wiring))
    values = wired.facts.shows
    value = values.get(shown.name)
    if value is None:
        text = f"{shown.part} ({wired.part}) shows no {shown.name}"
        raise ExpectationError.at_line(line.number, text, f"what it shows: {', '.join(values) or 'nothing'}")
    if shown.unit is not None and shown.unit.lstrip("°") != value.unit.lstrip("°"):
        raise ExpectationError.at_line(line.number, f"{shown.name} is not in {shown.unit}", _unit_step(value.unit))
    if shown.slack is None:
        return structs.replace(shown, slack=value.slack)
    return shown


def _settings_of_line(stimulus: Stimulus, wiring: Wiring) -> Sequence[Stimulus]:
    """Return the settings that a stimulus of a part makes, or another stimulus as it is."""
    if not isinstance(stimulus, PartStimulus):
        return [stimulus]
    try:
        return settings_of(stimulus, wiring)
    except ConfigError as exc:
        raise ExpectationError.at_line(stimulus.line, exc.message, exc.next_step) from exc


def settings_of(stimulus: PartStimulus, wiring: Wiring) -> list[PartSetting]:
    """Return the settings that a stimulus makes of the wired parts, in the order of their times.

    Raises ConfigError for a part that is not wired, and for a value or a verb that it does not have.
    """
    wired = _find_part(stimulus, wiring)
    if stimulus.verb is not None:
        return _act(stimulus, wired, wiring)
    name = _value_name(stimulus, wired.facts)
    allowed = _settable(wired.facts)[name]
    number = _in_unit(stimulus, name, allowed)
    _check_range(stimulus, name, number, allowed)
    return [_setting(wired, {name: number}, stimulus.at_ms)]


def _find_part(stimulus: PartStimulus, wiring: Wiring) -> WiredPart:
    wired = wiring.find(stimulus.part)
    if wired is not None:
        return wired
    facts = parts().get(stimulus.part)
    if stimulus.on_bus and facts is not None and facts.i2c is not None:
        same_kind = wiring.of_part(facts.name)
        if same_kind:
            return same_kind[0]
        return WiredPart(id=facts.name, part=facts.name, address=facts.i2c.addresses[0])
    raise ConfigError(_absence(stimulus.part, wiring), next_step=_wired_ids(wiring))


def _absence(part_id: str, wiring: Wiring) -> str:
    """Return why the trial's board has no such part: a diagram may have it, connected so that it cannot work."""
    for name, reason in wiring.not_simulated.items():
        if part_id_of(name) == part_id:
            return f"{name} is not simulated: {reason}"
    return f"no part {part_id} is wired to the board"


def _wired_ids(wiring: Wiring) -> str:
    ids = ", ".join(part.id for part in wiring.parts) or "none"
    return f"wired parts: {ids}"


def _act(stimulus: PartStimulus, wired: WiredPart, wiring: Wiring) -> list[PartSetting]:
    """Return what a verb sets, and what it sets back later."""
    facts = wired.facts
    verb = facts.stimuli.get(stimulus.verb or "")
    if verb is None:
        known = ", ".join(facts.stimuli) or "none"
        text = f"{wired.id} ({facts.name}) has nothing to {stimulus.verb}"
        for warning in wiring.warnings:
            name, _, fault = warning.partition(": ")
            if part_id_of(name) == wired.id:
                text += f": {fault}"
        raise ConfigError(text, next_step=f"what it can do: {known}")
    name, number = _target(stimulus, verb, facts)
    _check_range(stimulus, name, number, facts.inputs[name])
    settings = [_setting(wired, {name: number}, stimulus.at_ms)]
    hold_ms = stimulus.hold_ms
    if hold_ms is None:
        hold_ms = verb.for_ms
    if verb.back is not None and hold_ms is not None:
        settings.append(_setting(wired, {name: verb.back}, stimulus.at_ms + hold_ms))
    elif stimulus.hold_ms is not None:
        raise ConfigError(f"{stimulus.verb} does not end by itself", next_step=f"write it as: {verb.example}")
    return settings


def _target(stimulus: PartStimulus, verb: Verb, facts: Part) -> tuple[str, float]:
    """Return the value that a verb sets, and the number."""
    argument = stimulus.argument
    step = f"write it as: {verb.example}"
    if verb.argument == "number" and isinstance(argument, float):
        return verb.sets, argument
    if verb.argument == "key" and isinstance(argument, str):
        if argument not in facts.inputs:
            raise ConfigError(f"{facts.name} has no key {argument!r}", next_step=f"its keys: {', '.join(facts.inputs)}")
        return argument, _number_of(verb)
    if verb.argument is None and argument is None:
        return verb.sets, _number_of(verb)
    raise ConfigError(f"this is not how to {stimulus.verb} a {facts.name}", next_step=step)


def _number_of(verb: Verb) -> float:
    if verb.to is None:
        return 1.0
    return verb.to


def _value_name(stimulus: PartStimulus, facts: Part) -> str:
    """Return the name of the value that a line sets: the one that it names, or the part's only one."""
    names = list(_settable(facts))
    if stimulus.value in names:
        return str(stimulus.value)
    if stimulus.value is None and len(names) == 1:
        return names[0]
    step = f"its values: {', '.join(names) or 'none'}"
    if stimulus.value is None:
        raise ConfigError(f"{stimulus.part} ({facts.name}): which value?", next_step=step)
    raise ConfigError(f"{stimulus.part} ({facts.name}) has no value {stimulus.value!r}", next_step=step)


def _settable(facts: Part) -> dict[str, ValueRange]:
    """Return the values of a part that can be set from outside."""
    settable: dict[str, ValueRange] = {}
    for name, allowed in {**facts.measures, **facts.inputs}.items():
        if not allowed.follows:
            settable[name] = allowed
    return settable


def _in_unit(stimulus: PartStimulus, name: str, allowed: ValueRange) -> float:
    """Return the number in the value's unit; a share in percent is one of the value's range."""
    assert isinstance(stimulus.argument, float)
    number = stimulus.argument
    own_unit = allowed.unit
    if name in quantities():
        own_unit = quantities()[name].unit
    if stimulus.unit is None or stimulus.unit.lstrip("°") == own_unit.lstrip("°"):
        return number
    if stimulus.unit == "%" and not own_unit:
        return allowed.least + (allowed.most - allowed.least) * number / 100
    raise ConfigError(f"{name} is not in {stimulus.unit}", next_step=_unit_step(own_unit))


def _unit_step(unit: str) -> str:
    if unit:
        return f"give it in {unit}"
    return "leave the unit out"


def _check_range(stimulus: PartStimulus, name: str, number: float, allowed: ValueRange) -> None:
    if not allowed.least <= number <= allowed.most:
        step = f"choose {allowed.least:g} to {allowed.most:g}"
        raise ConfigError(f"{name} {number:g} is out of the range of {stimulus.part}", next_step=step)


def _setting(wired: WiredPart, values: Mapping[str, float], at_ms: float) -> PartSetting:
    return PartSetting(wired.id, values, at_ms, pins=_moved_pins(wired))


def _moved_pins(part: WiredPart) -> tuple[int, ...]:
    """Return the pins that a part may move: those that a program reads as levels."""
    pins = []
    for role, gpio in part.pins.items():
        if part_roles(part.facts)[role].use == "input":
            pins.append(gpio)
    return tuple(pins)


def bounces_ms(wiring: Wiring | None) -> dict[int, float]:
    """Return the pins that parts may move, and for how long the part's contacts bounce; 0 if they do not."""
    bounces: dict[int, float] = {}
    if wiring is None:
        return bounces
    for part in wiring.parts:
        usual = part.facts.attributes.get(_BOUNCE)
        usual_ms = usual.default if usual is not None else 0.0
        for pin in _moved_pins(part):
            bounces[pin] = part.attributes.get(_BOUNCE, usual_ms)
    return bounces
