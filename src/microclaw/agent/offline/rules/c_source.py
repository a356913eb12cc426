"""Writes rules as a C program of event-driven style: `on_init` and timers, so that nothing waits for anything else."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from microclaw.agent.offline.rules.program import Output, RuleProgram, Step, cycle_of, length_ms, steps_of, stops_of
from microclaw.agent.offline.rules.rule import (
    HYSTERESIS_MILLI,
    LOOK_MS,
    MEASURE_MS,
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
)

_DAY_MS = 86_400_000
_STEPS = """\
/* Switch a pin, then wait. */
static const struct {{
    int *pin;
    int level;
    unsigned wait_ms;
}} STEPS{n}[] = {{
{rows}
}};
#define STEP_COUNT{n} (sizeof STEPS{n} / sizeof STEPS{n}[0])

static unsigned step{n};
static int timer{n} = -1;

static void next_step{n}(void) {{
    while (step{n} < STEP_COUNT{n}) {{
        gpio_set(*STEPS{n}[step{n}].pin, STEPS{n}[step{n}].level);
        unsigned wait_ms = STEPS{n}[step{n}++].wait_ms;{wrap}
        if (wait_ms > 0) {{
            timer{n} = after(wait_ms, next_step{n});
            return;
        }}
    }}
}}
"""
_WRAP = """
        step{n} %= STEP_COUNT{n};"""
_FADE = """\
#define FADE_MS{n} {ms}
#define STEP_MS{n} 20

static int position_ms{n}, timer{n} = -1;

static void brighten{n}(void) {{
    position_ms{n} += STEP_MS{n};
    if (position_ms{n} >= FADE_MS{n}) {{
        position_ms{n} = FADE_MS{n};
        cancel(timer{n});
    }}
    pwm_set({name}, {duty});
}}
"""
_LOOK = """\
static void look{n}(void) {{
    int is_true = {condition};
    /* Contacts bounce, so two looks must agree. */
    if (is_true == last{n} && is_true != state{n}) {{
        state{n} = is_true;
{changed}
    }}{held}
    last{n} = is_true;
}}
"""
_MEASURE = """\
static void look{n}(void) {{
{reads}
    /* It counts again after it went back by {back:g}. */
    int is_true = {condition};
    if (is_true != state{n}) {{
        state{n} = is_true;
{changed}
    }}{held}
}}
"""
_READ = """\
    float {quantity};
    if (sensor_read(i2c, {address:#04x}, "{quantity}", &{quantity}) < 0) {{
        printf("the sensor for {quantity} does not answer\\n");
        return{nothing};
    }}"""
_HELD = """\
 else if (state{n} && held_ms{n} < {held_ms}u) {{
        held_ms{n} += {look_ms};
        if (held_ms{n} >= {held_ms}u{conditions}) {{
{begin}
        }}
    }}"""
_MAY_ACT = """
static int may_act{n}(void) {{
{reads}
    return {condition};
}}
"""
_END = """
static void look_end{n}(void) {{
{reads}    if ({condition}) {{
{stop}
    }}
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
_MEASURED = """\
static int i2c;

static void look(void) {{
{reads}
    printf("{line}\\n", {values});
}}

void on_init(void) {{
    i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
    look();
    every({ms}u, look);
}}
"""
_MAY_BEGIN = """
#define GAP_MS{n} {gap_ms}u

static void may_begin{n}(void) {{
    recent{n}--;
}}
"""


def write_c(program: RuleProgram) -> str:
    """Return the source in C."""
    head = f'/* {_wrapped(program.title)} */\n#include "microclaw.h"\n'
    first = program.rules[0]
    if isinstance(first.acts[0], Highest):
        return f"{head}\n{_highest(program, first.acts[0], first.trigger)}"
    if isinstance(first.acts[0], Measure):
        return f"{head}\n{_measured(program, first, first.acts[0])}"
    if len(program.rules) > 1 and isinstance(first.trigger, EveryTrigger):
        return head + _rates(program)
    return head + _ruled(program)


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
        address=program.sensors[act.quantity].address,
        quantity=act.quantity,
        sign=act.sign,
        word=act.most_word,
        ms=ms,
    )


def _measured(program: RuleProgram, rule: Rule, act: Measure) -> str:
    reads = _reads(program, list(act.quantities))
    return _MEASURED.format(reads=reads, line=act.line, values=", ".join(act.quantities), ms=_ms(rule))


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


def _ruled(program: RuleProgram) -> str:
    """Write rules that each begin by themselves. The names of a rule after the first have its number."""
    functions = ""
    names = [output.name for output in program.outputs.values()]
    names += [f"pin_{condition.pin}" for condition in program.inputs]
    lines = _opened(program)
    if program.sensors:
        names.append("i2c")
    for number, rule in enumerate(program.rules, 1):
        n = f"_{number}" if number > 1 else ""
        functions += _functions(program, rule, n)
        names += _names(rule, n)
        lines.append(_start(program, rule, n))
    opened = _indent("\n".join(lines), 1)
    return f"\nstatic int {', '.join(names)};\n{functions}\nvoid on_init(void) {{\n{opened}\n}}\n"


def _names(rule: Rule, n: str) -> list[str]:
    names = []
    if rule.conditions:
        names.append(f"state{n}")
        if not rule.measures:
            names.append(f"last{n}")
    if rule.held_ms:
        names.append(f"held_ms{n}")
    if rule.nth > 1:
        names.append(f"count{n}")
    if rule.pause_ms:
        names.append(f"recent{n}")
    if isinstance(rule.acts[0], Count):
        names.append(f"total{n}")
    return names


def _functions(program: RuleProgram, rule: Rule, n: str) -> str:
    steps = steps_of(rule.acts, program.outputs)
    if rule.again_ms:
        steps = cycle_of(rule, program.outputs)
    begin, functions = _begin(program, rule, steps, n)
    if rule.until is not None:
        functions += _end(program, rule, rule.until, n)
        begin += f"\nlook_end{n}();"
    if rule.delay_ms:
        functions += f"\nstatic void later{n}(void) {{\n{_indent(begin, 1)}\n}}\n"
        begin = f"after({rule.delay_ms}u, later{n});"
    if isinstance(rule.only_while, ValueTrigger):
        functions += _MAY_ACT.format(
            n=n,
            reads=_reads(program, [rule.only_while.quantity], " 0"),
            condition=_condition(rule.only_while, n, is_gate=True),
        )
    if rule.pause_ms:
        functions += _MAY_BEGIN.format(n=n, gap_ms=rule.pause_ms)
        begin = f"recent{n}++;\nafter(GAP_MS{n}, may_begin{n});\n{begin}"
    if isinstance(rule.trigger, EveryTrigger):
        if length_ms(steps) == rule.trigger.ms:
            begin = _last_steps(steps) + begin
        functions += f"\nstatic void begin(void) {{\n{_indent(begin, 1)}\n}}\n"
    elif rule.trigger is not None:
        functions += f"\n{_look(program, rule, begin, n)}"
    return functions


def _start(program: RuleProgram, rule: Rule, n: str) -> str:
    """Return the statements that begin a rule."""
    if isinstance(rule.trigger, EveryTrigger):
        return f"begin();\nevery({rule.trigger.ms}u, begin);"
    if rule.trigger is None:
        begin = _begin(program, rule, steps_of(rule.acts, program.outputs), n)[0]
    elif rule.measures:
        begin = f"look{n}();\nevery({MEASURE_MS}, look{n});"
    else:
        state = "0" if rule.holds else _joined(rule, n)
        begin = f"last{n} = state{n} = {state};\nevery({LOOK_MS}, look{n});"
    if rule.until is not None:
        begin += f"\nlook_end{n}();\nevery({rule.end_look_ms}, look_end{n});"
    return begin


def _end(program: RuleProgram, rule: Rule, until: Condition, n: str) -> str:
    """Return the function that ends the act of a rule."""
    steps = steps_of(rule.acts, program.outputs)
    condition = _condition(until, n, is_gate=True)
    stop = _sets(stops_of(steps))
    if len(steps) > 1:
        condition = f"step{n} == 1 && {condition}"
        stop = f"cancel(timer{n});\nstep{n} = STEP_COUNT{n};\n{stop}"
    reads = ""
    if isinstance(until, ValueTrigger):
        reads = _reads(program, [until.quantity]) + "\n"
    return _END.format(n=n, reads=reads, condition=condition, stop=_indent(stop, 2))


def _last_steps(steps: list[Step]) -> str:
    """Return the statements of the last steps, which are at one time with the next begin: that cancels their timer."""
    lines = ""
    for step in reversed(steps):
        if step.wait_ms:
            break
        lines = f"gpio_set({step.output.name}, {step.level});\n{lines}"
    return lines


def _begin(program: RuleProgram, rule: Rule, steps: list[Step], n: str) -> tuple[str, str]:
    """Return the statements that begin the acts, and the functions before them."""
    act = rule.acts[0]
    if isinstance(act, Fade):
        output = program.outputs[act.pin]
        duty = f"position_ms{n} * 255 / FADE_MS{n}"
        if not output.on:
            duty = f"255 - {duty}"
        functions = "\n" + _FADE.format(n=n, ms=act.ms, name=output.name, duty=duty)
        return f"cancel(timer{n});\nposition_ms{n} = 0;\ntimer{n} = every(STEP_MS{n}, brighten{n});", functions
    if isinstance(act, Warn):
        values = "".join(f", {quantity}" for quantity in rule.measured)
        return f'printf("{rule.alert}\\n"{values});', ""
    if isinstance(act, Count):
        return f'printf("count %d\\n", ++total{n});', ""
    if isinstance(act, Turn) and act.to == "toggle":
        return f"gpio_toggle({program.outputs[act.pin].name});", ""
    if any(step.wait_ms for step in steps[:-1]):
        rows = "\n".join(f"    {{&{step.output.name}, {step.level}, {step.wait_ms}}}," for step in steps)
        wrap = _WRAP.format(n=n) if rule.again_ms else ""
        return f"cancel(timer{n});\nstep{n} = 0;\nnext_step{n}();", "\n" + _STEPS.format(n=n, rows=rows, wrap=wrap)
    return _sets(steps), ""


def _sets(steps: Sequence[Step]) -> str:
    return "\n".join(f"gpio_set({step.output.name}, {step.level});" for step in steps)


def _look(program: RuleProgram, rule: Rule, begin: str, n: str) -> str:
    """Return the function that looks whether the conditions hold, and begins the acts."""
    changed = f"if (state{n}{_gates(rule, n)}) {{\n{_indent(_counted(rule, begin, n), 1)}\n}}"
    held = ""
    stop = ""
    if rule.again_ms:
        stop = f"cancel(timer{n});\n{_sets(stops_of(steps_of(rule.acts, program.outputs)))}\n"
        changed = f"if (state{n}) {{\n{_indent(begin, 1)}\n}} else {{\n{_indent(stop.rstrip(), 1)}\n}}"
    elif rule.holds:
        output = program.outputs[rule.turned_pin]
        sign = "" if output.on else "!"
        changed = f"gpio_set({output.name}, {sign}state{n});"
    if rule.held_ms:
        changed = f"{stop}held_ms{n} = 0;"
        held = _HELD.format(
            n=n,
            held_ms=rule.held_ms,
            look_ms=rule.look_ms,
            conditions=_gates(rule, n),
            begin=_indent(begin, 3),
        )
    changed = _indent(changed, 2)
    if not rule.measures:
        return _LOOK.format(n=n, condition=_joined(rule, n), changed=changed, held=held)
    return _MEASURE.format(
        n=n,
        reads=_reads(program, rule.measured),
        back=HYSTERESIS_MILLI / 1000,
        condition=_joined(rule, n),
        changed=changed,
        held=held,
    )


def _reads(program: RuleProgram, quantities: list[str], nothing: str = "") -> str:
    reads = []
    for quantity in quantities:
        reads.append(_READ.format(quantity=quantity, address=program.sensors[quantity].address, nothing=nothing))
    return "\n".join(reads)


def _joined(rule: Rule, n: str) -> str:
    """Return the expression of all conditions of the trigger."""
    return (" || " if rule.is_any else " && ").join(_condition(condition, n) for condition in rule.conditions)


def _condition(condition: Condition, n: str, *, is_gate: bool = False) -> str:
    if isinstance(condition, PinTrigger):
        sign = "" if condition.level else "!"
        return f"{sign}gpio_get(pin_{condition.pin})"
    limit = f"{condition.milli / 1000:g}"
    if not is_gate:
        limit = f"(state{n} ? {condition.back_milli / 1000:g} : {limit})"
    return f"{condition.quantity} {condition.sign} {limit}"


def _gates(rule: Rule, n: str) -> str:
    """Return what must hold besides the conditions of the trigger."""
    text = ""
    if isinstance(rule.only_while, PinTrigger):
        text += f" && {_condition(rule.only_while, n)}"
    elif rule.only_while is not None:
        text += f" && may_act{n}()"
    if rule.pause_ms:
        text += f" && recent{n} < {rule.gap_times}"
    if rule.nth > 1:
        text += f" && ++count{n} == {rule.nth}"
    return text


def _counted(rule: Rule, begin: str, n: str) -> str:
    if rule.nth > 1:
        return f"count{n} = 0;\n{begin}"
    return begin


def _opened(program: RuleProgram) -> list[str]:
    """Return the statements that open what the rules use."""
    lines = []
    for pin, output in program.outputs.items():
        if pin in program.faded_pins:
            lines.append(f"{output.name} = pwm_open({output.pin}, 1000);")
            if not output.on:
                lines.append(f"pwm_set({output.name}, 255);")
            continue
        lines.append(f"{output.name} = gpio_open({output.pin}, GPIO_OUT);")
        if not output.on:
            lines.append(f"gpio_set({output.name}, 1); /* low would light it */")
    for condition in program.inputs:
        pull = "PULLUP" if condition.pulls_up else "PULLDOWN"
        lines.append(f"pin_{condition.pin} = gpio_open({condition.pin}, GPIO_IN | GPIO_{pull});")
    if program.sensors:
        lines.append("i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);")
    return lines


def _indent(text: str, depth: int) -> str:
    return textwrap.indent(text, "    " * depth)
