"""`microclaw chat` without a model: a reading that is not sure waits for a yes, to that question and no other."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.cli.conftest import clean_environ, run_in
from tests.cli.screen import Screen

from microclaw.cli.child import Child

LOOSE = "could the relay thingy on pin 10 be switched on for me"


async def test_a_reading_is_confirmed_by_a_second_call_by_yes_or_by_enter(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def talk() -> None:
        words = ["microclaw", "--json", "up", "--port", "0", "--virtual", "1", "--die-with-parent"]
        with Child("host", words, log=tmp_path / "stderr", environ=clean_environ(home)) as host:
            host.wait_ready()
            asked = run_in(home, "--json", "chat", LOOSE)
            told = json.loads(asked.out)
            assert (asked.code, told["error"], told["actions"]) == (1, "confirm_reading", [])
            done = json.loads(run_in(home, "--json", "chat", "yes").out)
            assert [action["args"] for action in done["actions"]] == [{"pin": 10, "level": 1}]
            at_once = run_in(home, "--json", "--yes", "chat", LOOSE)
            assert (json.loads(at_once.out)["error"], json.loads(at_once.out)["actions"]) == ("confirm_reading", [])
            for order in ("every day at 07:30 turn on pin 4", "every day at 08:15 turn off pin 4"):
                run_in(home, "chat", order)
            cancelled = json.loads(run_in(home, "--json", "--yes", "chat", "cancel all schedules").out)
            assert [action["tool"] for action in cancelled["actions"]].count("schedule-remove") == 2
            with Screen(home, "chat") as screen:
                screen.wait_for("you>")
                screen.type(f"{LOOSE}\n")
                screen.wait_for("[Y/n]")
                elsewhere = run_in(home, "--json", "chat", LOOSE.replace("10", "11"))
                assert json.loads(elsewhere.out)["error"] == "confirm_reading"
                screen.type("\n")
                screen.wait_for("Pin 10 of virtual-1 is on")

    await asyncio.to_thread(talk)
