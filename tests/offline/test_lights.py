"""Sentences about addressable LEDs and servos: a pattern on a board that takes it, else the reason or a question."""

from __future__ import annotations

import json

import pytest
from tests.offline.conftest import Ask, defined, kept, only

from microclaw.boards.reader import load_board
from microclaw.events import ProgramKind
from microclaw.models.protocol import DeviceContext, KnownApp, KnownDevice, UserText

RGB_BOARD = "esp32-s3-devkitc-1-v1.1"


@pytest.mark.parametrize(
    ("sentence", "values"),
    [
        ("make the LED red", (38, 255, 0, 0)),
        ("turn the led blue", (38, 0, 0, 255)),
        ("led green", (38, 0, 255, 0)),
        ("turn on the led in orange", (38, 255, 90, 0)),
        ("make the led on pin 38 red", (38, 255, 0, 0)),
        ("make the leds on pin 5 purple", (5, 160, 0, 255)),
        ("led off", (38, 0, 0, 0)),
        ("turn off the led", (38, 0, 0, 0)),
        ("turn on the led", (38, 255, 255, 255)),
    ],
)
@pytest.mark.parametrize("kinds", [("py",), ("wasm", "py")])
async def test_the_led_gets_a_color(
    ask: Ask, sentence: str, values: tuple[int, ...], kinds: tuple[ProgramKind, ...]
) -> None:
    reply = await ask(sentence, device_context=only(RGB_BOARD, kinds))
    found = defined(reply)
    assert tuple(int(found[name]) for name in ("PIN", "RED", "GREEN", "BLUE")) == values
    assert f"led {values[0]}: {','.join(map(str, values[1:]))} within" in json.loads(reply.calls[0].arguments)["expect"]


async def test_a_pace_that_is_too_fast_for_the_led_names_the_fastest(ask: Ask) -> None:
    refused = await ask("blink the led red every 10 ms", device_context=only(RGB_BOARD, ("py",)))
    assert (refused.calls, refused.next_step) == ((), "between 20 ms and 24 h")
    accepted = await ask("blink the led red every 20 ms", device_context=only(RGB_BOARD, ("py",)))
    assert [call.name for call in accepted.calls] == ["deploy-wasm-app"]


async def test_the_led_blinks_in_a_color_and_shows_a_rainbow(ask: Ask) -> None:
    found = defined(await ask("blink the led red every 300 ms", device_context=only(RGB_BOARD, ("py",))))
    assert (found["PIN"], found["RED"], found["GREEN"], found["HALF_PERIOD_MS"]) == ("38", "255", "0", "300")
    found = defined(await ask("blink the led", device_context=only(RGB_BOARD, ("py",))))
    assert (found["PIN"], found["RED"], found["GREEN"], found["BLUE"]) == ("38", "255", "255", "255")
    found = defined(await ask("show a rainbow on the led slowly", device_context=only(RGB_BOARD, ("py",))))
    assert (found["PIN"], found["PERIOD_MS"]) == ("38", "10000")


@pytest.mark.parametrize("sentence", ["make the LED red", "blink the led red", "show a rainbow", "turn on the led"])
async def test_wasm_firmware_cannot_time_it_and_says_so(ask: Ask, sentence: str) -> None:
    reply = await ask(sentence, device_context=only(RGB_BOARD, ("wasm",)))
    assert (reply.calls, reply.failed_code is None) == ((), False)


@pytest.mark.parametrize("sentence", ["fade the led", "dim the led to 30%", "toggle the led"])
async def test_what_a_level_cannot_do_is_asked(ask: Ask, sentence: str) -> None:
    reply = await ask(sentence, device_context=only(RGB_BOARD, ("py",)))
    assert (reply.calls, reply.failed_code is None) == ((), False)


@pytest.mark.parametrize("board_id", ["virtual", "esp32-devkitc-v4"])
async def test_a_board_without_an_addressable_led_asks_for_its_pin(ask: Ask, board_id: str) -> None:
    context = only(board_id, ("py",))
    first = await ask("make the led red", device_context=context)
    second = await ask("pin 4", device_context=context, before=(UserText("make the led red"), kept(first)))
    assert defined(second)["PIN"] == "4"


async def test_a_plain_led_is_still_a_level(ask: Ask) -> None:
    reply = await ask("turn on the led", device_context=only("virtual", ("py",)))
    assert [call.name for call in reply.calls] == ["gpio-set"]


@pytest.mark.parametrize("kinds", [("py",), ("wasm",)])
@pytest.mark.parametrize(
    ("sentence", "angle"),
    [
        ("move the servo on pin 4 to 90 degrees", "90"),
        ("set the servo on pin 4 to 45", "45"),
        ("servo on pin 4 to 0 degrees", "0"),
        ("center the servo on pin 4", "90"),
    ],
)
async def test_a_servo_turns(ask: Ask, sentence: str, angle: str, kinds: tuple[ProgramKind, ...]) -> None:
    found = defined(await ask(sentence, device_context=only("virtual", kinds)))
    assert (found["PIN"], found["ANGLE"]) == ("4", angle)


async def test_a_servo_sweeps(ask: Ask) -> None:
    found = defined(await ask("sweep the servo on pin 4 every 3 seconds", device_context=only("virtual", ("py",))))
    assert (found["PIN"], found["PERIOD_MS"]) == ("4", "3000")


@pytest.mark.parametrize(
    ("sentence", "name"),
    [("make the led red", "led"), ("blink the led blue", "led"), ("show a rainbow", "led"), ("led off", "led")],
)
async def test_one_program_of_the_led_takes_the_place_of_another(ask: Ask, sentence: str, name: str) -> None:
    device = KnownDevice("desk", load_board(RGB_BOARD), (KnownApp("led", (38,)),), ("py",))
    reply = await ask(sentence, device_context=DeviceContext((device,), device))
    assert json.loads(reply.calls[0].arguments)["appName"] == name


async def test_lights_on_another_pin_have_a_program_of_their_own(ask: Ask) -> None:
    device = KnownDevice("desk", load_board(RGB_BOARD), (KnownApp("led", (38,)),), ("py",))
    reply = await ask("make the leds on pin 5 blue", device_context=DeviceContext((device,), device))
    assert json.loads(reply.calls[0].arguments)["appName"] == "led-5"


async def test_stop_led_looks_for_the_program_on_its_pin(ask: Ask) -> None:
    reply = await ask("stop led", device_context=only(RGB_BOARD, ("py",)))
    assert [call.name for call in reply.calls] == ["query-wasm-apps"]
