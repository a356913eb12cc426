"""The conversation on a real terminal: line editor, history, colour."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, cast

import pytest
from tests.interfaces.cli.screen import TIMEOUT_S, Screen

from microclaw.events import ApprovalAsked
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.options import GlobalOptions


def test_conversation_keeps_a_private_history_and_leaves_on_ctrl_d(host: dict[str, Any]) -> None:
    history = Path(host["home"]) / "chat_history"
    with Screen(Path(host["home"]), "chat") as chat:
        chat.wait_for("you>")
        chat.type("what is running\r")
        chat.wait_for("answer   ")
        chat.wait_for("you>")
        chat.type("\x03")  # at the prompt it clears the line and stays
        chat.wait_for("you>")
        assert chat.ended(lambda: chat.type("\x04")) == 0
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "+what is running" in history.read_text()


@pytest.mark.parametrize(
    ("typed", "ends"), [("", ["cancelled"]), ("\n", [False]), ("no\n", [False]), ("y\n", [True]), (None, ["nobody"])]
)
def test_a_chat_asks_at_a_terminal_alone_and_its_end_withdraws_the_question(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, typed: str | None, ends: list[Any]
) -> None:
    """None: nobody is at a terminal, and nobody can say yes."""
    found: list[Any] = []

    class Host:
        def decide(self, _approval_id: str, *, approved: bool, nobody: bool) -> None:
            found.append("nobody" if nobody else approved)

    (tmp_path / "typed").write_text(typed or "")
    with (tmp_path / "typed").open() as keyboard:
        monkeypatch.setattr(keyboard, "isatty", lambda: typed is not None)
        monkeypatch.setattr("sys.stdin", keyboard)
        asked = ApprovalAsked("a1", "undo", (), 300.0)
        GlobalOptions().decide(lambda: found.append("cancelled"), cast(Client, Host()), asked)
    assert found == ends


@pytest.mark.parametrize(("no_color", "shown"), [("", "\x1b[32mok"), ("1", " ok")])
def test_colour_marks_what_is_proven_on_a_terminal_only_when_wanted(tmp_path: Path, no_color: str, shown: str) -> None:
    source = tmp_path / "lamp.c"
    source.write_text('#include "microclaw.h"\nvoid on_init(void) { gpio_set(gpio_open(2, GPIO_OUT), 1); }\n')
    with Screen(tmp_path / "home", "run", "--try", str(source), NO_COLOR=no_color) as trial:
        trial.wait_for("try      ")
        trial.wait_for(shown)
        assert trial.process.wait(TIMEOUT_S) == 0
