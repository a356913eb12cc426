"""Whole turns of the offline model in small worlds: the tools answer as if all worked, and a turn is one line of text.

tests/vectors/turns.txt has the lines: a world in brackets, the line of an outcome, and below it the chats that end so.
"a | b" is said one after the other, "~ a" a quarter of an hour later. An outcome is the calls that change something, or
else a code of what was not done, or else the calls that look. A program is told by its name, its intent, the values in
its source, and the first line that its trial is held against; a sentence that is asked about by its question. "?"
stands before an outcome that is not what a person means by the sentence, and harmless: bench/ counts them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from microclaw.agent.language.pin_names import named_pins, wired_names
from microclaw.agent.models.protocol import (
    AssistantReply,
    DeviceContext,
    KnownApp,
    KnownDevice,
    Message,
    ModelReply,
    ModelRequest,
    ToolReturn,
    UserText,
)
from microclaw.agent.offline.model import OfflineModel
from microclaw.events import ProgramKind
from microclaw.hardware.boards.profile import BoardPin, BoardProfile, PinUse
from microclaw.hardware.boards.reader import VOICE, load_board
from microclaw.hardware.parts.named_parts import NamedPin
from microclaw.hardware.parts.wiring import parse_wiring

TURNS = Path(__file__).parents[2] / "vectors" / "turns.txt"
CHANGING = frozenset(
    {"gpio-set", "pwm-set", "deploy-wasm-app", "uninstall-wasm-app", "undo", "schedule-add", "schedule-remove"}
    | {"switch-program", "correct", "restart-device", "press", "set-sensor"}
)
ACTS = CHANGING | {"remember", "forget"}
BLINK = KnownApp("blink", (2,))
FADE = KnownApp("fade", (5,))
APPS = (KnownApp("blink", (4,)), FADE, KnownApp("traffic-light", (10, 11, 12)), KnownApp("thermostat", (16,)))
FACTS = (
    *("# What to remember", "- the fan is on pin 10", "- the fan is on pin 11", "- my button is on GPIO 4"),
    *("- the kitchen lamp is on pin 6", "- the valve is on pin 7 of shelf", "- the waterfall is on pin 5"),
    "- the dog is called Rex",
)
WIRED = parse_wiring(
    """
    [lamp]
    part = "led"
    pin = 5
    active = "low"
    label = "fish tank light"
    [fan]
    part = "load"
    pin = 6
    [button]
    part = "button"
    pin = 7
    [touch-key]
    part = "digital_input"
    pin = 8
    active = "high"
    [bme1]
    part = "bme280"
    address = 0x77
    [dht1]
    part = "dht22"
    data = 9
    """
)
BENCH = parse_wiring(
    """
    [motion1]
    part = "pir"
    out = 6
    [lamp]
    part = "led"
    pin = 5
    [sonar1]
    part = "hcsr04"
    trig = 15
    echo = 16
    [buz1]
    part = "buzzer"
    pin = 17
    [arm1]
    part = "servo"
    signal = 14
    label = "arm"
    [btn1]
    part = "button"
    pin = 4
    [knob1]
    part = "potentiometer"
    pin = 1
    label = "knob"
    [dht1]
    part = "dht22"
    data = 7
    """
)
OLED = parse_wiring(
    """
    [oled1]
    part = "ssd1306"
    [btn1]
    part = "button"
    pin = 4
    [sonar1]
    part = "hcsr04"
    trig = 15
    echo = 16
    """
)
DIGITS = parse_wiring(
    """
    [digits1]
    part = "tm1637"
    clk = 4
    dio = 5
    """
)
TWO_DISPLAYS = parse_wiring(
    """
    [oled1]
    part = "ssd1306"
    [lcd1]
    part = "lcd1602"
    label = "status display"
    [dht1]
    part = "dht22"
    data = 7
    [rtc1]
    part = "ds3231"
    """
)
TWO_BUTTONS = parse_wiring(
    """
    [btn1]
    part = "button"
    pin = 4
    [door-bell]
    part = "button"
    pin = 12
    """
)
HANDS = parse_wiring(
    """
    [btn1]
    part = "button"
    pin = 4
    [pot1]
    part = "potentiometer"
    pin = 1
    [enc1]
    part = "rotary_encoder"
    clk = 5
    dt = 6
    sw = 7
    [dht1]
    part = "dht22"
    data = 9
    label = "greenhouse sensor"
    [door1]
    part = "door_contact"
    pin = 10
    [pir1]
    part = "pir"
    out = 11
    [sonar1]
    part = "hcsr04"
    trig = 15
    echo = 16
    """
)
DOOR_LAMP = parse_wiring(
    """
    [lamp1]
    part = "led"
    pin = 5
    label = "door"
    [door1]
    part = "door_contact"
    pin = 10
    """
)
DOOR_RELAY = parse_wiring(
    """
    [relay1]
    part = "relay"
    pin = 5
    label = "door"
    [window-contact]
    part = "door_contact"
    pin = 10
    """
)
_MAX_STEPS = 12
_DEFINED = re.compile(r'^(?:#define )?([A-Z][A-Z0-9_]+)(?: = |[ \t]+)"?([\w.-]+)"?$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class World:
    """Boards as a chat knows them, and what a board answers that is not in there."""

    context: DeviceContext
    running: tuple[KnownApp, ...] = ()
    """Programs on each board besides those that the host put there."""
    away: frozenset[str] = frozenset()
    """Boards that do not answer."""
    takes_programs: bool = True


def kept(reply: ModelReply) -> AssistantReply:
    """A reply as the conversation keeps it: with the question that it asks."""
    return AssistantReply(reply.text, question=reply.question)


def board() -> BoardProfile:
    """A board with the pin numbers that the vectors name (the ESP32's), all free, an LED on pin 2 and both sensors."""
    uses: frozenset[PinUse] = frozenset(("input", "output", "pwm", "adc", "i2c"))
    return replace(load_board("virtual"), pins={number: BoardPin(number, uses) for number in range(40)})


def one(board_id: str, *apps: KnownApp, kinds: tuple[ProgramKind, ...] = ("wasm",), name: str = "desk") -> World:
    """A world of one board."""
    device = KnownDevice(name, load_board(board_id), apps, kinds)
    return World(DeviceContext((device,), device))


def _worlds() -> dict[str, World]:
    virtual = load_board("virtual")
    rgb = "esp32-s3-devkitc-1-v1.1"
    first = KnownDevice("virtual-1", virtual, (BLINK,))
    desk = KnownDevice("desk", load_board(rgb))
    voice = KnownDevice("kitchen", load_board(VOICE))
    shelf = KnownDevice("shelf", virtual, (KnownApp("fade", (4,)),))
    lamp = KnownDevice("lamp", virtual, (BLINK,), labels=("room=kitchen",))
    fan = KnownDevice("fan", virtual, labels=("room=kitchen", "living-room"))
    both = replace(desk, apps=APPS[:2], labels=("living-room",))
    bare = KnownDevice("virtual-1", virtual)
    bench = KnownDevice("bench-1", board())
    low = replace(bare, board=replace(virtual, led=virtual.led and replace(virtual.led, active_level=0)))
    waterfall = replace(bare, apps=(KnownApp("waterfall", (12,)),))
    own = KnownDevice("virtual-1", virtual, (KnownApp("lamp", (4,)), KnownApp("steps", (5,))))
    numbered = (KnownDevice("board-1", virtual), KnownDevice("board-2", virtual))
    led = KnownApp("led", (38,))
    places = (KnownApp("fade", (5,), since_ms=3), KnownApp("blink", (4,), since_ms=2), KnownApp("sweep", since_ms=1))
    full = replace(bare, apps=places)
    wired = replace(bare, record=WIRED)
    by_name = replace(bare, record=BENCH, kinds=("py", "wasm"))
    buttons = replace(bare, record=TWO_BUTTONS)
    hands = replace(bare, record=HANDS)
    door_lamp = replace(bare, record=DOOR_LAMP)
    door_relay = replace(bare, record=DOOR_RELAY)
    return {
        "one board": World(DeviceContext((bare,), bare), (BLINK, FADE)),
        "one board that nobody named": World(DeviceContext((bare,))),
        "a full board": World(DeviceContext((full,), full)),
        "a full board, nothing can be installed": World(DeviceContext((full,), full), takes_programs=False),
        "no board": World(DeviceContext()),
        "a led lit by low": World(DeviceContext((low,), low)),
        "40 pins": World(DeviceContext((bench,), bench), APPS),
        "names of pins": World(DeviceContext((waterfall, shelf), waterfall, named_pins(FACTS))),
        "wired parts": World(DeviceContext((wired, shelf), wired, wired_names(WIRED, wired.name))),
        "parts by their names": World(DeviceContext((by_name,), by_name, wired_names(BENCH, by_name.name))),
        "an oled": World(DeviceContext((replace(by_name, record=OLED),), replace(by_name, record=OLED))),
        "an oled, programs in C": World(DeviceContext((replace(bare, record=OLED),), replace(bare, record=OLED))),
        "four digits": World(DeviceContext((replace(by_name, record=DIGITS),), replace(by_name, record=DIGITS))),
        "two displays": World(
            DeviceContext((replace(by_name, record=TWO_DISPLAYS),), replace(by_name, record=TWO_DISPLAYS))
        ),
        "two buttons": World(DeviceContext((buttons,), buttons, wired_names(TWO_BUTTONS, buttons.name))),
        "parts for hands": World(DeviceContext((hands,), hands, wired_names(HANDS, hands.name))),
        "parts for hands, and a board without": World(DeviceContext((hands, shelf))),
        "a button on each of two boards": World(DeviceContext((hands, replace(buttons, name="desk")))),
        "a lamp called door": World(DeviceContext((door_lamp,), door_lamp, wired_names(DOOR_LAMP, bare.name))),
        "a relay called door": World(DeviceContext((door_relay,), door_relay, wired_names(DOOR_RELAY, bare.name))),
        "virtual-1 and desk": World(DeviceContext((first, desk))),
        "virtual-1, desk, shelf and a voice device": World(DeviceContext((first, desk, shelf, voice))),
        "blink on virtual-1 and stopped on desk": World(
            DeviceContext((first, replace(desk, stopped=("blink",)), shelf, voice))
        ),
        "blink on virtual-1, blinker on shelf": World(
            DeviceContext((first, replace(shelf, apps=(KnownApp("blinker", (4,)),))))
        ),
        "boards that are away": World(DeviceContext((first, desk)), away=frozenset({"virtual-1", "desk"})),
        "board-1 and board-2": World(DeviceContext(numbered)),
        "board-1, and board-2 is away": World(DeviceContext((numbered[0], replace(numbered[1], away=True)))),
        "kitchen is a voice device beside virtual-1": World(DeviceContext((voice, bare))),
        "lamp and fan in the kitchen, fan and desk in the living room": World(DeviceContext((lamp, fan, both))),
        "lamp alone in the kitchen": World(
            DeviceContext((replace(lamp, labels=("kitchen",)), replace(fan, labels=()), both))
        ),
        "a board called kitchen": World(
            DeviceContext((replace(lamp, name="kitchen", labels=()), replace(fan, labels=()), both))
        ),
        "lamp alone": World(DeviceContext((lamp,), lamp)),
        "kitchen is a label and a device": World(DeviceContext((lamp, fan, both, voice))),
        "the pump of the lamp": World(DeviceContext((lamp, fan, both), names=(NamedPin("pump", 11, "lamp"),))),
        "the pump": World(DeviceContext((lamp, fan, both), names=(NamedPin("pump", 11),))),
        "a program called like its board": World(
            DeviceContext((replace(lamp, apps=(KnownApp("lamp", (2,)),)), fan, both))
        ),
        "lamp and steps on virtual-1, btn stopped on desk": World(
            DeviceContext((own, KnownDevice("desk", virtual, stopped=("btn",))))
        ),
        "an addressable led, MicroPython": one(rgb, kinds=("py",)),
        "an addressable led, both kinds": one(rgb, kinds=("wasm", "py")),
        "an addressable led, WASM": one(rgb),
        "an addressable led with its program": one(rgb, led, kinds=("py",)),
        "a plain led, MicroPython": one("virtual", kinds=("py",)),
        "no led, MicroPython": one("esp32-devkitc-v4", kinds=("py",)),
        "xiao": one("xiao-esp32s3"),
        "c6": one("esp32-c6-devkitc-1"),
    }


WORLDS: Mapping[str, World] = _worlds()


@dataclass(slots=True)
class Turn:
    """A sentence's calls, in order and in so many rounds, and its answer."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    rounds: int = 0
    intent: str | None = None
    reply: ModelReply = field(default_factory=lambda: ModelReply(""))

    @property
    def acts(self) -> list[tuple[str, dict[str, Any]]]:
        return [call for call in self.calls if call[0] in ACTS]

    @property
    def outcome(self) -> str:
        """The turn as a line of the vectors."""
        code = self.reply.failed_code
        if code is not None and not self.acts:
            if code == "confirm_reading":
                return f"{code}: {self.reply.text}"
            return code
        told = [self._told(*call) for call in self.acts or self.calls]
        return "; ".join([*told, *filter(None, [code])]) or "an answer"

    def _told(self, tool: str, arguments: dict[str, Any]) -> str:
        if tool == "deploy-wasm-app":
            if "device" in arguments:
                where = f" on {arguments['device']}"
            else:
                where = ""
            values = " ".join(f"{name}={value}" for name, value in _DEFINED.findall(arguments["sourceCode"]))
            expected = str(arguments.get("expect") or "nothing").partition("\n")[0]
            return f"{arguments['appName']}{where}: {self.intent}; {values}; {expected}"
        return " ".join([tool, *(f"{name}={_short(value)}" for name, value in arguments.items())])


def _short(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value)


class Chat:
    """Sentences said one after the other in a world, where every tool works. `first`: fields of the first answer."""

    def __init__(self, world: World, **first: Any) -> None:
        self.world = world
        self._first = first
        self.messages: list[Message] = []
        self._model = OfflineModel()
        self._installed: set[str] = set()
        self._stopped: set[str] = set()
        self._schedules: dict[int, dict[str, Any]] = {}
        self._pin_changes: list[dict[str, Any]] = []
        self._number = 0

    async def say(self, sentence: str, *, late: bool = False) -> Turn:
        """The whole turn. `late`: a quarter of an hour after the one before."""
        if late and isinstance(last := self.messages[-1], AssistantReply):
            self.messages[-1] = AssistantReply(last.text, question=last.question, question_expired=True)
        turn = Turn()
        messages = [*self.messages, UserText(sentence)]
        for _ in range(_MAX_STEPS):
            turn.reply = await self._model.respond(
                ModelRequest("", tuple(messages), (), device_context=self.world.context)
            )
            turn.intent = turn.intent or turn.reply.intent
            if not turn.reply.calls:
                break
            turn.rounds += 1
            messages.append(AssistantReply("", turn.reply.calls))
            for call in turn.reply.calls:
                arguments = json.loads(call.arguments)
                fields = self._answer(call.name, arguments) | self._first
                if fields.get("error") != "too_many_apps":
                    turn.calls.append((call.name, arguments))
                self._first = {}
                messages.append(ToolReturn(call.call_id, call.name, json.dumps(fields), failed=not fields["success"]))
        self.messages += [UserText(sentence), kept(turn.reply)]
        return turn

    def _answer(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        context = self.world.context
        device = context.meant or context.devices[0]
        device = next((one for one in context.devices if one.name == arguments.get("device")), device)
        if device.name in self.world.away:
            return {"success": False, "error": "device_unreachable", "message": "it is away", "device": device.name}
        if tool == "deploy-wasm-app" and self._is_full(device, arguments["appName"]):
            oldest_first = sorted(device.apps, key=lambda app: app.since_ms)
            full = {"success": False, "error": "too_many_apps", "message": "it is full"}
            return full | {"replaceable": [app.name for app in oldest_first]}
        if tool == "deploy-wasm-app" and not self.world.takes_programs:
            return {"success": False, "error": "trap", "message": "it trapped in its trial", "device": device.name}
        self._number += 1
        fields: dict[str, Any] = {"success": True, "device": device.name, "pin": arguments.get("pin")}
        fields["change"] = self._number
        match tool:
            case "gpio-get":
                fields["level"] = 0
            case "correct":
                fields["undone"] = [{"message": f"undone: change {number}"} for number in arguments["undo"]]
                pins = arguments.get("pins", ())
                fields["pins"] = [{"device": device.name, "change": 100 + n, **one} for n, one in enumerate(pins)]
            case "gpio-set":
                fields["level"] = arguments["level"]
                self._pin_changes.insert(0, self._pin_change(device.name, arguments))
            case "adc-read":
                fields |= {"volts": 1.65, "raw": 2048}
            case "i2c-read":
                names = ("temperature_c", "humidity_pct", "pressure_hpa", "voltage_v", "current_ma", "power_mw")
                fields["values"] = dict.fromkeys(names, 20.0)
            case "uninstall-wasm-app" | "switch-program":
                fields |= {"appName": arguments["appName"], "verified": True}
                if arguments.get("switch", "stop") == "stop":
                    self._stopped.add(arguments["appName"])
            case "device-info" | "device-status":
                fields["facts"] = {"firmware": "v1", "uptime_s": 5, "free_heap_kb": 200}
            case "time":
                fields |= {"now": "2026-11-23T07:00:00+01:00", "weekday": "Monday", "zone": "Europe/Berlin"}
            case "list-changes":
                fields["changes"] = self._pin_changes
            case "catalog":
                fields["entries"] = [["watering", "water a plant when the soil is dry", ["c", "py"]]]
            case "list-devices":
                fields["devices"] = []
            case "query-wasm-apps":
                listed = (*device.apps, *self.world.running)
                fields["apps"] = [{"name": app.name, "state": "running", "pins": list(app.pins)} for app in listed]
                fields["stopped"] = list(device.stopped)
            case "deploy-wasm-app":
                fields |= {"appName": arguments["appName"], "verified": True}
                fields["replaced"] = arguments["appName"] in self._installed
                self._installed.add(arguments["appName"])
            case "schedule-add":
                number = len(self._schedules) + 1
                made = {"schedule": number, "when": "then", "what": arguments["do"], "next": "Monday, 7:00"}
                made["kind"] = "cron" if "repeat" in arguments["when"] else "once"
                self._schedules[number] = made
                fields |= made
            case "schedule-list":
                fields["schedules"] = list(self._schedules.values())
            case "schedule-remove":
                fields |= {"removed": arguments["schedule"]}
                self._schedules.pop(arguments["schedule"], None)
            case "remember":
                fields |= {"new": True, "line": f"- {arguments['text']}", "file": "memory/MEMORY.md"}
            case "forget":
                fields["removed"] = [{"line": f"- {arguments['text']}"}]
        return fields

    def _is_full(self, device: KnownDevice, name: str) -> bool:
        names = {app.name for app in device.apps}
        has_room = len(names - self._stopped) < device.board.firmware.max_apps
        return name not in names and not has_room

    def _pin_change(self, device: str, arguments: dict[str, Any]) -> dict[str, Any]:
        level = ("low", "high")[arguments["level"]]
        text = f"set pin {arguments['pin']} of {device} {level}"
        at = "2026-11-23T06:59:00+01:00"
        change = {"change_id": self._number, "kind": "gpio.set", "state": "done", "at_ms": at}
        return {**change, "summary": text, "device": device}


async def converse(world: World, said: str) -> Turn:
    """The last turn of a chat of the vectors."""
    chat = Chat(world)
    turn = Turn()
    for sentence in said.split(" | "):
        turn = await chat.say(sentence.removeprefix("~ "), late=sentence.startswith("~ "))
    return turn


class Vector(NamedTuple):
    """A chat in a world and its outcome; `part` names those of a world that are measured."""

    world: str
    part: str
    outcome: str
    is_right: bool
    chat: str


def vectors() -> Iterator[Vector]:
    world = part = outcome = ""
    for line in TURNS.read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            yield Vector(world, part, outcome.removeprefix("? "), not outcome.startswith("? "), line.strip())
        elif line.startswith("["):
            world, _, part = line.strip("[]").partition(": ")
        elif line and not line.startswith("#"):
            outcome = line
