"""A host that is kept: settings, schedules, skills, the security log, what is missing here."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from tests.stories.conftest import Host, microclaw, until

BOARD = "virtual-1"


def test_a_setting_is_written_read_and_checked(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert microclaw(home, "config", "set", "agent.turn_s", "60").code == 0
    assert tomllib.loads((home / "config.toml").read_text()) == {"agent": {"turn_s": 60}}
    got = microclaw(home, "--json", "config", "get", "agent.turn_s")
    assert [one["value"] for one in got.json["settings"]] == [60]
    before = (home / "config.toml").read_bytes()
    wrong = microclaw(home, "--json", "config", "set", "agent.turn_s", "banana")
    assert (wrong.code, wrong.json["error"]["code"]) == (1, "config_error")
    assert (home / "config.toml").read_bytes() == before
    assert microclaw(home, "config", "check").code == 0


def test_mistakes_of_a_file_stop_the_host(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text("[agent]\nturn_s = 0\nno_such = 1\n")
    checked = microclaw(home, "--json", "config", "check")
    assert (checked.code, [one["line"] for one in checked.json["mistakes"]]) == (1, [2, 3])
    assert microclaw(home, "--json", "up", "--port", "0").code == 1


def test_the_doctor_looks_at_this_machine_and_at_a_board(host: Host) -> None:
    looked = host.run("--json", "doctor")
    parts = {one["part"]: one["ok"] for one in looked.json["findings"]}
    assert looked.code == (0 if looked.json["ok"] else 1)
    assert (parts["python"], parts["compiler"], parts["config"]) == (True, True, True)
    checked = host.run("--json", "device", "check", BOARD)
    assert checked.code == 0


def test_a_schedule_runs_pauses_resumes_and_goes(host: Host) -> None:
    made = host.run("--json", "schedule", "add", "every weekday at 7", f"turn on pin 14 on {BOARD}")
    assert (made.code, made.json["kind"], made.json["tool"]) == (0, "cron", "gpio-set")
    number = str(made.json["schedule"])
    assert host.run("schedule", "run", number).code == 0
    until(lambda: host.level(BOARD, 14) == 1)
    runs = host.run("--json", "schedule", "list", number).json["runs"]
    assert [run["state"] for run in runs] == ["done"]
    paused = host.run("--json", "schedule", "pause", number).json
    assert (paused["state"], paused["next_ms"]) == ("paused", None)
    assert host.run("--json", "schedule", "resume", number).json["next_ms"] == made.json["next_ms"]
    assert host.run("schedule", "rm", number).code == 0
    assert host.run("schedule", "list", number).code == 1


def test_memory_is_edited_and_the_old_text_is_kept(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "- the pump is on pin 9" >> "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(editor))
    assert host.run("memory", "edit").code == 0
    assert "pump" in host.run("--json", "memory", "show").json["text"]
    assert host.run("--json", "memory", "search", "pump").json["found"]


def test_a_skill_of_ones_own_is_listed_and_its_mistakes_are_told(host: Host) -> None:
    folder = host.home / "skills" / "lamp"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: lamp\ndescription: Lights a lamp when it is dark.\n---\n\nDo it.\n")
    skills = {one["name"]: one["shipped"] for one in host.run("--json", "memory", "skills").json["skills"]}
    assert (skills["lamp"], True in skills.values()) == (False, True)
    assert host.run("memory", "check-skills").code == 0
    (folder / "SKILL.md").write_text("no head\n")
    assert host.run("memory", "check-skills", "lamp").code == 1


def test_words_of_other_tools_lead_to_the_command_that_does_it(tmp_path: Path) -> None:
    for word in ("ls", "install", "login", "monitor", "compile"):
        ran = microclaw(tmp_path / "home", word)
        assert (ran.code, ran.out) == (2, "")
        assert "microclaw" in ran.err.partition("next: ")[2]
