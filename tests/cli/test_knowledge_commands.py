"""memory, session and skill commands beside a running host: what they print, in words and as one document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run


@pytest.fixture
def home(host: dict[str, Any]) -> Path:
    return Path(host["home"])


def editor(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = folder / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(path))
    monkeypatch.delenv("VISUAL", raising=False)


def test_memory_is_edited_shown_and_found(
    ask: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor(tmp_path, monkeypatch, "echo '- the lantern hangs on pin 7' >> \"$1\"")
    edited = ask("memory", "edit")
    assert (edited.code, edited.err) == (0, "")
    assert "changed:" in edited.out
    assert "- the lantern hangs on pin 7" in ask("memory", "show").out
    found = ask("memory", "search", "where", "is", "the", "lantern")
    assert "memory/MEMORY.md" in found.out
    document = json.loads(ask("memory", "search", "lantern", "--json").out)
    assert document["schema"] == "microclaw.memory_search/1"
    assert document["found"][0]["text"] == "the lantern hangs on pin 7"
    again = ask("memory", "edit")
    assert again.code == 0
    assert list((home / "memory" / "versions").glob("MEMORY.*.md"))


def test_the_persona_is_edited_by_its_name(
    ask: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor(tmp_path, monkeypatch, "echo 'I am Ada.' >> \"$1\"")
    assert ask("memory", "edit", "USER.md").code == 0
    assert (home / "config" / "USER.md").read_text() == "I am Ada.\n"
    assert ask("memory", "show", "USER.md").out.splitlines()[0] == "I am Ada."
    unknown = ask("memory", "show", "../secrets.md")
    assert unknown.code == 1
    assert "MEMORY.md, USER.md, SOUL.md" in unknown.err
    (home / "config" / "USER.md").unlink()


def test_an_editor_that_changes_nothing_or_fails_changes_nothing(
    ask: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ask("memory", "show", "--json").out
    editor(tmp_path, monkeypatch, "true")
    assert "nothing was changed" in ask("memory", "edit").out
    editor(tmp_path, monkeypatch, 'echo lost > "$1"; exit 3')
    failed = ask("memory", "edit")
    assert failed.code == 1
    assert "next: " in failed.err
    monkeypatch.setenv("EDITOR", str(tmp_path / "no-such-editor"))
    assert ask("memory", "edit").code == 1
    assert ask("memory", "show", "--json").out == before


def test_what_was_written_is_kept_when_somebody_else_changed_it_meanwhile(
    ask: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = home / "memory" / "MEMORY.md"
    editor(tmp_path, monkeypatch, f'mkdir -p "{memory.parent}"; echo "- theirs" >> "{memory}"; echo "- mine" >> "$1"')
    refused = ask("memory", "edit")
    assert refused.code == 1
    assert "changed meanwhile" in refused.err
    kept = Path(refused.out.split("what you wrote is in ")[1].split()[0])
    assert "- mine" in kept.read_text()
    kept.unlink()
    assert "- theirs" in ask("memory", "show").out
    assert "- mine" not in ask("memory", "show").out


def test_conversations_are_imported_listed_shown_found_and_removed(ask: Run, tmp_path: Path) -> None:
    device = tmp_path / "spiffs" / "sessions"
    device.mkdir(parents=True)
    line = {"role": "user", "content": "the flamingo lamp", "ts": 1738764800}
    (device / "tg_12345.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "spiffs" / "cron.json").write_text(
        json.dumps({"jobs": [{"name": "water", "kind": "every", "interval_s": 60, "message": "look"}]})
    )
    imported = ask("session", "import", str(tmp_path / "spiffs"))
    assert imported.code == 0, imported.err
    assert "tg_12345.jsonl  taken" in imported.out
    assert "schedule water: every 60 s: look" in imported.out
    assert f"next: microclaw schedule import {tmp_path / 'spiffs' / 'cron.json'}" in imported.out
    again = json.loads(ask("session", "import", str(tmp_path / "spiffs"), "--json").out)
    assert {f["name"]: f["outcome"] for f in again["files"]}["tg_12345.jsonl"] == "same"
    assert "tg_12345" in ask("session", "list").out
    assert "the flamingo lamp" in ask("session", "show", "tg_12345").out
    assert "flamingo" in ask("memory", "search", "flamingo").out
    assert ask("session", "rm", "tg_12345", "--yes").code == 0
    gone = ask("session", "show", "tg_12345")
    assert gone.code == 1
    assert "next: " in gone.err
    assert "nothing was found" in ask("memory", "search", "flamingo").out


def test_a_time_that_no_calendar_has_is_shown_as_its_number(ask: Run, home: Path) -> None:
    (home / "sessions").mkdir(mode=0o700, exist_ok=True)
    line = '{"role":"user","content":"Hello","ts":1738764800000000}\n'
    (home / "sessions" / "tg_1.jsonl").write_text(line)
    assert "@1738764800000000  owner: Hello" in ask("session", "show", "tg_1").out


def test_a_conversation_is_not_removed_without_a_yes(ask: Run, home: Path) -> None:
    path = home / "sessions" / "tg_7.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"role":"user","content":"keep me","ts":5}\n')
    assert ask("session", "rm", "tg_7", stdin="n\n").code == 2
    assert path.exists()


def test_skills_are_listed_shown_and_checked_with_lines(ask: Run, home: Path) -> None:
    listed = ask("skill", "list")
    assert "plant-watering" in listed.out
    assert "shipped" in listed.out
    assert "# Watering plants" in ask("skill", "show", "plant-watering").out
    assert ask("skill", "check").code == 0
    broken = home / "skills" / "brewing"
    broken.mkdir(parents=True)
    head = "---\nname: brewing\ndescription: it brews tea, often\n"
    (broken / "SKILL.md").write_text(head + "metadata:\n  tools: gpio-sett\n---\nx\n")
    checked = ask("skill", "check", "brewing")
    assert checked.code == 1
    assert "brewing/SKILL.md:5:10: error: there is no tool 'gpio-sett'" in checked.out
    assert "did you mean gpio-set?" in checked.out
    document = json.loads(ask("skill", "check", "--json").out)
    assert [s["ok"] for s in document["skills"] if s["name"] == "brewing"] == [False]


@pytest.mark.parametrize("words", [("memory", "show"), ("session", "list"), ("skill", "list")])
def test_without_a_host_the_next_step_is_to_start_one(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words)
    assert ran.code == 3
    assert "next: microclaw up" in ran.err


def test_a_conversation_is_shown_and_removed_by_its_chat_alone(ask: Run) -> None:
    assert ask("chat", "turn on pin 4").code == 0
    assert "turn on pin 4" in ask("session", "show", "terminal").out
    removed = ask("--yes", "session", "rm", "terminal")
    assert removed.code == 0
    assert removed.out.startswith("removed terminal_terminal, ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("session", "show", "nope"), "there is no conversation 'nope'"),
        (("session", "rm", "nope"), "there is no conversation 'nope'"),
        (("skill", "show", "nope"), "there is no skill 'nope'"),
        (("skill", "show", ".."), "there is no skill '..'"),
    ],
)
def test_what_is_none_is_one_sentence_with_what_to_do(ask: Run, words: tuple[str, ...], said: str) -> None:
    ran = ask(*words)
    assert ran.code == 1
    error, following = ran.err.splitlines()
    assert error == f"error: {said}"
    assert following.startswith("next: ")
