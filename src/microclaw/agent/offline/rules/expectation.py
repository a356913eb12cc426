"""What a trial must show of rules, in the language of docs/proof.md: made from the rules, and not from their source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from microclaw.agent.offline.rules.program import Output, RuleProgram, Step, length_ms, steps_of
from microclaw.agent.offline.rules.rule import (
    HYSTERESIS_MILLI,
    MEASURE_MS,
    Count,
    EveryTrigger,
    Fade,
    Highest,
    Measure,
    PinTrigger,
    Rule,
    Together,
    Turn,
    ValueTrigger,
    Warn,
)
from microclaw.agent.offline.rules.scene import MAX_EXPECTED_MS, scene_lines
from microclaw.hardware.parts.reader import ValueRange, find_part

_FIRST_MS: Final = 2_000
_HELD_MS: Final = 300
_LATE_MS: Final = 80
"""An act begins at most so long after its trigger: two looks, and the bounces before them."""
_LEAST_PHASE_MS: Final = 150
_LOOKED_AT_END_MS: Final = 1_000
_SEEN_MS: Final = 10_000
"""A longer phase is looked at half of this time after its begin."""
_MAX_POINTS: Final = 6
_MARGIN_MILLI: Final = 1_000


def write_expectation(program: RuleProgram) -> str:
    """Return the lines of the expectation."""
    rule = program.rules[0]
    if _is_scene(program):
        lines = list(scene_lines(program))
    elif len(program.rules) > 1:
        lines = [_rate_line(program, rate) for rate in program.rules]
    elif isinstance(rule.trigger, PinTrigger):
        lines = list(_pin_lines(program, rule, rule.trigger))
    elif isinstance(rule.trigger, ValueTrigger):
        lines = list(_value_lines(program, rule, rule.trigger))
    elif isinstance(rule.trigger, EveryTrigger):
        lines = list(_every_lines(program, rule, rule.trigger))
    else:
        lines = list(_phase_lines(program, steps_of(rule.acts, program.outputs), [0], late_ms=20))
    return "".join(f"{line}\n" for line in lines)


def _is_scene(program: RuleProgram) -> bool:
    """Return True for rules whose conditions must be played one after the other."""
    rule = program.rules[0]
    if rule.until is not None:
        return True
    if len(program.rules) > 1:
        return not isinstance(rule.trigger, EveryTrigger)
    if isinstance(rule.trigger, Together) or isinstance(rule.only_while, ValueTrigger):
        return True
    is_followed = rule.holds and rule.measures
    if isinstance(rule.trigger, PinTrigger) and isinstance(rule.acts[0], Warn | Count):
        return True
    if rule.again_ms:
        return True
    is_counted = rule.nth > 1 or rule.gap_times > 1
    return is_followed or is_counted or rule.held_ms > 0 or rule.delay_ms > 0


def _rate_line(program: RuleProgram, rule: Rule) -> str:
    act = rule.acts[0]
    assert isinstance(act, Turn)
    assert isinstance(rule.trigger, EveryTrigger)
    ms = rule.trigger.ms
    return f"pin {program.outputs[act.pin].pin}: high for {ms} ms, low for {ms} ms"


def _pin_lines(program: RuleProgram, rule: Rule, trigger: PinTrigger) -> Iterator[str]:
    """Yield the stimuli of the trigger, and what must follow each of them."""
    act = rule.acts[0]
    steps = steps_of(rule.acts, program.outputs)
    if rule.holds:
        yield from _level_stimuli(trigger, [_FIRST_MS], 2_000)
        yield from _levels(program.outputs[rule.turned_pin], [(1_500, 0), (3_000, 1), (5_000, 0)])
        return
    gate = rule.only_while
    if isinstance(gate, PinTrigger):
        yield f"set pin {gate.pin} = {1 - gate.level} at 0 s"
        yield f"set pin {gate.pin} = {gate.level} at {_FIRST_MS + 1_000} ms"
    first_ms = _FIRST_MS
    if gate is not None:
        first_ms += 2_000
    if isinstance(act, Fade):
        yield from _level_stimuli(trigger, [first_ms], _HELD_MS)
        yield from _fade_lines(program, act, first_ms)
        return
    span_ms = length_ms(steps)
    again_ms = first_ms + span_ms + 3_000
    starts_ms = [first_ms]
    moments_ms = [first_ms]
    if gate is not None:
        moments_ms.insert(0, _FIRST_MS)
    if again_ms + span_ms <= MAX_EXPECTED_MS:
        moments_ms.append(again_ms)
        if rule.gap_ms <= again_ms - first_ms:
            starts_ms.append(again_ms)
    yield from _level_stimuli(trigger, moments_ms, _HELD_MS)
    if isinstance(act, Turn) and act.to == "toggle":
        output = program.outputs[act.pin]
        yield from _levels(output, [(first_ms - 500, 0), (first_ms + 500, 1)])
        if len(starts_ms) > 1:
            yield from _levels(output, [(again_ms + 500, 0)])
        return
    yield from _phase_lines(program, steps, starts_ms, until_ms=moments_ms[-1] + span_ms + 1_000)


def _level_stimuli(trigger: PinTrigger, moments_ms: Sequence[int], held_ms: int) -> Iterator[str]:
    """Yield the lines that bring the trigger's pin to its level at each moment, and back."""
    if trigger.part == "button":
        yield f"wired btn1 = button: pin {trigger.pin}"
        if not trigger.level:
            yield f"press btn1 at {_times(moments_ms)} for {held_ms} ms"
        else:
            yield f"press btn1 at {_times([ms - held_ms for ms in moments_ms])} for {held_ms} ms"
        return
    yield f"set pin {trigger.pin} = {1 - trigger.level} at 0 s, {_times([ms + held_ms for ms in moments_ms])}"
    yield f"set pin {trigger.pin} = {trigger.level} at {_times(moments_ms)}"


def _times(moments_ms: Sequence[int]) -> str:
    return ", ".join(f"{ms} ms" for ms in moments_ms)


def _levels(output: Output, points: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Yield the line that an output is on (1) or off (0) at each moment."""
    parts = []
    for ms, is_on in points:
        level = output.on if is_on else 1 - output.on
        parts.append(f"{_level_word(level)} at {ms} ms")
    yield f"pin {output.pin}: {', '.join(parts)}"


def _level_word(level: int) -> str:
    return "high" if level else "low"


def _phase_lines(
    program: RuleProgram,
    steps: Sequence[Step],
    starts_ms: Sequence[int],
    late_ms: int = _LATE_MS,
    until_ms: int = 0,
    *,
    is_at_rest: bool = True,
) -> Iterator[str]:
    """Yield for each output its levels between the steps, and how often it rises in all.

    `is_at_rest`: nothing changes for a while after the last step.
    """
    for output in program.outputs.values():
        level = 1 - output.on
        rises = 0
        parts: list[str] = []
        if starts_ms[0] >= _FIRST_MS:
            parts.append(f"{_level_word(level)} at {starts_ms[0] - 500} ms")
        for start_ms in starts_ms:
            moment_ms = start_ms
            for step in steps:
                if step.output == output:
                    rises += step.level > level
                    level = step.level
                middle_ms = moment_ms + min(step.wait_ms or 1_000, _SEEN_MS) // 2 + late_ms // 2
                is_clear = step.wait_ms >= _LEAST_PHASE_MS + late_ms or (is_at_rest and step is steps[-1])
                if is_clear and middle_ms <= MAX_EXPECTED_MS and len(parts) < _MAX_POINTS:
                    parts.append(f"{_level_word(level)} at {middle_ms} ms")
                moment_ms += step.wait_ms
        if parts:
            yield f"pin {output.pin}: {', '.join(parts)}"
        end_ms = until_ms or starts_ms[-1] + length_ms(steps) + 1_000
        if end_ms <= MAX_EXPECTED_MS and output.on:
            yield f"pin {output.pin}: {rises} pulses from {starts_ms[0] // 2} ms until {end_ms} ms"


def _every_lines(program: RuleProgram, rule: Rule, trigger: EveryTrigger) -> Iterator[str]:
    act = rule.acts[0]
    if isinstance(act, Highest):
        yield from _highest_lines(program, act, trigger.ms)
        return
    if isinstance(act, Measure):
        yield from _measured_lines(program, act)
        return
    steps = steps_of(rule.acts, program.outputs)
    starts_ms = [0]
    if 2 * trigger.ms <= MAX_EXPECTED_MS:
        starts_ms.append(trigger.ms)
    rest_ms = trigger.ms - length_ms(steps)
    end_ms = starts_ms[-1] + trigger.ms - max(rest_ms // 2, 20)
    is_at_rest = rest_ms >= _LOOKED_AT_END_MS
    if not is_at_rest:
        last = steps[-1]
        steps[-1] = Step(last.output, last.level, last.wait_ms + rest_ms)
    yield from _phase_lines(program, steps, starts_ms, late_ms=20, until_ms=end_ms, is_at_rest=is_at_rest)


def _highest_lines(program: RuleProgram, act: Highest, every_ms: int) -> Iterator[str]:
    measured = find_part(program.sensors[act.quantity].part).measures[act.quantity]
    first = round(measured.sample or 0)
    more = first + 3
    if not act.is_high:
        more = first - 3
    word = act.most_word
    stimulus = f"i2c.{program.sensors[act.quantity].part}.{act.quantity} ="
    if 3 * every_ms > MAX_EXPECTED_MS:
        yield f"{stimulus} {first}.5 at 0 s"
        yield f'log 1 times ~ "{act.quantity} {first}\\.[45]\\d, {word} of the day {first}\\.[45]\\d"'
        return
    yield f"{stimulus} {first}.5 at 0 s, {every_ms * 3 // 2} ms"
    yield f"{stimulus} {more}.5 at {every_ms // 2} ms"
    until = f"until {every_ms * 5 // 2} ms"
    yield f'log 1 times ~ "{act.quantity} {more}\\.[45]\\d, {word} of the day {more}\\.[45]\\d" {until}'
    yield f'log 1 times ~ "{act.quantity} {first}\\.[45]\\d, {word} of the day {more}\\.[45]\\d" {until}'


def _measured_lines(program: RuleProgram, act: Measure) -> Iterator[str]:
    """Yield a value of each quantity, and the line that has them all."""
    parts = []
    for quantity in act.quantities:
        part = program.sensors[quantity].part
        value = round(find_part(part).measures[quantity].sample or 0)
        yield f"i2c.{part}.{quantity} = {value}.5 at 0 s"
        parts.append(rf"{quantity} {value}\.[45]\d")
    yield f'log ~ "{", ".join(parts)}" within 1 s'


def _fade_lines(program: RuleProgram, act: Fade, start_ms: int) -> Iterator[str]:
    output = program.outputs[act.pin]
    points = [(start_ms - 500, 0), (start_ms + act.ms // 2 + _LATE_MS // 2, 50), (start_ms + act.ms + 500, 100)]
    parts = []
    for ms, share in points:
        if ms > MAX_EXPECTED_MS:
            continue
        duty = share if output.on else 100 - share
        parts.append(f"{duty} % at {ms} ms" + " +- 4 %" * (share == 50))
    yield f"pwm {output.pin}: {', '.join(parts)}"


def _value_lines(program: RuleProgram, rule: Rule, trigger: ValueTrigger) -> Iterator[str]:
    """Yield a value that is not beyond the limit, one that is, and both again."""
    side = 1 if trigger.is_above else -1
    part = program.sensors[trigger.quantity].part
    measured = find_part(part).measures[trigger.quantity]
    beyond = _in_range(trigger.milli + side * _MARGIN_MILLI, measured)
    within = _in_range(trigger.milli - side * (HYSTERESIS_MILLI + _MARGIN_MILLI), measured)
    steps = steps_of(rule.acts, program.outputs)
    first_ms = 2 * MEASURE_MS + MEASURE_MS // 2
    back_ms = first_ms + 2 * MEASURE_MS
    again_ms = first_ms + length_ms(steps) + 4 * MEASURE_MS
    stimulus = f"i2c.{part}.{trigger.quantity} ="
    is_again = again_ms + length_ms(steps) <= MAX_EXPECTED_MS
    moments_ms = [first_ms]
    if is_again:
        moments_ms.append(again_ms)
    yield f"{stimulus} {within:g} at 0 s, {back_ms} ms"
    yield f"{stimulus} {beyond:g} at {_times(moments_ms)}"
    count = len(moments_ms)
    if rule.gap_ms > again_ms - first_ms:
        count = 1
    starts_ms = [ms + MEASURE_MS // 2 for ms in moments_ms[:count]]
    if isinstance(rule.acts[0], Warn):
        yield f'log {count} times ~ "alert: .*" until {again_ms + 3 * MEASURE_MS} ms'
        return
    end_ms = moments_ms[-1] + length_ms(steps) + 2 * MEASURE_MS
    yield from _phase_lines(program, steps, starts_ms, late_ms=400, until_ms=end_ms)


def _in_range(milli: int, measured: ValueRange) -> float:
    return min(max(milli / 1000, measured.least), measured.most)
