"""A rule as a program sees it: outputs with their levels, and the steps that acts become. It writes no source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from microclaw.agent.offline.rules.rule import Act, Blink, Fade, Morse, PinTrigger, Police, Rule, Turn, Wait

_POLICE_MS: Final = 250
_DOT_MS: Final = 200
_SOS: Final = "... --- ..."


class Output(Struct, frozen=True):
    """A pin that a program drives. `name` is its name in the source, `on` the level that switches its load on."""

    pin: int
    name: str
    on: int = 1


class Step(Struct, frozen=True):
    """Switch an output to a level, then wait."""

    output: Output
    level: int
    wait_ms: int = 0


class Sensor(Struct, frozen=True):
    """The part that measures a quantity, and its address on the board's I2C bus."""

    part: str
    address: int


class RuleProgram(Struct, frozen=True):
    """Rules with the outputs of their pins (None is the board's LED), and the sensor of each quantity."""

    rules: tuple[Rule, ...]
    outputs: Mapping[int | None, Output]
    sensors: Mapping[str, Sensor]

    @property
    def inputs(self) -> list[PinTrigger]:
        """The pins that it reads, each once."""
        inputs = dict[int, PinTrigger]()
        for rule in self.rules:
            for condition in rule.inputs:
                inputs.setdefault(condition.pin, condition)
        return list(inputs.values())

    @property
    def faded_pins(self) -> list[int | None]:
        pins = []
        for rule in self.rules:
            pins += [act.pin for act in rule.acts if isinstance(act, Fade)]
        return pins

    @property
    def title(self) -> str:
        """What it does, as the first line of its source."""
        text = " and ".join(rule.words for rule in self.rules)
        return text[0].upper() + text[1:]


def steps_of(acts: Sequence[Act], outputs: Mapping[int | None, Output]) -> list[Step]:
    """Return the steps of acts that switch pins, in order. A wait belongs to the step before it.

    While a wait at the begin lasts, the pin of the first act is off.
    """
    steps = list[Step]()
    first_wait_ms = 0
    for act in acts:
        if not isinstance(act, Wait):
            steps += _steps_of_act(act, outputs)
        elif steps:
            last = steps[-1]
            steps[-1] = Step(last.output, last.level, last.wait_ms + act.ms)
        else:
            first_wait_ms += act.ms
    if first_wait_ms:
        output = steps[0].output
        steps.insert(0, Step(output, 1 - output.on, first_wait_ms))
    return steps


def cycle_of(rule: Rule, outputs: Mapping[int | None, Output]) -> list[Step]:
    """Return the steps of acts that are done again and again: after the last one is the rest of the time."""
    steps = steps_of(rule.acts, outputs)
    last = steps[-1]
    rest_ms = rule.again_ms - length_ms(steps)
    steps[-1] = Step(last.output, last.level, last.wait_ms + rest_ms)
    return steps


def stops_of(steps: Sequence[Step]) -> list[Step]:
    """Return the steps that switch each output of the steps off."""
    outputs = dict.fromkeys(step.output for step in steps)
    return [Step(output, 1 - output.on) for output in outputs]


def _steps_of_act(act: Act, outputs: Mapping[int | None, Output]) -> list[Step]:
    if isinstance(act, Turn):
        output = outputs[act.pin]
        level = output.on if act.to == "on" else 1 - output.on
        if act.for_ms:
            return [Step(output, level, act.for_ms), Step(output, 1 - level)]
        return [Step(output, level)]
    if isinstance(act, Blink):
        output = outputs[act.pin]
        return [Step(output, output.on, act.half_ms), Step(output, 1 - output.on, act.half_ms)] * act.times
    if isinstance(act, Morse):
        return _morse_steps(outputs[act.pin])
    if isinstance(act, Police):
        first = outputs[act.pin]
        second = outputs[act.pin_2]
        return [
            Step(second, 1 - second.on),
            Step(first, first.on, _POLICE_MS),
            Step(first, 1 - first.on),
            Step(second, second.on, _POLICE_MS),
        ]
    return []


def _morse_steps(output: Output) -> list[Step]:
    """Return SOS: a dash is three dots long, the dark between two signs is a dot, and between two letters three."""
    steps = list[Step]()
    for sign in _SOS:
        if sign == " ":
            last = steps[-1]
            steps[-1] = Step(output, last.level, 3 * _DOT_MS)
            continue
        lit_ms = 3 * _DOT_MS if sign == "-" else _DOT_MS
        steps.append(Step(output, output.on, lit_ms))
        steps.append(Step(output, 1 - output.on, _DOT_MS))
    return steps


def length_ms(steps: Sequence[Step]) -> int:
    return sum(step.wait_ms for step in steps)
