"""Recordings of real programs on a real board: their lines are true, and a trial of the program meets them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from msgspec import Struct
from tests.interfaces.api.people_host import PeopleHost, people_host
from tests.programs.bench.board_relay import board_relay
from tests.programs.bench.conftest import wire

from microclaw.devices.registry.calls import AppInstall
from microclaw.devices.transports.virtual_board import VirtualBoardTransport
from microclaw.errors import DeviceUnreachable
from microclaw.events import ProgramKind
from microclaw.hardware.boards.firmware import with_micropython
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.bench.hands import board_control
from microclaw.programs.building import PY_CLAIM_BYTES, ProgramImage, cached_compiler
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.wire.board_control import Advance, Info, Power, Py

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEVICE: Final = "/v1/devices/virtual-1"
BOARD: Final = load_board("virtual")
COUNTER_C: Final = """
#include <Wire.h>
#include <Adafruit_GFX.h>
#include <Adafruit_SSD1306.h>
Adafruit_SSD1306 display(128, 64, &Wire, -1);
bool wasPressed = false;
int count = 0;
void show() {
  display.clearDisplay();
  display.setTextColor(SSD1306_WHITE);
  display.setCursor(0, 0);
  display.print("Presses ");
  display.print(count);
  display.display();
}
void setup() {
  pinMode(4, INPUT_PULLUP);
  pinMode(42, OUTPUT);
  digitalWrite(42, HIGH);
  display.begin(SSD1306_SWITCHCAPVCC, 0x3C);
  show();
}
void loop() {
  bool pressed = digitalRead(4) == LOW;
  if (pressed != wasPressed) {
    wasPressed = pressed;
    digitalWrite(42, pressed ? LOW : HIGH);
    if (pressed) { count++; show(); }
    delay(20);
  }
  delay(5);
}
"""
COUNTER_PY: Final = """
from time import sleep_ms
import ssd1306
from machine import I2C, Pin
oled = ssd1306.SSD1306_I2C(128, 64, I2C(0, scl=Pin(9), sda=Pin(8)))
button = Pin(4, Pin.IN, Pin.PULL_UP)
lamp = Pin(42, Pin.OUT, value=1)
was_pressed = False
count = 0
def show():
    oled.fill(0)
    oled.text("Presses %d" % count, 0, 0)
    oled.show()
show()
while True:
    pressed = button.value() == 0
    if pressed != was_pressed:
        was_pressed = pressed
        lamp.value(not pressed)
        if pressed:
            count += 1
            show()
        sleep_ms(20)
    sleep_ms(5)
"""
DIMMER_PY: Final = """
from machine import ADC, PWM, Pin
from time import sleep_ms
pot = ADC(Pin(1), atten=ADC.ATTN_11DB)
led = PWM(Pin(5), freq=1000)
while True:
    led.duty_u16(pot.read_u16())
    sleep_ms(50)
"""
DOOR_C: Final = """
const int DOOR = 4;
const int BUZZER = 5;
bool wasOpen = false;
void setup() {
  Serial.begin(115200);
  pinMode(DOOR, INPUT_PULLUP);
  pinMode(BUZZER, OUTPUT);
}
void loop() {
  bool open = digitalRead(DOOR) == HIGH;
  if (open != wasOpen) {
    Serial.println(open ? "door open" : "door closed");
    wasOpen = open;
    digitalWrite(BUZZER, open);
    delay(30);
  }
  delay(10);
}
"""
DOOR_PY: Final = """
from machine import Pin
from time import sleep_ms
door = Pin(4, Pin.IN, Pin.PULL_UP)
buzzer = Pin(5, Pin.OUT, value=0)
was_open = False
while True:
    is_open = door.value() == 1
    if is_open != was_open:
        was_open = is_open
        print("door open" if is_open else "door closed")
        buzzer.value(is_open)
        sleep_ms(30)
    sleep_ms(10)
"""


class Story(Struct, frozen=True):
    """A program, what is wired, what hands do (board time after the recording's begin in ms, part, body), the lines."""

    language: str
    source: str
    wired: tuple[str, ...]
    hands: tuple[tuple[float, str, dict[str, Any]], ...]
    followed: tuple[str, ...]


PRESSES: Final = tuple((at_ms, "btn1", {"verb": "press", "for_ms": 150}) for at_ms in (100.0, 700.0, 1300.0))
TURNS: Final = ((100.0, "pot1", {"settings": ["70%"]}), (1400.0, "pot1", {"values": {"position": 20}}))
OPENINGS: Final = (
    (100.0, "door1", {"values": {"open": 1}}),
    (800.0, "door1", {"values": {"open": 0}}),
    (1500.0, "door1", {"verb": "open", "for_ms": 400}),
)
COUNTER_PARTS: Final = ("btn1=button pin=4", "lamp=led pin=42 active=low", "oled1=ssd1306")
DIMMER_PARTS: Final = ("pot1=potentiometer pin=1", "led1=led pin=5")
DOOR_PARTS: Final = ("door1=door_contact pin=4", "buzz1=buzzer pin=5")
COUNTED: Final = (
    "when btn1 is pressed: pin 42 falls within",
    "when btn1 is not pressed: pin 42 rises within",
    'screen oled1: "Presses 1" at',
    'screen oled1: "Presses 3" at',
)
DIMMED: Final = ("led1: brightness 70", "led1: brightness 20")
OPENED: Final = (
    "when door1 is open: pin 5 rises within",
    "when door1 is not open: pin 5 falls within",
    'when door1 is open: log ~ "door open" within',
)
STORIES: Final = {
    "counter in C++": Story("c++", COUNTER_C, COUNTER_PARTS, PRESSES, COUNTED),
    "counter in Python": Story("python", COUNTER_PY, COUNTER_PARTS, PRESSES, COUNTED),
    "dimmer in Python": Story("python", DIMMER_PY, DIMMER_PARTS, TURNS, DIMMED),
    "door in C++": Story("c++", DOOR_C, DOOR_PARTS, OPENINGS, OPENED),
    "door in Python": Story("python", DOOR_PY, DOOR_PARTS, OPENINGS, OPENED),
}


async def image_of(story: Story, build_cache: Path) -> ProgramImage:
    board = BOARD
    kinds: tuple[ProgramKind, ...] = ("wasm",)
    if story.language == "python":
        board = with_micropython(BOARD)
        kinds = ("py",)
    compile_source = cached_compiler(BuildCache(build_cache))
    return await compile_source(story.source, board, "recorded", "O3", None, kinds)


async def advance_to(control: VirtualBoardTransport, board_ms: float) -> None:
    now_ms = (await control.request(Info())).now_ms
    await control.request(Advance(board_ms - now_ms))


async def install(host: PeopleHost, control: VirtualBoardTransport, story: Story, image: ProgramImage) -> None:
    if story.language == "python":
        await control.call(AppInstall("recorded", image.code, PY_CLAIM_BYTES, kind="py"), 30.0)
        return
    await host.stream("owner", f"{DEVICE}/apps", {"name": "recorded", "source": story.source})
    assert "recorded" in await host.apps()


async def uninstall(host: PeopleHost, control: VirtualBoardTransport, story: Story) -> None:
    if story.language == "python":
        await control.request(Py("remove", {"name": "recorded"}))
        return
    await host.stream("owner", f"{DEVICE}/apps/recorded", {}, method="DELETE")
    assert "recorded" not in await host.apps()


async def record(
    host: PeopleHost, control: VirtualBoardTransport, hands: Sequence[tuple[float, str, dict[str, Any]]]
) -> dict[str, Any]:
    """Do everything with hands while it is recorded, and return the recording.

    The program has begun before: what its pins do then is no reaction to a hand.
    """
    await control.request(Advance(1000))
    status, begun = await host.ask("ada", "POST", f"{DEVICE}/recording", {})
    assert (status, begun["running"], begun["lines"]) == (200, True, [])
    begin_ms = (await control.request(Info())).now_ms
    for at_ms, part, body in hands:
        await advance_to(control, begin_ms + at_ms)
        path = f"{DEVICE}/parts/{part}"
        if "verb" in body:
            status, moved = await host.ask("ada", "POST", f"{path}/do", body)
        else:
            status, moved = await host.ask("ada", "PATCH", path, body)
        assert status == 200, moved
    await advance_to(control, begin_ms + hands[-1][0] + 1500)
    status, shown = await host.ask("ada", "GET", f"{DEVICE}/recording")
    assert (status, shown["running"]) == (200, True)
    status, recording = await host.ask("ada", "DELETE", f"{DEVICE}/recording")
    assert status == 200, recording
    assert not recording["running"]
    return dict(recording)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PeopleHost]:
    """Its board's time passes as the test says: no program is late for a hand."""
    async with people_host(tmp_path_factory.mktemp("recorded") / "home", clock="virtual") as running:
        yield running


@pytest.mark.parametrize("name", STORIES)
async def test_what_was_recorded_is_met_by_a_trial_of_the_program(
    host: PeopleHost, build_cache: Path, name: str
) -> None:
    story = STORIES[name]
    control = await wire(host, *story.wired)
    image = await image_of(story, build_cache)
    await install(host, control, story, image)
    try:
        recording = await record(host, control, story.hands)
    finally:
        await uninstall(host, control, story)
    texts = [line["text"] for line in recording["lines"]]
    kinds = [line["kind"] for line in recording["lines"]]
    assert kinds.count("stimulus") == len({(at_ms, part) for at_ms, part, _ in story.hands}) - ("door" in name)
    for beginning in story.followed:
        assert any(text.startswith(beginning) for text in texts), "\n".join(texts)
    board = BOARD
    if story.language == "python":
        board = with_micropython(BOARD)
    options = TrialOptions(expectations=parse_expectations("\n".join(texts)), record=host.device.record)
    trial = await try_image(image, board, options)
    assert trial.proof == "met in the trial", [result.line() for result in trial.expected]
    assert trial.ok, trial.error


async def test_a_press_without_a_reaction_leaves_no_line_about_all_presses(host: PeopleHost, build_cache: Path) -> None:
    """The program looks away after two presses; the third one is recorded, and has no effect."""
    source = DOOR_C.replace("bool wasOpen", "int count = 0;\nbool wasOpen").replace(
        "bool open = digitalRead(DOOR) == HIGH;",
        "bool open = digitalRead(DOOR) == HIGH && count < 4;",
    )
    story = Story("c++", source.replace("wasOpen = open;", "wasOpen = open; count++;"), DOOR_PARTS, (), ())
    hands = [(at_ms, "door1", {"verb": "open", "for_ms": 200}) for at_ms in (100.0, 700.0, 1300.0)]
    control = await wire(host, *story.wired)
    await install(host, control, story, await image_of(story, build_cache))
    try:
        recording = await record(host, control, hands)
    finally:
        await uninstall(host, control, story)
    texts = [line["text"] for line in recording["lines"]]
    assert len([text for text in texts if text.startswith("open door1")]) == 3
    assert [text for text in texts if text.startswith("when door1 is open")] == []
    parse_expectations("\n".join(texts))


async def test_a_device_has_one_recording_and_a_real_board_has_none(host: PeopleHost) -> None:
    path = f"{DEVICE}/recording"
    status, answer = await host.ask("ada", "GET", path)
    assert (status, answer["error"]["code"]) == (404, "unknown_name")
    assert (await host.ask("gus", "POST", path, {}))[0] == 403
    assert (await host.ask("ada", "POST", path, {}))[0] == 200
    status, answer = await host.ask("bob", "POST", path, {})
    assert (status, answer["error"]["code"]) == (502, "call_rejected")
    status, recording = await host.ask("ada", "DELETE", path)
    assert (status, recording["lines"], recording["note"]) == (200, [], None)
    assert (await host.ask("ada", "DELETE", path))[0] == 404
    board = {"name": "lab", "board": "esp32-devkitc-v4", "transports": ["wasmachine://127.0.0.1:9"]}
    assert (await host.ask("owner", "POST", "/v1/devices", board))[0] == 201
    status, answer = await host.ask("ada", "POST", "/v1/devices/lab/recording", {})
    assert (status, answer["error"]["code"]) == (409, "not_supported")


async def test_a_restart_of_the_board_ends_the_recording(host: PeopleHost) -> None:
    control = await wire(host, *DOOR_PARTS)
    assert (await host.ask("ada", "POST", f"{DEVICE}/recording", {}))[0] == 200
    await host.ask("ada", "POST", f"{DEVICE}/parts/door1/do", {"verb": "close"})
    await control.request(Power("reset"))
    status, recording = await host.ask("ada", "DELETE", f"{DEVICE}/recording")
    assert (status, recording["running"]) == (200, False)
    assert "was restarted" in recording["note"]


@pytest.mark.parametrize("hangs_up", [False, True])
@pytest.mark.parametrize("request_name", ["edges", "log", "pins", "apps"])
async def test_a_restart_between_two_answers_ends_the_recording(
    host: PeopleHost, tmp_path: Path, request_name: str, *, hangs_up: bool
) -> None:
    """The note names the restart, not what failed by it."""
    control = await wire(host, *DOOR_PARTS)
    path = tmp_path / "relay.sock"
    async with board_relay(control, path) as relay:
        await host.devices.add("relayed", "virtual", (f"virtual:{path}",))
        assert (await host.ask("ada", "POST", "/v1/devices/relayed/recording", {}))[0] == 200
        relay.hangs_up = hangs_up
        relay.reset_before = request_name
        status, recording = await host.ask("ada", "DELETE", "/v1/devices/relayed/recording")
        await host.devices.remove("relayed")
    assert (status, recording["running"]) == (200, False)
    assert recording["note"] == "it ended early: relayed was restarted"


async def test_a_recording_ends_with_its_device(host: PeopleHost, tmp_path: Path) -> None:
    control = await wire(host, *DOOR_PARTS)
    path = tmp_path / "relay.sock"
    async with board_relay(control, path) as relay:
        await host.devices.add("relayed", "virtual", (f"virtual:{path}",))
        assert (await host.ask("ada", "POST", "/v1/devices/relayed/recording", {}))[0] == 200
        hands = board_control(host.devices.get("relayed"))
        await hands.request(Info())
        await host.devices.remove("relayed")
        with pytest.raises(DeviceUnreachable, match="not in use any more"):
            await hands.request(Info())
        await relay.all_gone.wait()


async def test_a_host_that_ends_does_not_wait_for_its_recordings(tmp_path: Path) -> None:
    async with people_host(tmp_path / "home") as ending:
        assert (await ending.ask("ada", "POST", f"{DEVICE}/recording", {}))[0] == 200
