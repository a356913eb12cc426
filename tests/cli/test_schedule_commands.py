"""`microclaw schedule` and `microclaw subagent` as a person types them, against a running host."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Ran, run_in


@pytest.fixture
def at(host: dict[str, Any]) -> Any:
    home = Path(host["control"]).parent
    return lambda *words: run_in(home, *words)


def number(ran: Ran) -> str:
    found = re.match(r"schedule (\d+): ", ran.out)
    assert found is not None, (ran.out, ran.err)
    return found[1]


def test_a_schedule_is_made_listed_run_and_removed(at: Any) -> None:
    made = at("schedule", "add", "every weekday at 7", "turn on pin 4")
    assert "(gpio-set, no model is asked)" in made.out
    assert re.search(r"^next: (\w+day|tomorrow), 20\d\d-\d\d-\d\d 07:00 ", made.out, re.M)
    assert "every weekday at 7" in at("schedule", "list").out
    assert at("schedule", "run", number(made)).code == 0
    shown = at("--json", "schedule", "show", number(made))
    assert json.loads(shown.out)["schema"] == "microclaw.schedule/1"
    paused = at("schedule", "pause", number(made))
    assert (
        paused.out == f"schedule {number(made)} is paused: by owner; again: microclaw schedule resume {number(made)}\n"
    )
    assert re.search(r"turn on pin 4 .* - +paused: by owner", at("schedule", "list").out)
    assert "is due next " in at("schedule", "resume", number(made)).out
    removed = at("schedule", "rm", number(made))
    assert removed.out == "removed: every weekday at 7: turn on pin 4\n"
    assert at("schedule", "show", number(made)).code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("2020-01-01 8:00", "turn on pin 4"), "is in the past"),
        (("at 7", "turn on pin 4"), "07:00 or 19:00"),
        (("every 5 seconds", "turn on pin 4"), "once a minute"),
        (("in 20 minutes", "order a pizza"), "kinds of sentence without a model"),
        (("in 20 minutes", "turn on the pump"), "Which pin?"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_what_to_do(at: Any, words: tuple[str, ...], said: str) -> None:
    ran = at("schedule", "add", *words)
    assert ran.code == 1
    assert said in ran.err
    assert "\nnext: " in ran.err


def test_a_sentence_in_the_chat_is_kept_told_and_cancelled(at: Any) -> None:
    assert "Schedule " in at("chat", "turn off pin 4 at 22:00").out
    assert "turn off pin 4" in at("chat", "what is scheduled").out
    assert "Cancelled: " in at("chat", "cancel the 22:00 schedule").out
    assert "Nothing is scheduled." in at("chat", "what is scheduled").out


def test_no_subagent_works(at: Any) -> None:
    assert at("subagent", "list").out == "no subagent works\n"
    assert at("subagent", "cancel", "nobody").code == 1


def test_a_schedule_survives_the_new_name_of_its_device(at: Any) -> None:
    made = number(at("schedule", "add", "in 20 minutes", "turn on pin 4"))
    assert at("device", "rename", "virtual-1", "kitchen").code == 0
    try:
        assert " kitchen " in at("schedule", "list").out
        assert at("schedule", "run", made).code == 0
    finally:
        assert at("device", "rename", "kitchen", "virtual-1").code == 0
        assert at("schedule", "rm", made).code == 0


@pytest.mark.parametrize("words", [("rm", "99"), ("run", "99"), ("show", "99"), ("resume", "99"), ("pause", "99")])
def test_a_schedule_that_is_none_is_one_sentence(at: Any, words: tuple[str, ...]) -> None:
    ran = at("schedule", *words)
    assert (ran.code, ran.err) == (1, "error: there is no schedule 99\nnext: see them: microclaw schedule list\n")


def test_a_file_that_is_none_or_no_json_is_told_plainly(at: Any, tmp_path: Path) -> None:
    gone = at("schedule", "import", str(tmp_path / "cron.json"))
    assert gone.err.startswith(f"error: there is no file {tmp_path / 'cron.json'}\nnext: ")
    (tmp_path / "cron.json").write_text('{"jobs": [}')
    assert "not JSON from line 1, column 11 on" in at("schedule", "import", str(tmp_path / "cron.json")).err
