"""The limits of a chip: the checks of both languages tell of them, and the virtual board keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.errors import BuildError, Diagnostic, PinRefused
from microclaw.hardware.boards import board_ids, load_board
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.py.compile import build
from microclaw.programs.wasm.compile import compile_module
from microclaw.programs.wasm.source_language import Language
from microclaw.virtual.board import Board
from microclaw.virtual.virtual_clock import VirtualClock

CHIPS = ["esp32-devkitc-v4", "virtual", "esp32-c3-devkitm-1", "esp32-c6-devkitc-1"]
OPENS = (
    "from machine import PWM, Pin\nouts = []\nfor pin, hertz in {rows}:\n    outs.append(PWM(Pin(pin), freq=hertz))\n"
)
WITHOUT_PULL = "pin 34: it has no pull-up or pull-down"


async def tried(source: str, board: BoardProfile, folder: Path) -> Trial:
    image = await build(source, "limits", board=board, cache=BuildCache(folder))
    return await try_image(image, board, TrialOptions(for_ms=500))


def drivable(board: BoardProfile) -> list[int]:
    return [pin.number for pin in board.pins.values() if pin.reserved is None and "pwm" in pin.uses]


@pytest.mark.parametrize("board_id", CHIPS)
async def test_pwm_ends_where_the_chips_timers_and_channels_end(board_id: str, tmp_path: Path) -> None:
    board = load_board(board_id)
    pins = drivable(board)
    timers = board.pwm.groups * board.pwm.timers
    channels = board.pwm.groups * board.pwm.channels
    frequencies = [(pin, 50 * (number + 1)) for number, pin in enumerate(pins[: timers + 1])]
    one_frequency = [(pin, 1000) for pin in pins[: channels + 1]]
    for rows, what in ((frequencies, f"timers:{timers}"), (one_frequency, f"channels:{channels}")):
        right = await tried(OPENS.format(rows=tuple(rows[:-1])), board, tmp_path)
        assert right.ok, right.error
        trial = await tried(OPENS.format(rows=tuple(rows)), board, tmp_path)
        assert not trial.ok
        assert f"RuntimeError: out of PWM {what}" in (trial.error or "")
        assert "PWM" in (trial.next_step or "")


def test_pwm_of_one_frequency_shares_a_timer_and_an_ended_one_makes_room() -> None:
    board = Board(load_board("virtual"), VirtualClock())
    for number, pin in enumerate((4, 5, 6, 7)):
        board.start_pwm(pin, 128, 50 * (number + 1))
    board.start_pwm(15, 128, 50)
    with pytest.raises(PinRefused, match="out of PWM timers:4"):
        board.start_pwm(16, 128, 5000)
    board.start_pwm(7, 128, 5000)  # its timer has no other pin
    with pytest.raises(PinRefused, match="9 Hz"):
        board.start_pwm(7, 128, 9)
    board.set_output(4, 1)
    board.set_output(15, 1)
    board.start_pwm(16, 128, 777)
    assert board.is_pwm(16)


async def warnings_of(board_id: str, source: str, folder: Path, language: Language | None) -> tuple[Diagnostic, ...]:
    board = load_board(board_id)
    cache = BuildCache(folder)
    if language is None:
        return (await build(source, "limits", board=board, cache=cache)).warnings
    return (await compile_module(source, board, language=language, cache=cache)).warnings


PYTHON = "from machine import Pin\nrelay = Pin({out}, Pin.OUT)\nbutton = Pin({key}, Pin.IN, Pin.PULL_UP)\n"
SKETCH = """\
void setup() {{ pinMode({out}, OUTPUT); pinMode({key}, INPUT_PULLUP); digitalWrite({out}, 1); }}
void loop() {{ delay(1000); }}
"""
IN_C = """\
#include <microclaw.h>
int main(void) {{
    gpio_set(gpio_open({out}, GPIO_OUT), 1);
    return gpio_open({key}, GPIO_IN | GPIO_PULLUP);
}}
"""


@pytest.mark.parametrize(("source", "language"), [(PYTHON, None), (SKETCH, "sketch"), (IN_C, "c")])
async def test_each_language_tells_of_a_strapping_pin_and_of_a_pull_that_is_not_there(
    source: str, language: Language | None, build_cache: Path
) -> None:
    of_esp32 = await warnings_of("esp32-devkitc-v4", source.format(out=12, key=34), build_cache, language)
    caution = load_board("esp32-devkitc-v4").pins[12].caution
    assert sorted(each.message for each in of_esp32) == [f"pin 12: {caution}", WITHOUT_PULL]
    assert not await warnings_of("esp32-devkitc-v4", source.format(out=4, key=13), build_cache, language)


@pytest.mark.parametrize("pin", [34, 35, 36, 39])
def test_a_pull_that_the_chip_lacks_pulls_nothing(pin: int) -> None:
    board = Board(load_board("esp32-devkitc-v4"), VirtualClock())
    board.configure_pin(pin, reads=True, drives=False, pull=1)
    assert board.read_pin(pin) == 0
    assert f"pin {pin}" in board.log().records[-1].text
    with pytest.raises(PinRefused):
        board.set_output(pin, 1)


async def test_a_trial_warns_of_a_pull_that_only_shows_at_run_time(tmp_path: Path) -> None:
    source = "from machine import Pin\nimport os\npin = 34 + len(os.listdir('/'))\nPin(pin, Pin.IN, Pin.PULL_UP)\n"
    trial = await tried(source, load_board("esp32-devkitc-v4"), tmp_path)
    assert trial.warnings == (WITHOUT_PULL,)


@pytest.mark.parametrize(("board_id", "pin"), [("esp32-devkitc-v4", 25), ("virtual", 12)])
async def test_adc2_is_refused_with_its_true_reason(board_id: str, pin: int, tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        await tried(
            f"from machine import ADC, Pin\nprint(ADC(Pin({pin})).read_u16())\n", load_board(board_id), tmp_path
        )
    assert "Wi-Fi" in caught.value.diagnostics[0].message


@pytest.mark.parametrize("board_id", board_ids())
def test_each_board_has_the_limits_of_its_chip(board_id: str) -> None:
    board = load_board(board_id)
    assert board.pwm.groups
    assert board.pwm.source
    assert board.pwm.highest_hz() == 40_000_000
    strapping = [pin for pin in board.pins.values() if pin.caution and "strapping" in pin.caution]
    assert strapping
    assert all("touch" not in pin.uses for pin in board.pins.values()) == (board.chip in ("ESP32-C3", "ESP32-C6"))
