"""Plays rules through: what comes to their pins and sensors, and what their outputs must then do.

Each rule's conditions come to hold one after the other, last, and go back to rest. The outputs follow from the rules
alone, and not from their source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.agent.offline.rules.program import Output, RuleProgram, Step, cycle_of, length_ms, steps_of, stops_of
from microclaw.agent.offline.rules.rule import (
    HYSTERESIS_MILLI,
    MEASURE_MS,
    Condition,
    Count,
    PinTrigger,
    Rule,
    Turn,
    ValueTrigger,
    Warn,
)
from microclaw.hardware.parts.reader import find_part

MAX_EXPECTED_MS: Final = 600_000
_MARGIN_MILLI: Final = 1_000
_STEP_MS: Final = 3_000
_CLEAR_MS: Final = 600
"""No output changes so long before and after a moment at which it is looked at."""
_MAX_POINTS: Final = 6
_LONG_REST_MS: Final = 4_500
"""Acts that are done again after a longer rest are counted; at a shorter one their rhythm is looked at."""
_MAX_AGAIN_MS: Final = 60_000
"""Acts that are done again within this time are seen twice."""
_RHYTHM_CYCLES: Final = 6
Signal: TypeAlias = int | str
"""A pin, or a quantity."""


class _Change(Struct, frozen=True):
    """Signals at a moment: levels of pins, and thousandths of quantities."""

    ms: int
    values: dict[Signal, int]


class _Event(Struct, frozen=True):
    """An output that changes, or a line that is printed: `kind` is the act that prints it."""

    ms: int
    output: Output | None = None
    level: int = 0
    kind: type[Warn | Count] | None = None


def scene_lines(program: RuleProgram) -> Iterator[str]:
    """Yield the stimuli, and what each output must do."""
    changes = _changes(program)
    held_ms = max(rule.held_ms for rule in program.rules)
    end_ms = min(changes[-1].ms + _STEP_MS, MAX_EXPECTED_MS + min(held_ms, MAX_EXPECTED_MS))
    events = list[_Event]()
    for rule in program.rules:
        if rule.trigger is None:
            events += _act_events(program, rule, 0, changes)
        elif rule.again_ms:
            events += _repeat_events(program, rule, changes)
        else:
            events += _events(program, rule, changes)
    events = [event for event in sorted(events, key=lambda event: event.ms) if event.ms < end_ms]
    yield from _stimuli(program, [change for change in changes if change.ms < end_ms])
    for kind, line in ((Warn, "alert: .*"), (Count, r"count \d+")):
        count = sum(event.kind is kind for event in events)
        if any(isinstance(rule.acts[0], kind) for rule in program.rules):
            yield f'log {count} times ~ "{line}" until {end_ms - _CLEAR_MS} ms'
    beating = list[Output]()
    for rule in program.rules:
        if not rule.again_ms or _rest_ms(program, rule) >= _LONG_REST_MS:
            continue
        steps = cycle_of(rule, program.outputs)
        for stop in stops_of(steps):
            beating.append(stop.output)
        yield from _rhythm_lines(steps, _spans(rule, changes), end_ms)
    for output in program.outputs.values():
        yield from _output_lines(output, _levels(output, events), end_ms, is_counted=output not in beating)


def _signal(condition: Condition) -> Signal:
    if isinstance(condition, PinTrigger):
        return condition.pin
    return condition.quantity


def _value(condition: Condition, *, holds: bool) -> int:
    """Return a value of the condition's signal at which it holds, or does not."""
    if isinstance(condition, PinTrigger):
        return condition.level if holds else 1 - condition.level
    side = 1 if condition.is_above else -1
    if holds:
        return condition.milli + side * _MARGIN_MILLI
    return condition.milli - side * (HYSTERESIS_MILLI + _MARGIN_MILLI)


def _changes(program: RuleProgram) -> list[_Change]:
    rest = dict[Signal, int]()
    for rule in program.rules:
        for condition in (*_all_conditions(rule), *_ends_of(rule)):
            rest.setdefault(_signal(condition), _value(condition, holds=False))
    changes = [_Change(0, rest)]
    for rule in program.rules:
        for end in _ends_of(rule):
            _play([*_all_conditions(rule), end], changes, 0, is_any=False)
        is_too_long = rule.until is not None and _length_ms(program, rule) > MAX_EXPECTED_MS // 2
        if rule.trigger is None or is_too_long:
            continue
        for _ in range(_round_count(program, rule)):
            _add_changes(program, rule, changes)
    return changes


def _ends_of(rule: Rule) -> list[Condition]:
    """Return what ends its act before its time."""
    if rule.until is None:
        return []
    return [rule.until]


def _round_count(program: RuleProgram, rule: Rule) -> int:
    """Return how often its conditions come to hold: once more than it may begin in a time, if that time is long."""
    if rule.gap_times == 1:
        return rule.nth
    rounds_ms = rule.gap_times * (_length_ms(program, rule) + (1 + len(_all_conditions(rule))) * _STEP_MS)
    if rounds_ms + _CLEAR_MS < rule.gap_ms:
        return rule.gap_times + 1
    return rule.gap_times


def _all_conditions(rule: Rule) -> list[Condition]:
    """Return the conditions of a rule; the one that must hold meanwhile is first."""
    conditions = list(rule.conditions)
    if rule.only_while is not None:
        conditions.insert(0, rule.only_while)
    return conditions


def _add_changes(program: RuleProgram, rule: Rule, changes: list[_Change]) -> None:
    """Let each condition come to hold, and after the acts all go back to rest; with "or" after each one."""
    span_ms = _length_ms(program, rule) + rule.held_ms
    _play(_all_conditions(rule), changes, span_ms, is_any=rule.is_any)


def _play(conditions: Sequence[Condition], changes: list[_Change], span_ms: int, *, is_any: bool) -> None:
    rest = changes[0].values
    for condition in conditions:
        last = changes[-1]
        changes.append(_Change(last.ms + _STEP_MS, last.values | {_signal(condition): _value(condition, holds=True)}))
        if is_any or condition is conditions[-1]:
            changes.append(_Change(changes[-1].ms + span_ms + _STEP_MS, rest))


def _length_ms(program: RuleProgram, rule: Rule) -> int:
    """Return how long a rule's conditions must last to see its acts."""
    span_ms = rule.delay_ms + length_ms(steps_of(rule.acts, program.outputs))
    if not rule.again_ms:
        return span_ms
    if _rest_ms(program, rule) < _LONG_REST_MS:
        return _RHYTHM_CYCLES * rule.again_ms
    if rule.again_ms <= _MAX_AGAIN_MS:
        return rule.again_ms + span_ms
    return span_ms


def _rest_ms(program: RuleProgram, rule: Rule) -> int:
    return rule.again_ms - length_ms(steps_of(rule.acts, program.outputs))


def _is_true(rule: Rule, values: dict[Signal, int], *, was_true: bool) -> bool:
    truths = [_holds(condition, values, was_true=was_true) for condition in rule.conditions]
    if rule.is_any:
        return any(truths)
    return all(truths)


def _holds(condition: Condition, values: dict[Signal, int], *, was_true: bool) -> bool:
    value = values[_signal(condition)]
    if isinstance(condition, PinTrigger):
        return value == condition.level
    limit = condition.back_milli if was_true else condition.milli
    return value > limit if condition.is_above else value < limit


def _events(program: RuleProgram, rule: Rule, changes: Sequence[_Change]) -> list[_Event]:
    """Return what a rule does while the signals change."""
    events = list[_Event]()
    is_true = not rule.measures and not rule.holds and _is_true(rule, changes[0].values, was_true=False)
    late_ms = MEASURE_MS // 2 if rule.measures else 0
    starts_ms = list[int]()
    count = 0
    for index, change in enumerate(changes):
        was_true = is_true
        is_true = _is_true(rule, change.values, was_true=was_true)
        ms = change.ms + late_ms
        if rule.holds and is_true != was_true:
            output = program.outputs[rule.turned_pin]
            events.append(_Event(ms, output, output.on if is_true else 1 - output.on))
        if rule.holds or was_true or not is_true:
            continue
        lasts = index + 1 == len(changes) or change.ms + rule.held_ms < changes[index + 1].ms
        gate = rule.only_while
        is_open = gate is None or _holds(gate, change.values, was_true=False)
        recent = [start_ms for start_ms in starts_ms if ms < start_ms + rule.pause_ms]
        if not (lasts and is_open) or len(recent) >= rule.gap_times:
            continue
        count += 1
        if count % rule.nth == 0:
            starts_ms.append(ms)
            events += _act_events(program, rule, ms + rule.held_ms, changes)
    return events


def _spans(rule: Rule, changes: Sequence[_Change]) -> list[tuple[int, int]]:
    """Return when acts that are done again and again begin, and when they end."""
    spans = []
    late_ms = MEASURE_MS // 2 if rule.measures else 0
    begin_ms: int | None = None
    for change in changes:
        is_true = _is_true(rule, change.values, was_true=begin_ms is not None)
        ms = change.ms + late_ms
        if begin_ms is None and is_true:
            begin_ms = ms + rule.held_ms
        elif begin_ms is not None and not is_true:
            if begin_ms < ms:
                spans.append((begin_ms, ms))
            begin_ms = None
    return spans


def _repeat_events(program: RuleProgram, rule: Rule, changes: Sequence[_Change]) -> list[_Event]:
    events = []
    steps = cycle_of(rule, program.outputs)
    for begin_ms, end_ms in _spans(rule, changes):
        ms = begin_ms
        while ms < end_ms:
            for step in steps:
                if ms < end_ms:
                    events.append(_Event(ms, step.output, step.level))
                ms += step.wait_ms
        for stop in stops_of(steps):
            events.append(_Event(end_ms, stop.output, stop.level))
    return events


def _rhythm_lines(steps: Sequence[Step], spans: Sequence[tuple[int, int]], end_ms: int) -> Iterator[str]:
    """Yield the line of each output that goes on and off while acts are done again and again."""
    again_ms = length_ms(steps)
    for begin_ms, stop_ms in spans:
        first_ms = begin_ms + MEASURE_MS
        last_ms = stop_ms - MEASURE_MS
        if last_ms > end_ms or last_ms - first_ms < 4 * again_ms:
            continue
        for stop in stops_of(steps):
            output = stop.output
            count = sum(step.output == output and step.level == output.on for step in steps)
            rhythm = f"{count} pulses within {again_ms} ms"
            if count == 1:
                lit_ms = next(step.wait_ms for step in steps if step.output == output)
                rhythm = f"period {again_ms} ms, duty {100 * lit_ms / again_ms:.3g} %"
            yield f"pin {output.pin}: {rhythm} from {first_ms} ms until {last_ms} ms"


def _act_events(program: RuleProgram, rule: Rule, ms: int, changes: Sequence[_Change]) -> list[_Event]:
    act = rule.acts[0]
    ms += rule.delay_ms
    if isinstance(act, Warn | Count):
        return [_Event(ms, kind=type(act))]
    if isinstance(act, Turn) and act.to == "toggle":
        return [_Event(ms, program.outputs[act.pin], -1)]
    events = []
    for step in steps_of(rule.acts, program.outputs):
        events.append(_Event(ms, step.output, step.level))
        ms += step.wait_ms
    for end in _ends_of(rule):
        return _ended(events, end, changes)
    return events


def _ended(events: list[_Event], end: Condition, changes: Sequence[_Change]) -> list[_Event]:
    """Return the events of an output that is on until something holds."""
    begin = events[0]
    late_ms = MEASURE_MS // 2 if isinstance(end, ValueTrigger) else 0
    for change in changes:
        if change.ms < begin.ms or not _holds(end, change.values, was_true=False):
            continue
        stop = _Event(change.ms + late_ms, begin.output, 1 - begin.level)
        return [event for event in events if event.ms < stop.ms] + [stop]
    return events


def _levels(output: Output, events: Sequence[_Event]) -> list[tuple[int, int]]:
    """Return the output's levels with the moment at which each begins."""
    levels = [(0, 1 - output.on)]
    for event in events:
        if event.output == output:
            level = event.level if event.level >= 0 else 1 - levels[-1][1]
            levels.append((event.ms, level))
    return levels


def _output_lines(output: Output, levels: Sequence[tuple[int, int]], end_ms: int, *, is_counted: bool) -> Iterator[str]:
    parts = list[str]()
    rises = 0
    for index, (ms, level) in enumerate(levels):
        next_ms = levels[index + 1][0] if index + 1 < len(levels) else end_ms
        rises += index > 0 and level > levels[index - 1][1]
        if next_ms - ms >= 2 * _CLEAR_MS and len(parts) < _MAX_POINTS:
            parts.append(f"{'high' if level else 'low'} at {next_ms - _CLEAR_MS} ms")
    if parts:
        yield f"pin {output.pin}: {', '.join(parts)}"
    if output.on and is_counted:
        yield f"pin {output.pin}: {rises} pulses from 0 ms until {end_ms - _CLEAR_MS} ms"


def _stimuli(program: RuleProgram, changes: Sequence[_Change]) -> Iterator[str]:
    for signal in changes[0].values:
        moments = dict[int, list[int]]()
        value = None
        for change in changes:
            if change.values[signal] != value:
                value = change.values[signal]
                moments.setdefault(value, []).append(change.ms)
        for level, times_ms in moments.items():
            times = ", ".join(f"{ms} ms" for ms in times_ms)
            yield f"{_stimulus(program, signal, level)} at {times}"


def _stimulus(program: RuleProgram, signal: Signal, value: int) -> str:
    if isinstance(signal, int):
        return f"set pin {signal} = {value}"
    part = program.sensors[signal].part
    measured = find_part(part).measures[signal]
    amount = min(max(value / 1000, measured.least), measured.most)
    return f"i2c.{part}.{signal} = {amount:g}"
