"""`microclaw chat` without a model: a reading that is not sure waits for a yes, to that question and no other."""

from __future__ import annotations

from pathlib import Path

from tests.cli.screen import Screen
from tests.stories.conftest import running_host

LOOSE = "could the relay thingy on pin 10 be switched on for me"


def test_a_reading_is_confirmed_by_a_second_call_by_yes_or_by_enter(tmp_path: Path) -> None:
    with running_host(tmp_path / "home", "--virtual", "1") as host:
        asked = host.run("--json", "chat", LOOSE)
        assert (asked.code, asked.json["error"], asked.json["actions"]) == (1, "confirm_reading", [])
        done = host.run("--json", "chat", "yes").json
        assert [action["args"] for action in done["actions"]] == [{"pin": 10, "level": 1}]
        at_once = host.run("--json", "--yes", "chat", LOOSE).json
        assert (at_once["error"], at_once["actions"]) == ("confirm_reading", [])
        for order in ("every day at 07:30 turn on pin 4", "every day at 08:15 turn off pin 4"):
            host.run("chat", order)
        cancelled = host.run("--json", "--yes", "chat", "cancel all schedules").json
        assert [action["tool"] for action in cancelled["actions"]].count("schedule-remove") == 2
        with Screen(host.home, "chat") as screen:
            screen.wait_for("you>")
            screen.type(f"{LOOSE}\n")
            screen.wait_for("[Y/n]")
            assert host.run("--json", "chat", LOOSE.replace("10", "11")).json["error"] == "confirm_reading"
            screen.type("\n")
            screen.wait_for("Pin 10 of virtual-1 is on")
