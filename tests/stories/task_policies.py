"""The moves of a capable model in the tasks of tests/stories/test_open_tasks.py, a function each. Holds no test.

A policy may know C, MicroPython and how to plan, and what the system prompt teaches is in its sources. Everything else
comes from the request: see `Talk`.
"""

from __future__ import annotations

import json
import re

from tests.stories.capable_model import MORE_TOOLS, Call, Guess, Moves, Talk, check, fact, facts

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
    if (was_dry && !dry) printf("wet\n");
    was_dry = dry;
}
void on_init(void) {
    soil = gpio_open(SOIL, GPIO_IN | GPIO_PULLUP);
    pump = gpio_open(PUMP, GPIO_OUT);
    every(500, look);
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
    line = line_of_name(talk, name)
    board = board_of_line(talk, line)
    pins = re.findall(rf"{name}[^;,]*?\bpin (\d+)", line)
    check((yield from talk.call("gpio-set", device=board, pin=int(pins[0]), level=1)))
    return f"The {name} is on."


def line_of_name(talk: Talk, name: str) -> str:
    """The line that says which pin has this name."""
    for line in talk.request.text.splitlines():
        if re.search(rf"{name}[^;,]*?\bpin \d", line):
            return line
    raise Guess(f"no pin of the {name}")


def board_of_line(talk: Talk, line: str) -> str:
    """The board that the line names, or below whose heading it stands."""
    heading = r"^Device ([\w-]+)"
    for name in re.findall(heading, talk.request.prompt, re.MULTILINE):
        if name in re.findall(r"[\w-]+", line):
            return str(name)
    above = talk.request.text.partition(line)[0]
    headings = re.findall(heading, above, re.MULTILINE)
    if not headings:
        raise Guess(f"no board for {line!r}")
    return str(headings[-1])


def made_heartbeat(talk: Talk) -> Moves:
    """Read what is installed, and replace it under its name, on its pin."""
    name = talk.words(r"[Cc]hange the (\w+)")
    program = yield from talk.call("read-program", device=talk.board, appName=name)
    pin = int(re.findall(r"gpio_open\((\d+)", fact(program, "source", "sourceCode"))[0])
    result = yield from talk.call(
        "deploy-wasm-app",
        device=talk.board,
        appName=name,
        sourceCode=filled(HEARTBEAT, LED=pin),
        expect=f"pin {pin}: 18 pulses until 9900 ms\nfor 10 s\n",
    )
    check(result)
    return "It beats like a heart."


def undo_that(talk: Talk) -> Moves:
    """Undo what this conversation changed: by the number of the newest change of its program."""
    name = re.findall(r"Change the (\w+)", talk.request.text)[-1]
    listed = check((yield from talk.call("list-changes")))
    for change in fact(listed, "changes"):
        if re.search(rf"\b{name}\b", change["summary"]) and change["undoable"]:
            number = fact(change, "change_id", "change", "number")
            check((yield from talk.call("undo", change=number)))
            return f"Change {number} is undone."
    raise Guess(f"no change of {name} that can be undone")


def mend_a_division(talk: Talk) -> Moves:
    """Read why a program crashed, and where it divides; put a mended one in its place."""
    name = talk.words(r"did (\w+) crash")
    program = check((yield from talk.call("read-program", device=talk.board, appName=name)))
    reason = fact(program, "error", "crashes")
    source = fact(program, "source")
    divisor = re.findall(r"100 //? (\w+)", source)[0]
    if "#include" in source:
        mended = source.replace(f"/ {divisor}", f"/ ({divisor} ? {divisor} : 1)")
    else:
        mended = source.replace(f"// {divisor}", f"// ({divisor} or 1)")
    result = yield from talk.call("deploy-wasm-app", device=talk.board, appName=name, sourceCode=mended)
    check(result)
    return f"It crashed: {reason}; it divides by {divisor}. It is mended."


def analysis(talk: Talk) -> Moves:
    """Compute the mean of the series of free memory, where the tool that reads series says that they are named."""
    yield from talk.load("run-code")
    if "telemetry.show" not in json.dumps(talk.request.tools["run-code"]):
        raise Guess("run-code does not say where series are named")
    listed = check((yield from talk.call("look", what="telemetry.show", name=talk.board)))
    keys = [key for key in facts(listed, "key") if "heap" in key]
    if not keys:
        raise Guess("no series of free memory")
    code = (
        "import csv\nrows = list(csv.DictReader(open('telemetry.csv')))\n"
        "print(len(rows), sum(float(row['mean']) for row in rows) / len(rows))\n"
    )
    result = yield from talk.call("run-code", code=code, telemetry=[{"device": talk.board, "key": keys[0]}])
    check(result)
    again = yield from talk.call("run-code", code="print(2 ** 10)")
    check(again)
    return f"Rows and mean: {fact(result, 'output')}"


def refactoring(talk: Talk) -> Moves:
    """Name a number that stands several times in an installed program, and keep what is expected of it."""
    name = talk.words(r"program (\w+)")
    program = check((yield from talk.call("read-program", device=talk.board, appName=name)))
    source = fact(program, "source")
    numbers = re.findall(r"\b\d+\b", source)
    number = max(numbers, key=numbers.count)
    head, _, rest = source.partition("while")
    loop = re.sub(rf"\b{number}\b", "PAUSE_MS", rest)
    body = f"{head}PAUSE_MS = {number}\nwhile{loop}"
    expected = [line.rpartition(": ")[0] for line in fact(program, "expected")]
    result = yield from talk.call(
        "deploy-wasm-app", device=talk.board, appName=name, sourceCode=body, expect="\n".join(expected)
    )
    check(result)
    return "It has a name for its pause now."


def published(talk: Talk) -> Moves:
    """Find the broker and the topics in what the host says of itself."""
    status = check((yield from talk.call("look", what="host.status")))
    broker = fact(status, "mqtt")
    if broker.get("state") != "on":
        raise Guess(f"the broker is {broker}")
    topics = re.findall(r"microclaw/[\w/-]+", json.dumps(broker))
    if not topics:
        raise Guess(f"no topic in {json.dumps(broker)}")
    return f"It goes to {fact(broker, 'address')}, topic {topics[0]}"


def watched_page(talk: Talk) -> Moves:
    """Read the page, and act by what it says."""
    page = check((yield from talk.call("web-fetch", url=talk.words(r"(http://\S+)"))))
    is_open = "open" in str(fact(page, "text", "content"))
    result = yield from talk.call("gpio-set", device=talk.board, pin=talk.number(r"pin (\d+)"), level=int(is_open))
    check(result)
    return "The page says open; the pin is on."


def kept_watch(talk: Talk) -> Moves:
    """Keep a schedule whose runs read the page, and say what the host says of its runs."""
    yield from talk.load("schedule-add")
    result = yield from talk.call("schedule-add", when="every 2 hours", do=talk.words("Every 2 hours: (.*)"))
    check(result)
    return f"It is kept. {fact(result, 'warning')}"


def button_of_another_board(talk: Talk) -> Moves:
    """Read what every tool does; refuse if none carries an event from board to board."""
    listed = yield from talk.call(MORE_TOOLS)
    names = list(fact(listed, "tools", "names"))
    for at in range(0, len(names), 20):
        yield from talk.load(*names[at : at + 20])
    for name, tool in talk.request.tools.items():
        if re.search(r"another board|from board to board|one board to", tool["description"]):
            raise Guess(f"{name} might do it")
    return "That is not possible: no tool carries a press from one board to another."
