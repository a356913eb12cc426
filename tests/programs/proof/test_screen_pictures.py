"""What a trial says of displays: the number of pictures, and the last picture of each."""

from __future__ import annotations

import base64
import json

import pytest

from microclaw.hardware.screens.picture import draw_png
from microclaw.hardware.screens.screen import Screen, ScreenKind, ShownScreen, blank_pixels, text_screen
from microclaw.hardware.screens.text_reading import ScreenReader
from microclaw.programs.proof.screen_pictures import MAX_DISPLAYS, MAX_TEXT_CHARS, draw_pictures, unsent_drawing
from microclaw.programs.proof.trial import Trial
from microclaw.programs.proof.trial_failure import trial_error

DOT = Screen("pixels", 8, 4, b"\x80\0\0\0")


def trial_with(*screens: ShownScreen, ok: bool = True) -> Trial:
    pictures = draw_pictures(screens, ScreenReader())
    return Trial(ok=ok, ended="running", screens=screens, pictures=pictures, board_ms=10_000)


def test_the_summary_counts_the_pictures_after_the_programs_start() -> None:
    trial = trial_with(
        ShownScreen(0.0, "oled1", blank_pixels(8, 4)),
        ShownScreen(0.0, "lcd1", text_screen(2, ("ab",))),
        ShownScreen(12.5, "oled1", DOT),
        ShownScreen(99.0, "oled1", blank_pixels(8, 4)),
    )
    assert trial.summary().endswith(": oled1: 2 pictures")
    assert trial.moved
    assert [picture.part for picture in trial.pictures] == ["oled1"]


def test_the_document_has_the_last_picture_of_each_display_as_lines_and_as_an_image() -> None:
    clock = Screen("digits", 2, 1, b"\x06\x5b")
    trial = trial_with(
        ShownScreen(5.0, "oled1", blank_pixels(8, 4)),
        ShownScreen(7.25, "oled1", DOT),
        ShownScreen(9.0, "clock1", clock),
    )
    oled, digits = json.loads(json.dumps(trial.to_json()))["screens"]
    png = oled.pop("png")
    assert base64.b64decode(png) == draw_png(DOT)
    assert oled == {
        "part": "oled1",
        "t_ms": 7.25,
        "count": 2,
        "kind": "pixels",
        "width": 8,
        "height": 4,
        "lines": ["┌────┐", "│⠁⠀⠀⠀│", "└────┘"],
        "text": "⠁",
    }
    assert (digits["part"], digits["kind"], digits["count"]) == ("clock1", "digits", 1)


def test_ten_thousand_pictures_of_a_dozen_displays_are_four_images() -> None:
    screens = [ShownScreen(1.0 + number, f"oled{number % 12}", DOT) for number in range(10_000)]
    assert len(draw_pictures(screens, ScreenReader())) == MAX_DISPLAYS


def test_a_model_gets_characters_in_words_and_no_long_drawing() -> None:
    noise = Screen("pixels", 128, 64, bytes(range(256)) * 4)
    kinds: list[tuple[ScreenKind, str]] = []
    for screen in (text_screen(4, ("22  ", "  \ue001 ")), noise):
        (picture,) = draw_pictures([ShownScreen(1.0, "part1", screen)], ScreenReader())
        assert len(picture.text) <= MAX_TEXT_CHARS
        kinds.append((screen.kind, picture.text))
    assert kinds[0][1].startswith("22")
    assert kinds[1] == ("pixels", "")


def test_the_error_of_a_failed_trial_has_the_pictures() -> None:
    error = trial_error(trial_with(ShownScreen(7.0, "oled1", DOT), ok=False))
    assert [picture.part for picture in error.screens] == ["oled1"]
    assert "shown: oled1: 1 picture" in [note.message for note in error.diagnostics]


@pytest.mark.parametrize(
    ("source", "method"),
    [
        ("oled = SSD1306_I2C(128, 64, i2c)\noled.text('hi', 0, 0)\n", "show()"),
        ("#include <Adafruit_SSD1306.h>\nvoid setup() { oled.print(1); }", "display()"),
        ('U8G2_SSD1306 oled;\nvoid setup() { oled.drawStr(0, 9, "hi"); }', "sendBuffer()"),
        ("oled.text('hi', 0, 0)\noled.show()\n", None),
        ("#include <Adafruit_SSD1306.h>\nvoid setup() { Serial.println(1); }", None),
        ("from microclaw import screen\nscreen.text('')\n", None),
    ],
)
def test_a_picture_that_is_drawn_and_never_sent_is_told(source: str, method: str | None) -> None:
    blank = ShownScreen(5.0, "oled1", blank_pixels(8, 4))
    warnings = list(unsent_drawing((blank,), source))
    if method is None:
        assert warnings == []
    else:
        (warning,) = warnings
        assert method in warning
        assert "oled1" in warning
    assert list(unsent_drawing((blank, ShownScreen(7.0, "oled1", DOT)), source)) == []
