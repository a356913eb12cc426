"""What a capable model does in the tasks of tests/stories/test_open_tasks.py, a function each. Holds no test.

A policy may know C, MicroPython and how to plan, and what the system prompt teaches is in its sources. Everything else
comes from the request: see `Talk`.
"""

from __future__ import annotations

import json
import re

from tests.stories.capable_model import Call, Guess, Moves, Talk, check, fact, facts

LIGHTS = """#include "microclaw.h"
static int button, red, yellow, green, busy;
static void free_again(void) { gpio_set(red, 0); gpio_set(green, 1); busy = 0; }
static void stop(void) { gpio_set(yellow, 0); gpio_set(red, 1); after(RED_MS, free_again); }
static void look(void) {
    if (busy || gpio_get(button)) return;
    busy = 1;
    gpio_set(green, 0);
    gpio_set(yellow, 1);
    after(YELLOW_MS, stop);
}
void on_init(void) {
    button = gpio_open(BUTTON, GPIO_IN | GPIO_PULLUP);
    red = gpio_open(RED, GPIO_OUT);
    yellow = gpio_open(YELLOW, GPIO_OUT);
    green = gpio_open(GREEN, GPIO_OUT);
    gpio_set(green, 1);
    every(20, look);
}
"""
LIGHTS_EXPECT = """set pin BUTTON = 0 at 2 s
set pin BUTTON = 1 at 2100 ms
when pin BUTTON falls: pin YELLOW rises within 50 ms
pin YELLOW: 1 pulses
pin RED: 1 pulses
pin GREEN: high at 1 s
"""
PUMP = r"""#include "microclaw.h"
static int soil, pump, ran;
static unsigned last;
static void off(void) { gpio_set(pump, 0); }
static void look(void) {
    static int was_dry;
    int dry = gpio_get(soil) == 0;
    if (dry && !was_dry) {
        if (ran && millis() - last < PAUSE_MS) printf("too early\n");
        else { ran = 1; last = millis(); gpio_set(pump, 1); after(RUN_MS, off); }
    }
    was_dry = dry;
}
void on_init(void) {
    soil = gpio_open(SOIL, GPIO_IN | GPIO_PULLUP);
    pump = gpio_open(PUMP, GPIO_OUT);
    every(20, look);
}
"""
PUMP_EXPECT = """set pin SOIL = 0 at 2 s, 10 min, 61 min
set pin SOIL = 1 at 3 s, 11 min, 62 min
pin PUMP: 2 pulses
for 65 min
"""
HEARTBEAT = """#include "microclaw.h"
static int led;
static void off(void) { gpio_set(led, 0); }
static void on(void) { gpio_set(led, 1); after(80, off); }
static void beat(void) { on(); after(200, on); }
void on_init(void) { led = gpio_open(LED, GPIO_OUT); every(1000, beat); }
"""


def filled(text: str, **values: int) -> str:
    for name, value in values.items():
        text = re.sub(rf"\b{name}\b", str(value), text)
    return text


def traffic_light(talk: Talk) -> Moves:
    """Deploy the light on the pins that the person names, if the board has them free."""
    pins = {
        "RED": talk.number(r"red on pin (\d+)"),
        "YELLOW": talk.number(r"yellow on (\d+)"),
        "GREEN": talk.number(r"green on (\d+)"),
        "BUTTON": talk.number(r"button on pin (\d+)"),
    }
    times = {
        "YELLOW_MS": talk.number(r"yellow for (\d+) ms"),
        "RED_MS": talk.number(r"red for (\d+) ms"),
    }
    free = yield from talk.call("free-pins", device=talk.board)
    for pin in pins.values():
        if pin not in fact(free, "output"):
            raise Guess(f"pin {pin} is not free")
    result = yield from talk.call(
        "deploy-wasm-app",
        device=talk.board,
        appName="traffic-light",
        sourceCode=filled(LIGHTS, **pins, **times),
        expect=filled(LIGHTS_EXPECT, **pins),
    )
    check(result)
    return f"The light runs: {json.dumps(fact(result, 'evidence'))}"


def pump(talk: Talk) -> Moves:
    """Deploy the pump with its limit, and have an hour of it tried."""
    pins = {"SOIL": talk.number(r"sensor on pin (\d+)"), "PUMP": talk.number(r"pump is on pin (\d+)")}
    result = yield from talk.call(
        "deploy-wasm-app",
        device=talk.board,
        appName="pump",
        sourceCode=filled(PUMP, **pins, RUN_MS=talk.number(r"for (\d+) ms"), PAUSE_MS=3_600_000),
        expect=filled(PUMP_EXPECT, **pins),
    )
    check(result)
    return f"The pump runs once an hour: {json.dumps(fact(result, 'evidence'))}"


def connected(talk: Talk) -> Moves:
    """Name each board, and what answers at its bus."""
    listed = check((yield from talk.call("list-devices")))
    names = list(facts(fact(listed, "devices"), "name"))
    yield from talk.load("i2c-scan")
    yield [Call("i2c-scan", {"device": name}) for name in names]
    return "\n".join(f"{name}: {json.dumps(scan)}" for name, scan in zip(names, talk.request.results, strict=True))


def weekdays(talk: Talk) -> Moves:
    """Keep a schedule that sets the pin."""
    yield from talk.load("schedule-add")
    result = yield from talk.call(
        "schedule-add",
        when=talk.words(r"(every weekday at \d+)"),
        tool="gpio-set",
        arguments={"device": talk.board, "pin": talk.number(r"pin (\d+)"), "level": 1},
    )
    check(result)
    return f"It is kept; next {fact(result, 'next')}."


def remember(talk: Talk) -> Moves:
    result = yield from talk.call("remember", text=talk.words("Remember: (.*)"), device=talk.board)
    check(result)
    return "I remember that."


def switch_by_name(talk: Talk) -> Moves:
    """Find in the prompt which pin of which board has the name that the person says."""
    name = talk.words(r"switch the (.*) on")
    for line in talk.request.text.splitlines():
        match = re.search(rf"{name}\b.*?\bpin (\d+)", line) or re.search(rf"\bpin (\d+)\b.*?{name}", line)
        if match is not None and line.strip() != talk.request.sentence.strip():
            break
    else:
        raise Guess(f"no pin of the {name}")
    board = board_of_line(talk, line)
    check((yield from talk.call("gpio-set", device=board, pin=int(match[1]), level=1)))
    return f"The {name} is on."


def board_of_line(talk: Talk, line: str) -> str:
    """The board that the line names, or below whose heading it stands."""
    names = re.findall(r"^Device ([\w-]+)", talk.request.prompt, re.MULTILINE)
    for name in names:
        if re.search(rf"(?<![\w-]){name}(?![\w-])", line):
            return str(name)
    above = talk.request.text.partition(line)[0]
    headings = re.findall(r"^Device ([\w-]+)", above, re.MULTILINE)
    if not headings:
        raise Guess(f"no board for {line!r}")
    return str(headings[-1])


def made_heartbeat(talk: Talk) -> Moves:
    """Read what is installed, and replace it under its name, on its pin."""
    name = talk.words(r"[Cc]hange the (\w+)")
    program = yield from talk.call("read-program", device=talk.board, **{"appName": name})
    pin = int(re.findall(r"gpio_open\((\d+)", fact(program, "source", "sourceCode"))[0])
    result = yield from talk.call(
        "deploy-wasm-app",
        device=talk.board,
        appName=name,
        sourceCode=filled(HEARTBEAT, LED=pin),
        expect=f"pin {pin}: 20 pulses until 10 s\nfor 10 s\n",
    )
    check(result)
    return "It beats like a heart."
