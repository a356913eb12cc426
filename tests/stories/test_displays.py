"""Sentences about a display: what is wired is recorded, said, proved in the trial, and seen on the board itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.stories.conftest import Host, running_host, until

from microclaw.hardware.screens.screen import unpack_screen
from microclaw.hardware.screens.text_reading import ScreenReader
from microclaw.interfaces.cli.child import BoardControl
from microclaw.wire import board_control as control


@dataclass(frozen=True, slots=True)
class DisplayHome:
    """A host whose board has an OLED and a button; `board` is the control socket of the board."""

    host: Host
    name: str
    board: BoardControl

    def say(self, sentence: str) -> dict[str, Any]:
        ran = self.host.run("chat", "--json", sentence)
        answer: dict[str, Any] = ran.json
        return answer

    def shown_texts(self) -> list[str]:
        """The text in the last picture of the display."""
        rows = self.board.ask(control.Screens()).rows
        if not rows:
            return []
        row = rows[-1]
        screen = unpack_screen(row.kind, row.width, row.height, row.data, row.mark)
        reading = ScreenReader().read(screen)
        assert reading is not None
        return [line.text for line in reading.lines]

    def press(self) -> None:
        """Press the button for half a second of the board's time, and wait as long."""
        begin_ms = self.now_ms() + 100
        self.board.ask(control.SetSensor("btn1", {"pressed": 1}, begin_ms))
        self.board.ask(control.SetSensor("btn1", {"pressed": 0}, begin_ms + 500))
        until(lambda: self.now_ms() > begin_ms + 1000)

    def now_ms(self) -> float:
        return float(self.board.ask(control.Edges()).now_ms)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DisplayHome]:
    folder = tmp_path_factory.mktemp("displays") / "home"
    folder.mkdir(0o700)
    with running_host(folder, "--virtual", "1") as host:
        (row,) = host.facts["boards"]
        path = next(text for text in row["transports"] if text.startswith("virtual:")).removeprefix("virtual:")
        button = "btn1=button pin=4 bounce_ms=0"
        wired = host.run("device", "wiring", row["name"], "--add", "oled1=ssd1306", "--add", button)
        assert wired.code == 0, wired.err
        with BoardControl(Path(path)) as board:
            yield DisplayHome(host, row["name"], board)


def test_presses_are_counted_on_the_display_and_proved(home: DisplayHome) -> None:
    answer = home.say("count the presses on the display")
    assert (answer["error"], answer["actions"][0]["outcome"]) == (None, "done"), answer["answer"]
    (shown, _) = home.host.program(home.name, "display").proof["expected"]
    assert shown["text"] == 'screen oled1: "0" at 1500 ms, "1" at 3 s, "2" at 5 s'
    assert (shown["trial"], shown["board"]) == ("met in the trial", "accepted only")
    until(lambda: "0" in home.shown_texts())
    home.press()
    until(lambda: "1" in home.shown_texts())
    home.press()
    until(lambda: "2" in home.shown_texts())


def test_a_text_replaces_what_was_shown_and_is_cleared(home: DisplayHome) -> None:
    assert home.say("show 'Good morning' on the oled")["error"] is None
    until(lambda: {"Good", "morning"} <= set(" ".join(home.shown_texts()).split()))
    assert list(home.host.conditions(home.name)) == ["display"]
    assert home.say("clear the display")["error"] is None
    until(lambda: home.shown_texts() == [])


def test_a_sensor_is_shown(home: DisplayHome) -> None:
    assert home.say("show temperature and humidity on the display")["error"] is None
    until(lambda: "22.5" in " ".join(home.shown_texts()))


def test_what_no_display_is_recorded_for_is_asked(home: DisplayHome) -> None:
    answer = home.say("show hello on the lcd")
    assert answer["error"] == "ambiguous"
    assert answer["actions"] == []


def test_a_text_that_may_be_an_order_leaves_the_program_that_draws(home: DisplayHome) -> None:
    assert home.say("show hello on the display")["error"] is None
    until(lambda: home.shown_texts() == ["hello"])
    for sentence in ("write the text of the program on the display", "show battery voltage of pin 4 on the display"):
        answer = home.say(sentence)
        assert (answer["error"], answer["actions"]) == ("ambiguous", [])
    assert home.shown_texts() == ["hello"]


def test_a_display_that_only_python_draws_on_is_drawn_on_by_a_python_program(home: DisplayHome) -> None:
    wired = home.host.run("device", "wiring", home.name, "--add", "tft1=st7789 sck=12 mosi=11 dc=14 cs=10 rst=13")
    assert wired.code == 0, wired.err
    answer = home.say("show hello on tft1")
    assert (answer["error"], answer["actions"][0]["outcome"]) == (None, "done"), answer
