"""Programs with the wiring that people lay beside them, tried by the command line: the diagrams are Wokwi's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from msgspec import Struct
from tests.interfaces.cli.conftest import Run

BOARD = "board-esp32-s3-devkitc-1"
Wires: TypeAlias = Sequence[str]
RUNS = "for 4 s\nsoak 0 s\n"


class Project(Struct, frozen=True):
    """A folder of a person: `parts` are "id type", `wires` are "end end", as in a diagram.json."""

    name: str
    file: str
    source: str
    parts: Wires
    wires: Wires
    line: str
    expect: str


def diagram(parts: Wires, wires: Wires, board: str = BOARD) -> str:
    rows: list[dict[str, Any]] = [{"id": "esp", "type": board, "top": 0, "left": 0, "attrs": {}}]
    for part in parts:
        part_id, kind, *attrs = part.split()
        values = dict(attr.split("=") for attr in attrs)
        rows.append({"id": part_id, "type": f"wokwi-{kind}", "top": 10.4, "left": -3, "attrs": values})
    connections = [[*wire.split(), "green", ["v0"]] for wire in wires]
    return json.dumps({"version": 1, "editor": "wokwi", "parts": rows, "connections": connections})


LED = ("esp:5 r1:1", "r1:2 led1:A", "led1:C esp:GND.1")
BUTTON = ("btn1:1.l esp:4", "btn1:2.l esp:GND.2")
SONAR = ("esp:5V us1:VCC", "us1:GND esp:GND.1", "esp:6 us1:TRIG", "us1:ECHO esp:7")
PROJECTS = [
    Project(
        "LED, resistor and a button with the chip's pull-up",
        "src/sketch.ino",
        "void setup() { pinMode(4, INPUT_PULLUP); pinMode(5, OUTPUT); }\n"
        "void loop() { digitalWrite(5, digitalRead(4) == LOW); delay(5); }\n",
        ("led1 led color=red", "r1 resistor value=220", "btn1 pushbutton bounce=0"),
        (*LED, *BUTTON),
        "wired by diagram.json: led1, btn1",
        "press btn1 at 2 s for 300 ms\npin 5: rises at 2 s\npin 5: falls at 2.3 s\n",
    ),
    Project(
        "a button that a resistor pulls down, on a breadboard",
        "main.py",
        "from machine import Pin\nimport time\nb = Pin(4, Pin.IN)\nled = Pin(5, Pin.OUT)\n"
        "while True:\n    led.value(b.value())\n    time.sleep_ms(5)\n",
        ("bb1 breadboard-half", "btn1 pushbutton bounce=0", "r2 resistor value=10000", "led1 led", "r1 resistor"),
        (
            "esp:3V3.1 bb1:tp.1",
            "esp:GND.1 bb1:tn.1",
            "bb1:tp.9 btn1:1.l",
            "btn1:2.r bb1:10t.a",
            "bb1:10t.b r2:1",
            "r2:2 bb1:tn.12",
            "bb1:10t.e esp:4",
            *LED,
        ),
        "wired by diagram.json: btn1, led1",
        "press btn1 at 2 s for 300 ms\npin 5: rises at 2 s\npin 5: falls at 2.3 s\n",
    ),
    Project(
        "DHT22 and a warning light",
        "main.py",
        "import dht, time\nfrom machine import Pin\nair = dht.DHT22(Pin(15))\nled = Pin(5, Pin.OUT)\nwhile True:\n"
        "    air.measure()\n    led.value(air.temperature() > 30)\n    print(air.temperature())\n    time.sleep(2.1)\n",
        ("dht1 dht22", "led1 led", "r1 resistor"),
        ("dht1:VCC esp:3V3.1", "dht1:SDA esp:15", "dht1:GND esp:GND.1", *LED),
        "wired by diagram.json: dht1, led1",
        'dht1.temperature = 35 at 1.5 s\nlog ~ "35.0" within 3 s\n',
    ),
    Project(
        "HC-SR04 and LEDs, a sketch without a library",
        "sketch.ino",
        "void setup() { Serial.begin(115200); pinMode(6, OUTPUT); pinMode(7, INPUT); pinMode(5, OUTPUT); }\n"
        "void loop() {\n  digitalWrite(6, LOW); delayMicroseconds(2);\n  digitalWrite(6, HIGH);\n"
        "  delayMicroseconds(10); digitalWrite(6, LOW);\n  long us = pulseIn(7, HIGH);\n  int cm = us / 58;\n"
        "  digitalWrite(5, cm < 30); Serial.println(cm); delay(100);\n}\n",
        ("us1 hc-sr04", "led1 led", "r1 resistor"),
        (*SONAR, *LED),
        "wired by diagram.json: us1, led1",
        'us1.distance = 20 cm at 2 s\nlog ~ "20" within 3 s\n',
    ),
    Project(
        "HC-SR04 by the driver that people import",
        "main.py",
        "from hcsr04 import HCSR04\nfrom time import sleep_ms\ns = HCSR04(trigger_pin=6, echo_pin=7)\n"
        "while True:\n    print(round(s.distance_cm()))\n    sleep_ms(200)\n",
        ("us1 hc-sr04",),
        SONAR,
        "wired by diagram.json: us1",
        'us1 = 44 cm at 2 s\nlog ~ "44" within 3 s\n',
    ),
    Project(
        "a servo that a button turns",
        "main.py",
        "from machine import Pin, PWM\nimport time\nservo = PWM(Pin(6), freq=50, duty_u16=1638)\n"
        "b = Pin(4, Pin.IN, Pin.PULL_UP)\nwhile True:\n    if not b.value():\n        servo.duty_u16(8192)\n"
        "    time.sleep_ms(10)\n",
        ("servo1 servo", "btn1 pushbutton-6mm bounce=0"),
        ("servo1:PWM esp:6", "servo1:V+ esp:5V", "servo1:GND esp:GND.1", *BUTTON),
        "wired by diagram.json: servo1, btn1",
        "press btn1 at 2 s for 300 ms\npwm 6: 12.5 % at 2.5 s\n",
    ),
    Project(
        "a NeoPixel ring",
        "main.py",
        "from machine import Pin\nfrom neopixel import NeoPixel\nimport time\nnp = NeoPixel(Pin(6), 16)\n"
        "time.sleep(1)\n"
        "np.fill((255, 0, 0))\nnp.write()\nwhile True:\n    time.sleep(1)\n",
        ("ring1 led-ring pixels=16",),
        ("ring1:VCC esp:5V", "ring1:GND esp:GND.1", "ring1:DIN esp:6"),
        "wired by diagram.json: ring1",
        "led 6: red within 1.5 s\n",
    ),
    Project(
        "parts that nothing here knows beside a DHT11",
        "main.py",
        "import dht, time\nfrom machine import Pin\nair = dht.DHT11(Pin(15))\nwhile True:\n    air.measure()\n"
        "    print(air.humidity())\n    time.sleep(2.1)\n",
        ("dht1 dht11", "q1 npn-transistor", "scope1 logic-analyzer"),
        ("dht1:SDA esp:15", "dht1:VCC esp:3V3.1", "dht1:GND esp:GND.1", "q1:B esp:5"),
        "wired by diagram.json: dht1; not simulated: q1",
        'dht1.humidity = 70 % at 1.5 s\nlog ~ "70" within 3 s\n',
    ),
    Project(
        "an LED that lights when the pin is low",
        "main.py",
        "from machine import Pin\nimport time\nled = Pin(5, Pin.OUT)\nwhile True:\n    led.off()\n"
        "    time.sleep_ms(500)\n    led.on()\n    time.sleep_ms(500)\n",
        ("led1 led", "r1 resistor"),
        ("esp:3V3.1 r1:1", "r1:2 led1:A", "led1:C esp:5"),
        "wired by diagram.json: led1",
        "pin 5: period 1 s +- 5 %\n",
    ),
    Project(
        "a driver's second DHT22 on another pin",
        "main/main.py",
        "import dht, time\nfrom machine import Pin\nrooms = [dht.DHT22(Pin(p)) for p in (15, 16)]\nwhile True:\n"
        "    for room in rooms:\n        room.measure()\n    print(rooms[0].temperature(), rooms[1].temperature())\n"
        "    time.sleep(2.1)\n",
        ("inside dht22", "Outside dht22 temperature=-4"),
        (
            *("inside:SDA esp:15", "inside:VCC esp:3V3.1", "inside:GND esp:GND.1"),
            *("Outside:SDA esp:16", "Outside:VCC esp:3V3.1", "Outside:GND esp:GND.2"),
        ),
        "wired by diagram.json: inside, outside (Outside)",
        'Outside.temperature = -9 at 1.5 s\nlog ~ "22.5 -9.0" within 3.5 s\n',
    ),
]


def lay_out(folder: Path, project: Project) -> Path:
    """Write the project as people have it, and return its program."""
    program = folder / project.file
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(project.source)
    (folder / "diagram.json").write_text(diagram(project.parts, project.wires))
    (folder / "what.txt").write_text(project.expect + RUNS)
    return program


@pytest.mark.slow
@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_a_project_does_what_is_expected_of_its_parts(project: Project, run: Run, tmp_path: Path) -> None:
    program = lay_out(tmp_path / "project", project)
    ran = run("run", "--try", program, "--expect", tmp_path / "project" / "what.txt")
    assert (ran.code, ran.err) == (0, ""), ran.out
    assert ran.out.splitlines()[0] == project.line
    assert "met in the trial" in ran.out
    assert "warning" not in ran.out


PLAIN = PROJECTS[6]
NO_PARTS = json.dumps({"version": 1, "parts": [], "connections": []})
TOO_LONG = json.dumps({"version": 1, "parts": [], "connections": [], "comment": "x" * (10 << 20)})
CYCLE = diagram(
    ("r1 resistor", "r2 resistor", "n1 neopixel", "n2 neopixel"),
    ("r1:1 r2:2", "r1:2 r2:1", "r1:1 r1:2", "n1:DOUT n2:DIN", "n2:DOUT n1:DIN"),
)
TWICE = diagram(
    ("led1 led", "btn1 pushbutton"), (*LED[2:], *BUTTON, "led1:A esp:5", "btn1:1.r esp:4", "btn2:1.l esp:4")
)
SHARED = diagram(("dht1 dht22", "btn1 pushbutton"), ("dht1:SDA esp:4", *BUTTON))
RESERVED = diagram(("btn1 pushbutton",), ("btn1:1.l esp:33", "btn1:2.l esp:GND.1"))
OTHER_BOARD = diagram(("dht1 dht22",), ("dht1:SDA esp:D25",), "wokwi-esp32-devkit-v1")
UNKNOWN = diagram(("x1 arduino-mega", "y1 chip-foo"), ("x1:A0 esp:5",))
BAD = [
    ("a pin twice", TWICE, 0, "wired by diagram.json: led1, btn1"),
    ("two parts on a pin", SHARED, 1, "pin 4"),
    ("a reserved pin", RESERVED, 1, "btn1: pin on pin 33"),
    ("a plain ESP32", OTHER_BOARD, 1, "dht1: data on pin 25"),
    ("parts that nothing here knows", UNKNOWN, 0, "not simulated: x1, y1"),
    ("no parts", NO_PARTS, 0, "wired by diagram.json: nothing"),
    ("cycles", CYCLE, 0, "wired by diagram.json"),
    ("ten megabytes", TOO_LONG, 1, "diagram.json"),
    ("no JSON", "{ parts", 1, "diagram.json"),
    ("no diagram", '{"name": "a drawing"}', 1, "diagram.json"),
    ("no text", "\x00\x01{", 1, "TOML"),
]


@pytest.mark.parametrize(("text", "code", "shown"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_diagram_is_an_error_by_part_and_pin_or_is_taken_as_far_as_it_goes(
    text: str, code: int, shown: str, run: Run, tmp_path: Path
) -> None:
    program = lay_out(tmp_path / "project", PLAIN)
    (tmp_path / "project" / "diagram.json").write_text(text)
    ran = run("run", "--try", program, "--for", "1s", "--board", "virtual")
    assert ran.code == code, ran.err + ran.out
    assert shown in ran.out + ran.err
    assert ("next: " in ran.err) == (code != 0)


def test_the_board_is_that_of_the_diagram_unless_another_one_is_typed(run: Run, tmp_path: Path) -> None:
    program = lay_out(tmp_path / "project", PLAIN)
    diagram = {"parts": [{"id": "esp", "type": "board-esp32-devkit-c-v4"}], "connections": []}
    (tmp_path / "project" / "diagram.json").write_text(json.dumps(diagram))
    # GPIO 6 belongs to the flash of that board, and is free on the default one.
    assert run("run", "--try", program, "--for", "1s").code == 1
    assert run("run", "--try", program, "--for", "1s", "--board", "virtual").code == 0


def test_a_wiring_of_ours_goes_before_the_diagram_and_an_option_before_both(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    program = lay_out(folder, PLAIN)
    (folder / "wiring.toml").write_text('[lamp]\npart = "led"\npin = 5\n')
    assert "wired by wiring.toml: lamp" in run("run", "--try", program, "--for", "1s").out
    (tmp_path / "desk.toml").write_text('[strip]\npart = "ws2812"\ndata = 6\ncount = 16\n')
    ran = run("run", "--try", program, "--for", "1s", "--wiring", tmp_path / "desk.toml")
    assert "wired by desk.toml: strip" in ran.out
    (tmp_path / "desk.toml").write_text('[strip]\npart = "wormhole"\n')
    ran = run("run", "--try", program, "--for", "1s", "--wiring", tmp_path / "desk.toml")
    assert (ran.code, "wormhole" in ran.err) == (1, True)
    ran = run("run", "--try", program, "--wiring", tmp_path / "none.toml")
    assert (ran.code, "none.toml" in ran.err) == (1, True)


def test_a_pin_that_a_wired_part_drives_too_is_a_warning(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    program = lay_out(folder, PLAIN)
    program.write_text("from machine import Pin\nPin(4, Pin.OUT).on()\n")
    (folder / "diagram.json").write_text(diagram(("btn1 pushbutton",), BUTTON))
    assert "pin 4 has btn1, which drives it too" in " ".join(run("run", "--try", program).out.split())
