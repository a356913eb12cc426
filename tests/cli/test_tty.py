"""The conversation on a real terminal: line editor, history, colour."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from tests.cli.screen import TIMEOUT_S, Screen


def test_conversation_keeps_a_private_history_and_leaves_on_ctrl_d(host: dict[str, Any]) -> None:
    history = Path(host["home"]) / "chat_history"
    with Screen(Path(host["home"]), "chat") as chat:
        chat.wait_for("you>")
        chat.type("what is running\r")
        chat.wait_for("answer   ")
        chat.wait_for("you>")
        chat.type("\x03")  # at the prompt it clears the line and stays
        chat.wait_for("you>")
        assert chat.ended("\x04") == 0
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "+what is running" in history.read_text()


@pytest.mark.parametrize(("words", "shown"), [((), "\x1b[32mok"), (("--no-color",), " ok")])
def test_colour_marks_what_is_proven_on_a_terminal_only_when_wanted(
    tmp_path: Path, words: tuple[str, ...], shown: str
) -> None:
    source = tmp_path / "lamp.c"
    source.write_text('#include "microclaw.h"\nvoid on_init(void) { gpio_set(gpio_open(2, GPIO_OUT), 1); }\n')
    with Screen(tmp_path / "home", "run", "--try", str(source), *words, NO_COLOR="") as trial:
        trial.wait_for("try      ")
        trial.wait_for(shown)
        assert trial.process.wait(TIMEOUT_S) == 0
