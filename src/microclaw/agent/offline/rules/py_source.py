"""Writes rules as a MicroPython program: one loop, or a task for each thing that goes on beside others."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from microclaw.agent.offline.rules.program import LOOK_MS, RuleProgram, Step, steps_of
from microclaw.agent.offline.rules.rule import (
    HYSTERESIS_MILLI,
    MEASURE_MS,
    Blink,
    EveryTrigger,
    Fade,
    Highest,
    PinTrigger,
    Rule,
    Turn,
    ValueTrigger,
    Warn,
)

_WATCH = """\
while True:
    {wait}({look_ms})
    level = {pin}.value()
    # Contacts bounce, so two looks must agree.
    if level == last and level != state:
        state = level
{changed}
    last = level"""
_MEASURE = """\
was_beyond = False
while True:
    value = sensor("{quantity}", {address:#04x})
    if value is None:
        print("the sensor for {quantity} does not answer")
    else:
        # It counts again after it went back by {back:g}.
        limit = {limit:g}
        if was_beyond:
            limit = {back_limit:g}
        is_beyond = value {sign} limit
        if {condition}:
{begin}
        was_beyond = is_beyond
    {wait}({look_ms})"""
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
_ASYNC_WAIT = "await asyncio.sleep_ms"


def write_py(program: RuleProgram) -> str:
    """Return the source in MicroPython."""
    head = "".join(f"# {line}\n" for line in textwrap.wrap(f"{program.title}.", 64))
    rule = program.rules[0]
    act = rule.acts[0]
    if isinstance(act, Highest):
        return head + _highest(program, act, rule)
    if len(program.rules) > 1:
        return head + _rates(program)
    if rule.trigger is None or isinstance(rule.trigger, EveryTrigger):
        return head + _loop(program, rule)
    return head + _tasks(program, rule)


def _highest(program: RuleProgram, act: Highest, rule: Rule) -> str:
    ms = rule.trigger.ms if isinstance(rule.trigger, EveryTrigger) else 0
    return _HIGHEST.format(
        ms=ms,
        quantity=act.quantity,
        address=program.address,
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
    lines = _acts(program, rule, "sleep_ms")
    if isinstance(rule.trigger, EveryTrigger):
        rest_ms = rule.trigger.ms - sum(step.wait_ms for step in steps)
        lines = f"while True:\n{_indent(lines, 1)}\n"
        if rest_ms:
            lines += f"    sleep_ms({rest_ms})"
    return f"from machine import Pin\nfrom time import sleep_ms\n\n{_opened_outputs(program)}\n{lines.rstrip()}\n"


def _tasks(program: RuleProgram, rule: Rule) -> str:
    """Write a rule that watches a pin or a sensor while its acts go on."""
    is_waiting = any(step.wait_ms for step in steps_of(rule.acts, program.outputs)[:-1])
    is_waiting = is_waiting or isinstance(rule.acts[0], Fade)
    needs_task = is_waiting or rule.gap_ms > 0
    trigger = rule.trigger
    machine = "PWM, Pin" if isinstance(rule.acts[0], Fade) else "Pin"
    imports = f"from machine import {machine}\n"
    if not program.outputs:
        imports = ""
    if isinstance(trigger, ValueTrigger):
        imports += "from microclaw import sensor\n"
    wait = "sleep_ms"
    functions = ""
    begin = _acts(program, rule, wait)
    if needs_task:
        wait = _ASYNC_WAIT
        imports = f"import asyncio\n{imports}"
    else:
        imports += "from time import sleep_ms\n"
    before = ""
    if is_waiting:
        functions += f"\n\nasync def act():\n{_indent(_acts(program, rule, wait), 1)}\n"
        begin = "if task is not None:\n    task.cancel()\ntask = asyncio.create_task(act())"
        before = "task = None\n"
    if rule.gap_ms:
        functions += f"\n\nasync def pause():\n    {wait}({rule.gap_ms})\n"
        begin = f"pause_task = asyncio.create_task(pause())\n{begin}"
        before += "pause_task = None\n"
    loop = before + _watch(program, rule, begin, wait)
    opened = _opened_outputs(program) + _opened_inputs(rule)
    if needs_task:
        loop = f"\nasync def main():\n{_indent(loop, 1)}\n\n\nasyncio.run(main())"
    return f"{imports}\n{opened}{functions}\n{loop}\n"


def _watch(program: RuleProgram, rule: Rule, begin: str, wait: str) -> str:
    trigger = rule.trigger
    if isinstance(trigger, ValueTrigger):
        return _MEASURE.format(
            quantity=trigger.quantity,
            address=program.address,
            back=HYSTERESIS_MILLI / 1000,
            limit=trigger.milli / 1000,
            back_limit=trigger.back_milli / 1000,
            sign=trigger.sign,
            condition=f"is_beyond and not was_beyond{_conditions(rule)}",
            begin=_indent(begin, 3),
            wait=wait,
            look_ms=MEASURE_MS,
        )
    assert isinstance(trigger, PinTrigger)
    pin = f"pin_{trigger.pin}"
    before = f"last = state = {pin}.value()\n"
    changed = f"if state == {trigger.level}{_conditions(rule)}:\n{_indent(begin, 1)}"
    if rule.holds:
        before = f"last = state = {1 - trigger.level}\n"
        output = next(iter(program.outputs.values()))
        level = "state" if output.on == trigger.level else "1 - state"
        changed = f"{output.name}.value({level})"
    return before + _WATCH.format(wait=wait, look_ms=LOOK_MS, pin=pin, changed=_indent(changed, 2))


def _conditions(rule: Rule) -> str:
    text = ""
    if rule.only_while is not None:
        text += f" and pin_{rule.only_while.pin}.value() == {rule.only_while.level}"
    if rule.gap_ms:
        text += " and (pause_task is None or pause_task.done())"
    return text


def _acts(program: RuleProgram, rule: Rule, wait: str) -> str:
    """Return the statements of the acts. A blink is a loop."""
    act = rule.acts[0]
    if isinstance(act, Fade):
        output = program.outputs[act.pin]
        duty = "position * 65535 // 100"
        if not output.on:
            duty = f"65535 - {duty}"
        return _FADE.format(wait=wait, step_ms=act.ms // 100, name=output.name, duty=duty)
    if isinstance(act, Warn) and isinstance(rule.trigger, ValueTrigger):
        quantity = rule.trigger.quantity.replace("_", " ")
        return f'print("alert: the {quantity} is {rule.trigger.limit_words}: %.2f" % value)'
    if isinstance(act, Turn) and act.to == "toggle":
        name = program.outputs[act.pin].name
        return f"{name}.value(1 - {name}.value())"
    if len(rule.acts) == 1 and isinstance(act, Blink):
        lines = _lines_of(steps_of(rule.acts, program.outputs)[:2], wait)
        return f"for _ in range({act.times}):\n{_indent(lines, 1)}"
    return _lines_of(steps_of(rule.acts, program.outputs), wait)


def _lines_of(steps: Sequence[Step], wait: str) -> str:
    lines = []
    for step in steps:
        lines.append(f"{step.output.name}.value({step.level})")
        if step.wait_ms:
            lines.append(f"{wait}({step.wait_ms})")
    return "\n".join(lines)


def _opened_outputs(program: RuleProgram, *, start_on: bool = False) -> str:
    text = ""
    for output in program.outputs.values():
        level = output.on if start_on else 1 - output.on
        if isinstance(program.rules[0].acts[0], Fade):
            text += f"{output.name} = PWM(Pin({output.pin}), freq=1000, duty_u16={65535 * level})\n"
        else:
            text += f"{output.name} = Pin({output.pin}, Pin.OUT, value={level})\n"
    return text


def _opened_inputs(rule: Rule) -> str:
    text = ""
    for trigger in (rule.trigger, rule.only_while):
        if isinstance(trigger, PinTrigger):
            pull = "PULL_UP" if trigger.pulls_up else "PULL_DOWN"
            text += f"pin_{trigger.pin} = Pin({trigger.pin}, Pin.IN, Pin.{pull})\n"
    return text


def _indent(text: str, depth: int) -> str:
    return textwrap.indent(text, "    " * depth)
