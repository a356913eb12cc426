"""What is kept of a trial for the bench: the last values, pictures and colors that the program caused."""

from __future__ import annotations

from microclaw.devices.registry.calls import LedChange
from microclaw.hardware.screens.screen import ShownScreen, text_screen, unpack_screen
from microclaw.programs.proof.last_states import MAX_LEDS, last_states
from microclaw.programs.proof.record import Record
from microclaw.wire.board_replies import ShownRow


def test_the_last_states_are_those_that_the_program_caused() -> None:
    hello = text_screen(5, ("Hello",))
    record = Record(
        shown=(
            ShownRow(0.0, "motor", "lost", 0.0),
            ShownRow(0.0, "motor", "steps", 0.0),
            ShownRow(5.0, "motor", "steps", 1.0),
            ShownRow(9.0, "motor", "steps", 2.0),
        ),
        screens=(
            ShownScreen(0.0, "dark", text_screen(5, ("",))),
            ShownScreen(3.0, "lcd", text_screen(5, ("",))),
            ShownScreen(4.0, "lcd", hello),
        ),
        leds=(LedChange(1.0, 7, ((1, 2, 3),)), LedChange(2.0, 7, ((255, 0, 16),) * 2_000)),
    )
    states = last_states(record)
    assert states.values == {"motor": {"steps": 2.0}}
    assert states.colors == {"7": ["ff0010"] * MAX_LEDS}
    assert states.texts == {"lcd": "Hello"}
    assert states.screens.keys() == {"lcd"}
    screen = states.screens["lcd"]
    assert unpack_screen(screen.kind, screen.width, screen.height, screen.data, screen.mark) == hello
