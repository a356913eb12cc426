"""Writes rules as a MicroPython program: one loop, or a task for each thing that goes on beside others."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from microclaw.agent.offline.rules.program import RuleProgram, Step, length_ms, steps_of, stops_of
from microclaw.agent.offline.rules.rule import (
    HYSTERESIS_MILLI,
    LOOK_MS,
    MEASURE_MS,
    Blink,
    Condition,
    Count,
    EveryTrigger,
    Fade,
    Highest,
    Measure,
    PinTrigger,
    Rule,
    Turn,
    ValueTrigger,
    Warn,
    act_length_ms,
)

_WATCH = """\
while True:
    {wait}({look_ms})
    is_true = {condition}
    # Contacts bounce, so two looks must agree.
    if is_true == last and is_true != state:
        state = is_true
{changed}
{held}    last = is_true
"""
_MEASURE = """\
while True:
{reads}
    if {missing}:
        print("the sensor for {names} does not answer")
    else:
        # It counts again after it went back by {back:g}.
        is_true = {condition}
        if is_true != state:
            state = is_true
{changed}
{held}    {wait}({look_ms})
"""
_HELD = """\
elif state and held_ms < {held_ms}:
    held_ms += {look_ms}
    if held_ms >= {held_ms}{conditions}:
{begin}
"""
_MAY_ACT = """

def may_act{n}():
    {quantity} = sensor("{quantity}", {address:#04x})
    return {quantity} is not None and {condition}
"""
_MEASURED = """\
from microclaw import sensor
from time import sleep_ms

while True:
{reads}
    if None in ({names}):
        print("the sensor for {words} does not answer")
    else:
        print("{line}" % ({names}))
    sleep_ms({ms})
"""
_HIGHEST = """\
from microclaw import sensor
from time import sleep_ms

EVERY_MS = {ms}
DAY_MS = 24 * 60 * 60 * 1000

most = None
day_ms = 0
while True:
    value = sensor("{quantity}", {address:#04x})
    if value is None:
        print("the sensor for {quantity} does not answer")
    else:
        if most is None or value {sign} most:
            most = value
        print("{quantity} %.2f, {word} of the day %.2f" % (value, most))
    sleep_ms(EVERY_MS)
    day_ms += EVERY_MS
    if day_ms >= DAY_MS:
        day_ms = 0
        most = None
"""
_FADE = """\
for position in range(1, 101):
    {wait}({step_ms})
    {name}.duty_u16({duty})"""
_UNTIL = """\
{name}.value({on})
{clock}while {lasts}:
{reads}    if {condition}:
        break
    {wait}({look_ms})
{name}.value({off})"""
_ASYNC_WAIT = "await asyncio.sleep_ms"


def write_py(program: RuleProgram) -> str:
    """Return the source in MicroPython."""
    head = "".join(f"# {line}\n" for line in textwrap.wrap(f"{program.title}.", 64))
    rule = program.rules[0]
    act = rule.acts[0]
    if isinstance(act, Highest):
        return head + _highest(program, act, rule)
    if isinstance(act, Measure) and isinstance(rule.trigger, EveryTrigger):
        return head + _measured(program, act, rule.trigger.ms)
    if len(program.rules) > 1 and isinstance(rule.trigger, EveryTrigger):
        return head + _rates(program)
    if rule.trigger is None or isinstance(rule.trigger, EveryTrigger):
        return head + _loop(program, rule)
    return head + _ruled(program)


def _measured(program: RuleProgram, act: Measure, every_ms: int) -> str:
    reads = ""
    for quantity in act.quantities:
        reads += f'{quantity} = sensor("{quantity}", {program.sensors[quantity].address:#04x})\n'
    return _MEASURED.format(
        reads=_indent(reads.rstrip(), 1),
        names=", ".join(act.quantities),
        words=" or ".join(act.quantities),
        line=act.line,
        ms=every_ms,
    )


def _highest(program: RuleProgram, act: Highest, rule: Rule) -> str:
    ms = rule.trigger.ms if isinstance(rule.trigger, EveryTrigger) else 0
    return _HIGHEST.format(
        ms=ms,
        quantity=act.quantity,
        address=program.sensors[act.quantity].address,
        sign=act.sign,
        word=act.most_word,
    )


def _rates(program: RuleProgram) -> str:
    text = "import asyncio\nfrom machine import Pin\n\n" + _opened_outputs(program, start_on=True)
    text += "\n\nasync def blink(output, half_ms):\n    while True:\n        await asyncio.sleep_ms(half_ms)\n"
    text += "        output.value(1 - output.value())\n\n\nasync def main():\n"
    calls = []
    for rule in program.rules:
        act = rule.acts[0]
        if isinstance(act, Turn) and isinstance(rule.trigger, EveryTrigger):
            calls.append(f"blink({program.outputs[act.pin].name}, {rule.trigger.ms})")
    for call in calls[1:]:
        text += f"    asyncio.create_task({call})\n"
    return f"{text}    await {calls[0]}\n\n\nasyncio.run(main())\n"


def _loop(program: RuleProgram, rule: Rule) -> str:
    """Write a rule that only waits: at the start, or again and again."""
    steps = steps_of(rule.acts, program.outputs)
    lines = _acts(program, rule, "sleep_ms", "")
    if isinstance(rule.trigger, EveryTrigger):
        rest_ms = rule.trigger.ms - sum(step.wait_ms for step in steps)
        lines = f"while True:\n{_indent(lines, 1)}\n"
        if rest_ms:
            lines += f"    sleep_ms({rest_ms})"
    opened = _imports(program, is_async=False) + _opened_outputs(program) + _opened_inputs(program)
    return f"{opened}\n{lines.rstrip()}\n"


def _ruled(program: RuleProgram) -> str:
    """Write rules that watch pins or sensors, each in a task if there are several or if its acts go on beside it."""
    is_async = len(program.rules) > 1 or any(_needs_task(program, rule) for rule in program.rules)
    wait = _ASYNC_WAIT if is_async else "sleep_ms"
    functions = ""
    watches = []
    for number, rule in enumerate(program.rules, 1):
        n = f"_{number}" if number > 1 else ""
        functions += _functions(program, rule, wait, n)
        watches.append(_watch(program, rule, wait, n))
    opened = _imports(program, is_async=is_async) + _opened_outputs(program) + _opened_inputs(program) + functions
    if not is_async:
        return f"{opened}\n{watches[0]}"
    tasks = ""
    for number, watch in enumerate(watches[1:], 2):
        opened += f"\n\nasync def watch_{number}():\n{_indent(watch, 1)}"
        tasks += f"asyncio.create_task(watch_{number}())\n"
    main = _indent(tasks + watches[0], 1)
    return f"{opened}\n\nasync def main():\n{main}\n\nasyncio.run(main())\n"


def _is_waiting(program: RuleProgram, rule: Rule) -> bool:
    steps = steps_of(rule.acts, program.outputs)
    if rule.until is not None:
        return True
    return rule.delay_ms > 0 or any(step.wait_ms for step in steps[:-1]) or isinstance(rule.acts[0], Fade)


def _needs_task(program: RuleProgram, rule: Rule) -> bool:
    return _is_waiting(program, rule) or rule.pause_ms > 0


def _imports(program: RuleProgram, *, is_async: bool) -> str:
    text = "import asyncio\n" if is_async else ""
    names = []
    if program.faded_pins:
        names.append("PWM")
    if program.outputs or program.inputs:
        names.append("Pin")
    if names:
        text += f"from machine import {', '.join(names)}\n"
    if program.sensors:
        text += "from microclaw import sensor\n"
    times = [] if is_async else ["sleep_ms"]
    if any(rule.until is not None and act_length_ms(rule.acts[0]) for rule in program.rules):
        times += ["ticks_add", "ticks_diff", "ticks_ms"]
    if times:
        text += f"from time import {', '.join(times)}\n"
    return f"{text}\n"


def _functions(program: RuleProgram, rule: Rule, wait: str, n: str) -> str:
    text = ""
    if _is_waiting(program, rule):
        acts = _acts(program, rule, wait, n)
        if rule.delay_ms:
            acts = f"{wait}({rule.delay_ms})\n{acts}"
        if rule.again_ms:
            acts = _endless(program, rule, wait, n)
        text += f"\n\nasync def act{n}():\n{_indent(acts, 1)}\n"
    if rule.pause_ms:
        text += f"\n\nasync def pause{n}():\n    {wait}({rule.pause_ms})\n"
    if isinstance(rule.only_while, ValueTrigger):
        quantity = rule.only_while.quantity
        text += _MAY_ACT.format(
            n=n,
            quantity=quantity,
            address=program.sensors[quantity].address,
            condition=_condition(rule.only_while, is_gate=True),
        )
    return text


def _watch(program: RuleProgram, rule: Rule, wait: str, n: str) -> str:
    """Return the statements that begin the acts whenever the conditions hold."""
    begin = _acts(program, rule, wait, n)
    before = ""
    if _is_waiting(program, rule):
        begin = f"if task is not None:\n    task.cancel()\ntask = asyncio.create_task(act{n}())"
        before += "task = None\n"
    if rule.pause_ms:
        fresh = "pauses = [pause for pause in pauses if not pause.done()]"
        begin = f"{fresh}\npauses.append(asyncio.create_task(pause{n}()))\n{begin}"
        before += "pauses = []\n"
    gates = _gates(rule, n)
    changed = f"if state{gates}:\n{_indent(begin, 1)}"
    held = ""
    if isinstance(rule.acts[0], Count):
        before += f"total{n} = 0\n"
    if rule.nth > 1:
        before += "count = 0\n"
        counted = f"count += 1\nif count == {rule.nth}:\n    count = 0\n{_indent(begin, 1)}"
        changed = f"if state{gates}:\n{_indent(counted, 1)}"
    stop = ""
    if rule.again_ms:
        stop = f"if task is not None:\n    task.cancel()\n{_stops(program, rule)}\n"
        changed = f"if state:\n{_indent(begin, 1)}\nelse:\n{_indent(stop.rstrip(), 1)}"
    elif rule.holds:
        output = program.outputs[rule.turned_pin]
        changed = f"{output.name}.value({'state' if output.on else 'not state'})"
    if rule.held_ms:
        before += "held_ms = 0\n"
        changed = f"{stop}held_ms = 0"
        held = _HELD.format(held_ms=rule.held_ms, look_ms=rule.look_ms, conditions=gates, begin=_indent(begin, 2))
    return before + _look(program, rule, changed, held, wait)


def _look(program: RuleProgram, rule: Rule, changed: str, held: str, wait: str) -> str:
    condition = _joined(rule)
    if not rule.measures:
        state = "False" if rule.holds else condition
        watch = _WATCH.format(
            wait=wait, look_ms=LOOK_MS, condition=condition, changed=_indent(changed, 2), held=_indent(held, 1)
        )
        return f"last = state = {state}\n{watch}"
    reads = ""
    for quantity in rule.measured:
        reads += f'{quantity} = sensor("{quantity}", {program.sensors[quantity].address:#04x})\n'
    watch = _MEASURE.format(
        reads=_indent(reads.rstrip(), 1),
        missing=" or ".join(f"{quantity} is None" for quantity in rule.measured),
        names=" or ".join(rule.measured),
        back=HYSTERESIS_MILLI / 1000,
        condition=condition,
        changed=_indent(changed, 3),
        held=_indent(held, 2),
        wait=wait,
        look_ms=MEASURE_MS,
    )
    return f"state = False\n{watch}"


def _joined(rule: Rule) -> str:
    """Return the expression of all conditions of the trigger."""
    return (" or " if rule.is_any else " and ").join(_condition(condition) for condition in rule.conditions)


def _condition(condition: Condition, *, is_gate: bool = False) -> str:
    if isinstance(condition, PinTrigger):
        return f"pin_{condition.pin}.value() == {condition.level}"
    limit = f"{condition.milli / 1000:g}"
    if not is_gate:
        limit = f"({condition.back_milli / 1000:g} if state else {limit})"
    return f"{condition.quantity} {condition.sign} {limit}"


def _gates(rule: Rule, n: str) -> str:
    """Return what must hold besides the conditions of the trigger."""
    text = ""
    if isinstance(rule.only_while, PinTrigger):
        text += f" and {_condition(rule.only_while)}"
    elif rule.only_while is not None:
        text += f" and may_act{n}()"
    if rule.pause_ms:
        text += f" and sum(not pause.done() for pause in pauses) < {rule.gap_times}"
    return text


def _acts(program: RuleProgram, rule: Rule, wait: str, n: str) -> str:
    """Return the statements of the acts. A blink is a loop."""
    act = rule.acts[0]
    if isinstance(act, Fade):
        output = program.outputs[act.pin]
        duty = "position * 65535 // 100"
        if not output.on:
            duty = f"65535 - {duty}"
        return _FADE.format(wait=wait, step_ms=act.ms // 100, name=output.name, duty=duty)
    if isinstance(act, Warn):
        values = f" % ({', '.join(rule.measured)},)" if rule.measured else ""
        return f'print("{rule.alert}"{values})'
    if isinstance(act, Count):
        return f'total{n} += 1\nprint("count", total{n})'
    if rule.until is not None:
        return _until(program, rule, rule.until, wait)
    if isinstance(act, Turn) and act.to == "toggle":
        name = program.outputs[act.pin].name
        return f"{name}.value(1 - {name}.value())"
    if len(rule.acts) == 1 and isinstance(act, Blink) and act.times > 1:
        lines = _lines_of(steps_of(rule.acts, program.outputs)[:2], wait)
        return f"for _ in range({act.times}):\n{_indent(lines, 1)}"
    return _lines_of(steps_of(rule.acts, program.outputs), wait)


def _until(program: RuleProgram, rule: Rule, until: Condition, wait: str) -> str:
    """Return the statements of a pin that is on until something holds, or until its time is over."""
    output = program.outputs[rule.turned_pin]
    span_ms = act_length_ms(rule.acts[0])
    clock = ""
    lasts = "True"
    if span_ms:
        clock = f"end_ms = ticks_add(ticks_ms(), {span_ms})\n"
        lasts = "ticks_diff(end_ms, ticks_ms()) > 0"
    condition = _condition(until, is_gate=True)
    reads = ""
    if isinstance(until, ValueTrigger):
        name = until.quantity
        reads = f'    {name} = sensor("{name}", {program.sensors[name].address:#04x})\n'
        condition = f"{name} is not None and {condition}"
    return _UNTIL.format(
        name=output.name,
        on=output.on,
        off=1 - output.on,
        clock=clock,
        lasts=lasts,
        reads=reads,
        condition=condition,
        wait=wait,
        look_ms=rule.end_look_ms,
    )


def _endless(program: RuleProgram, rule: Rule, wait: str, n: str) -> str:
    """Return the loop of acts that are done again and again."""
    lines = _acts(program, rule, wait, n)
    rest_ms = rule.again_ms - length_ms(steps_of(rule.acts, program.outputs))
    if rest_ms:
        lines += f"\n{wait}({rest_ms})"
    return f"while True:\n{_indent(lines, 1)}"


def _stops(program: RuleProgram, rule: Rule) -> str:
    return _lines_of(stops_of(steps_of(rule.acts, program.outputs)), "")


def _lines_of(steps: Sequence[Step], wait: str) -> str:
    lines = []
    for step in steps:
        lines.append(f"{step.output.name}.value({step.level})")
        if step.wait_ms:
            lines.append(f"{wait}({step.wait_ms})")
    return "\n".join(lines)


def _opened_outputs(program: RuleProgram, *, start_on: bool = False) -> str:
    text = ""
    for pin, output in program.outputs.items():
        level = output.on if start_on else 1 - output.on
        if pin in program.faded_pins:
            text += f"{output.name} = PWM(Pin({output.pin}), freq=1000, duty_u16={65535 * level})\n"
        else:
            text += f"{output.name} = Pin({output.pin}, Pin.OUT, value={level})\n"
    return text


def _opened_inputs(program: RuleProgram) -> str:
    text = ""
    for condition in program.inputs:
        pull = "PULL_UP" if condition.pulls_up else "PULL_DOWN"
        text += f"pin_{condition.pin} = Pin({condition.pin}, Pin.IN, Pin.{pull})\n"
    return text


def _indent(text: str, depth: int) -> str:
    return textwrap.indent(text, "    " * depth)
