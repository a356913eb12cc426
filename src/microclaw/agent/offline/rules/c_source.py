"""Writes rules as a C program of event-driven style: `on_init` and timers, so that nothing waits for anything else."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from microclaw.agent.offline.rules.program import LOOK_MS, Output, RuleProgram, Step, length_ms, steps_of
from microclaw.agent.offline.rules.rule import (
    HYSTERESIS_MILLI,
    MEASURE_MS,
    EveryTrigger,
    Fade,
    Highest,
    PinTrigger,
    Rule,
    Turn,
    ValueTrigger,
    Warn,
)

_DAY_MS = 86_400_000
_STEPS = """\
/* Switch a pin, then wait. */
static const struct {{
    int *pin;
    int level;
    unsigned wait_ms;
}} STEPS[] = {{
{rows}
}};
#define STEP_COUNT (sizeof STEPS / sizeof STEPS[0])

static unsigned step;
static int timer = -1;

static void next_step(void) {{
    while (step < STEP_COUNT) {{
        gpio_set(*STEPS[step].pin, STEPS[step].level);
        unsigned wait_ms = STEPS[step++].wait_ms;
        if (wait_ms > 0) {{
            timer = after(wait_ms, next_step);
            return;
        }}
    }}
}}
"""
_FADE = """\
#define FADE_MS {ms}
#define STEP_MS 20

static int position_ms, timer = -1;

static void brighten(void) {{
    position_ms += STEP_MS;
    if (position_ms >= FADE_MS) {{
        position_ms = FADE_MS;
        cancel(timer);
    }}
    pwm_set({name}, {duty});
}}
"""
_LOOK = """\
static void look(void) {{
    int level = gpio_get({pin});
    /* Contacts bounce, so two looks must agree. */
    if (level == last && level != state) {{
        state = level;
{changed}
    }}
    last = level;
}}
"""
_MEASURE = """\
static void look(void) {{
    float value;
    if (sensor_read(i2c, {address:#04x}, "{quantity}", &value) < 0) {{
        printf("the sensor for {quantity} does not answer\\n");
        return;
    }}
    /* It counts again after it went back by {back:g}. */
    int is_beyond = value {sign} (was_beyond ? {back_limit:g} : {limit:g});
    if ({condition}) {{
{begin}
    }}
    was_beyond = is_beyond;
}}
"""
_HIGHEST = """\
#define DAY_MS {day}u

static int i2c;
static float most;
static int has_value;

static void new_day(void) {{
    has_value = 0;
}}

static void look(void) {{
    float value;
    if (sensor_read(i2c, {address:#04x}, "{quantity}", &value) < 0) {{
        printf("the sensor for {quantity} does not answer\\n");
        return;
    }}
    if (!has_value || value {sign} most) {{
        most = value;
        has_value = 1;
    }}
    printf("{quantity} %.2f, {word} of the day %.2f\\n", value, most);
}}

void on_init(void) {{
    i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
    look();
    every({ms}, look);
    every(DAY_MS, new_day);
}}
"""
_MAY_BEGIN = """
static void may_begin(void) {
    has_to_wait = 0;
}
"""


def write_c(program: RuleProgram) -> str:
    """Return the source in C."""
    head = f'/* {_wrapped(program.title)} */\n#include "microclaw.h"\n'
    first = program.rules[0]
    if isinstance(first.acts[0], Highest):
        return f"{head}\n{_highest(program, first.acts[0], first.trigger)}"
    if len(program.rules) > 1:
        return head + _rates(program)
    return head + _one_rule(program, first)


def _wrapped(title: str) -> str:
    lines = [""]
    for word in f"{title}.".split(" "):
        if len(lines[-1]) + len(word) > 66:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n * ".join(lines)


def _highest(program: RuleProgram, act: Highest, trigger: object) -> str:
    ms = trigger.ms if isinstance(trigger, EveryTrigger) else 0
    return _HIGHEST.format(
        day=_DAY_MS,
        address=program.address,
        quantity=act.quantity,
        sign=act.sign,
        word=act.most_word,
        ms=ms,
    )


def _rates(program: RuleProgram) -> str:
    """Write several pins that blink, each at its own rate."""
    outputs = list(program.outputs.values())
    names = ", ".join(output.name for output in outputs)
    text = f"\nstatic int {names};\n"
    start = ""
    for rule in program.rules:
        output = _output(rule, program.outputs)
        text += f"\nstatic void toggle_{output.name}(void) {{\n    gpio_toggle({output.name});\n}}\n"
        start += f"    gpio_set({output.name}, {output.on});\n    every({_ms(rule)}, toggle_{output.name});\n"
    opened = "".join(f"    {output.name} = gpio_open({output.pin}, GPIO_OUT);\n" for output in outputs)
    return f"{text}\nvoid on_init(void) {{\n{opened}{start}}}\n"


def _ms(rule: Rule) -> int:
    if isinstance(rule.trigger, EveryTrigger):
        return rule.trigger.ms
    return 0


def _output(rule: Rule, outputs: Mapping[int | None, Output]) -> Output:
    act = rule.acts[0]
    assert isinstance(act, Turn | Fade)
    return outputs[act.pin]


def _one_rule(program: RuleProgram, rule: Rule) -> str:
    steps = steps_of(rule.acts, program.outputs)
    begin, functions = _begin(program, rule, steps)
    if rule.gap_ms:
        functions += f"\n#define GAP_MS {rule.gap_ms}u\n{_MAY_BEGIN}"
        begin = f"has_to_wait = 1;\nafter(GAP_MS, may_begin);\n{begin}"
    trigger = rule.trigger
    if isinstance(trigger, PinTrigger):
        functions += "\n" + _LOOK.format(pin=f"pin_{trigger.pin}", changed=_indent(_changed(rule, trigger, begin), 2))
        start = f"every({LOOK_MS}, look);"
    elif isinstance(trigger, ValueTrigger):
        functions += "\n" + _measure(program, rule, trigger, begin)
        start = f"look();\nevery({MEASURE_MS}, look);"
    elif isinstance(trigger, EveryTrigger):
        if length_ms(steps) == trigger.ms:
            begin = _last_steps(steps) + begin
        functions += f"\nstatic void begin(void) {{\n{_indent(begin, 1)}\n}}\n"
        start = f"begin();\nevery({trigger.ms}u, begin);"
    else:
        start = begin
    opened = _indent("\n".join([*_opened(program, rule), start]), 1)
    return f"\nstatic int {', '.join(_names(program, rule))};\n{functions}\nvoid on_init(void) {{\n{opened}\n}}\n"


def _last_steps(steps: list[Step]) -> str:
    """Return the statements of the last steps, which are at one time with the next begin: that cancels their timer."""
    lines = ""
    for step in reversed(steps):
        if step.wait_ms:
            break
        lines = f"gpio_set({step.output.name}, {step.level});\n{lines}"
    return lines


def _names(program: RuleProgram, rule: Rule) -> list[str]:
    names = [output.name for output in program.outputs.values()]
    trigger = rule.trigger
    if isinstance(trigger, PinTrigger):
        names += [f"pin_{trigger.pin}", "last", "state"]
    if isinstance(trigger, ValueTrigger):
        names += ["i2c", "was_beyond"]
    if rule.only_while is not None:
        names.append(f"pin_{rule.only_while.pin}")
    if rule.gap_ms:
        names.append("has_to_wait")
    return names


def _begin(program: RuleProgram, rule: Rule, steps: list[Step]) -> tuple[str, str]:
    """Return the statements that begin the acts, and the functions before them."""
    act = rule.acts[0]
    if isinstance(act, Fade):
        output = program.outputs[act.pin]
        duty = "position_ms * 255 / FADE_MS"
        if not output.on:
            duty = f"255 - {duty}"
        functions = "\n" + _FADE.format(ms=act.ms, name=output.name, duty=duty)
        return "cancel(timer);\nposition_ms = 0;\ntimer = every(STEP_MS, brighten);", functions
    if isinstance(act, Warn) and isinstance(rule.trigger, ValueTrigger):
        quantity = rule.trigger.quantity.replace("_", " ")
        return f'printf("alert: the {quantity} is {rule.trigger.limit_words}: %.2f\\n", value);', ""
    if isinstance(act, Turn) and act.to == "toggle":
        return f"gpio_toggle({program.outputs[act.pin].name});", ""
    if any(step.wait_ms for step in steps[:-1]):
        rows = "\n".join(f"    {{&{step.output.name}, {step.level}, {step.wait_ms}}}," for step in steps)
        return "cancel(timer);\nstep = 0;\nnext_step();", "\n" + _STEPS.format(rows=rows)
    return "\n".join(f"gpio_set({step.output.name}, {step.level});" for step in steps), ""


def _changed(rule: Rule, trigger: PinTrigger, begin: str) -> str:
    """Return the statements for a new level of the trigger's pin."""
    if rule.holds:
        name, _, level = begin.removeprefix("gpio_set(").removesuffix(");").partition(", ")
        sign = "" if int(level) == trigger.level else "!"
        return f"gpio_set({name}, {sign}state);"
    condition = "state" if trigger.level else "!state"
    return f"if ({condition}{_conditions(rule)}) {{\n{_indent(begin, 1)}\n}}"


def _conditions(rule: Rule) -> str:
    text = ""
    if rule.only_while is not None:
        sign = "" if rule.only_while.level else "!"
        text += f" && {sign}gpio_get(pin_{rule.only_while.pin})"
    if rule.gap_ms:
        text += " && !has_to_wait"
    return text


def _measure(program: RuleProgram, rule: Rule, trigger: ValueTrigger, begin: str) -> str:
    return _MEASURE.format(
        address=program.address,
        quantity=trigger.quantity,
        back=HYSTERESIS_MILLI / 1000,
        sign=trigger.sign,
        limit=trigger.milli / 1000,
        back_limit=trigger.back_milli / 1000,
        condition=f"is_beyond && !was_beyond{_conditions(rule)}",
        begin=_indent(begin, 2),
    )


def _opened(program: RuleProgram, rule: Rule) -> list[str]:
    """Return the statements that open what the rule uses."""
    lines = []
    for act in program.outputs.values():
        if isinstance(rule.acts[0], Fade):
            lines.append(f"{act.name} = pwm_open({act.pin}, 1000);")
            if not act.on:
                lines.append(f"pwm_set({act.name}, 255);")
            continue
        lines.append(f"{act.name} = gpio_open({act.pin}, GPIO_OUT);")
        if not act.on:
            lines.append(f"gpio_set({act.name}, 1); /* low would light it */")
    trigger = rule.trigger
    if isinstance(trigger, PinTrigger):
        lines.append(_open_input(trigger))
        if rule.holds:
            lines.append(f"last = state = {1 - trigger.level};")
        else:
            lines.append(f"last = state = gpio_get(pin_{trigger.pin});")
    if isinstance(trigger, ValueTrigger):
        lines.append("i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);")
    if rule.only_while is not None:
        lines.append(_open_input(rule.only_while))
    return lines


def _open_input(trigger: PinTrigger) -> str:
    pull = "PULLUP" if trigger.pulls_up else "PULLDOWN"
    return f"pin_{trigger.pin} = gpio_open({trigger.pin}, GPIO_IN | GPIO_{pull});"


def _indent(text: str, depth: int) -> str:
    return textwrap.indent(text, "    " * depth)
