"""Decides a sentence that is read as rules: which program with which expectation, and what the answer assumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.times import spoken_duration
from microclaw.agent.offline.board_sensors import sensor_of
from microclaw.agent.offline.boards import device_of, pin_target
from microclaw.agent.offline.decision import Act, Context, Decision, Parse, Say, Values, ask
from microclaw.agent.offline.full_board import make_room
from microclaw.agent.offline.programs import answer_installed, check_pressed_low
from microclaw.agent.offline.rules.c_source import write_c
from microclaw.agent.offline.rules.expectation import write_expectation
from microclaw.agent.offline.rules.program import Output, RuleProgram, Sensor, length_ms, steps_of
from microclaw.agent.offline.rules.py_source import write_py
from microclaw.agent.offline.rules.reader import read_rules
from microclaw.agent.offline.rules.rule import Act as RuleAct
from microclaw.agent.offline.rules.rule import (
    Count,
    EveryTrigger,
    Highest,
    Measure,
    Police,
    Rule,
    Turn,
    Wait,
    Warn,
)
from microclaw.programs.patterns.recorded_ids import with_recorded_ids
from microclaw.text import plural

_SOAK: Final = "soak 0 s\n"
_VERBS: Final[Mapping[type[RuleAct], str]] = {Count: "count", Measure: "log"}
"""What a program without outputs does, in its name."""
_ASSUMED: Final = {
    "button": "The button is taken to connect its pin to ground.",
    "door": "The contact is taken to connect its pin to ground while it is closed.",
    "motion": "The sensor is taken to make its pin high while it sees motion.",
}


def decide_rules(context: Context) -> Decision:
    """Call the tool that installs the program of the rules, then answer. Raises CannotDo with a question."""
    rules = read_rules(context.parse.word("rule") or "")
    if rules is None or not context.parse.values.keys() <= {"rule"}:
        # A follow-up ("on pin 5", "faster") changes a value, which a whole sentence can have in several places.
        raise ask(
            "Which part of it do you mean? I did nothing.", "say the whole sentence again, with what is different"
        )
    is_done_once = rules[0].trigger is None
    if context.results and context.results[-1].tool == "deploy-wasm-app":
        return answer_installed(context, _notes(rules), ends=is_done_once)
    device = device_of(context)
    program = _fill(context, rules)
    _check(program)
    name = context.parse.replaces or _app_name(program)
    words = " and ".join(rule.words for rule in rules)
    question = _ask_to_replace(context, name)
    if question is not None:
        return question
    room_call = make_room(context, name, words)
    if room_call is not None:
        return room_call
    kind = device.kinds[0]
    source = write_py(program) if kind == "py" else write_c(program)
    expect = with_recorded_ids(write_expectation(program), device.wiring) + _SOAK
    arguments = context.on_device(appName=name, sourceCode=source, expect=expect)
    if is_done_once:
        arguments["autostart"] = False
    return Act("deploy-wasm-app", arguments, words, "written from the sentence by a grammar: no model wrote this")


def _ask_to_replace(context: Context, name: str) -> Say | None:
    """Ask before a rule takes the place of one that has its name: both may be wanted."""
    if context.parse.confirmed or context.parse.replaces is not None:
        return None
    for app in device_of(context).apps:
        if app.name == name:
            pins = plural("pin", sorted({*app.pins, *app.reads}))
            text = f"{name} runs already (on {pins}), and this would take its place. Say yes to do it."
            return Say(text, "confirm", f"yes, replace {name}", "confirmed")
    return None


def _notes(rules: tuple[Rule, ...]) -> list[str]:
    """Return what the program takes for granted, and where its lines are."""
    notes = []
    for rule in rules:
        for condition in rule.inputs:
            if condition.part in _ASSUMED:
                notes.append(_ASSUMED[condition.part])
        for act in rule.acts:
            if isinstance(act, Warn):
                notes.append("The warning is a line in the log of the program (microclaw logs); it is sent nowhere.")
            if isinstance(act, Count | Measure):
                notes.append("Its lines are in the log of the program (microclaw logs).")
            if isinstance(act, Highest):
                notes.append(
                    "Its lines are in the log of the program (microclaw logs). A day is 24 hours from its start."
                )
    return list(dict.fromkeys(notes))


def _fill(context: Context, rules: tuple[Rule, ...]) -> RuleProgram:
    """Return the program with the board's pins and sensor. Raises CannotDo if the board has no such pin or sensor."""
    outputs: dict[int | None, Output] = {}
    for rule in rules:
        for act in rule.acts:
            for pin in _pins_of(act):
                outputs[pin] = _output(context, pin)
    sensors: dict[str, Sensor] = {}
    for rule in rules:
        for condition in rule.inputs:
            _output(context, condition.pin)
            if condition.part == "button":
                check_pressed_low(context, condition.pin)
        for quantity in rule.quantities:
            sensor = sensor_of(replace(context, parse=Parse("rule", {"quantity": quantity})))
            sensors[quantity] = Sensor(sensor.part.name, sensor.address)
    return RuleProgram(rules, outputs, sensors)


def _pins_of(act: RuleAct) -> list[int | None]:
    """Return the pins that an act switches. Raises CannotDo for a light of two pins that are one."""
    if isinstance(act, Wait | Warn | Count | Highest | Measure):
        return []
    if not isinstance(act, Police):
        return [act.pin]
    if act.pin == act.pin_2:
        raise ask("A police light has two pins. Which are they?", "say the whole sentence with its pins")
    return [act.pin, act.pin_2]


def _output(context: Context, pin: int | None) -> Output:
    """Return the pin that is meant with its name in the source. Raises CannotDo if the board has no such pin."""
    values: Values = {"thing": "led"}
    if pin is not None:
        values = {"pin": pin}
    target = pin_target(replace(context, parse=Parse("rule", values)))
    name = "led" if pin is None else f"pin_{pin}"
    return Output(target.pin, name, target.active_level)


def _check(program: RuleProgram) -> None:
    """Raise CannotDo if two parts are on one pin, or if the acts take longer than the time from one to the next."""
    _check_switched_off(program)
    rule = program.rules[0]
    pins = [output.pin for output in program.outputs.values()]
    pins += [condition.pin for condition in program.inputs]
    for pin in pins:
        if pins.count(pin) > 1:
            raise ask(
                f"Pin {pin} cannot be both. Which pin is what it acts on at?", "say the whole sentence with its pins"
            )
    if len(program.rules) == 1 and isinstance(rule.trigger, EveryTrigger):
        _check_length(program, rule, rule.trigger.ms)
    for repeated in program.rules:
        if repeated.again_ms:
            _check_length(program, repeated, repeated.again_ms)


def _check_length(program: RuleProgram, rule: Rule, period_ms: int) -> None:
    span_ms = length_ms(steps_of(rule.acts, program.outputs))
    if span_ms > period_ms:
        text = f"That takes {spoken_duration(span_ms)}, longer than {spoken_duration(period_ms)}."
        raise ask(f"{text} How often, then?", "say the whole sentence with another time")


def _check_switched_off(program: RuleProgram) -> None:
    """Raise CannotDo for "off for 3 s" of a pin that nothing switches on before: it would go on after that."""
    turns = list[Turn]()
    for rule in program.rules:
        turns += [act for act in rule.acts if isinstance(act, Turn)]
    switched_on = {act.pin for act in turns if act.to != "off"}
    for act in turns:
        if act.to == "off" and act.for_ms and act.pin not in switched_on:
            text = f"A program begins with everything off, so to {act.words} would switch it on afterwards"
            raise ask(f"{text}. I did nothing.", f"say when it goes on, as in: {replace(act, to='on').words} when ...")


def _app_name(program: RuleProgram) -> str:
    if program.outputs:
        return f"rule-{next(iter(program.outputs.values())).pin}"
    act = program.rules[0].acts[0]
    watched = [*program.sensors, *(str(condition.pin) for condition in program.inputs)]
    if isinstance(act, Measure):
        watched = ["-".join(act.quantities[:2])]
    verb = _VERBS.get(type(act), "watch")
    return f"{verb}-{watched[0]}".replace("_", "-")
