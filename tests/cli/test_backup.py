"""`microclaw backup` without a host: options, questions, what is said and refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.backup.conftest import make_home
from tests.cli.screen import Screen

from microclaw.cli.main import main
from microclaw.store.sqlite_file import take_lock

PROMPTS = ("backup", "confirmation")
PASSWORD = "correct horse battery"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
async def home(tmp_path: Path) -> Path:
    await make_home(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def command(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `microclaw WORDS` in this process with that home; a key and its public half are in `tmp_path`."""
    for name in [name for name in os.environ if name.startswith("MICROCLAW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MICROCLAW_HOME", str(home))

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def recipient(command: Command, tmp_path: Path) -> str:
    code, out, _ = command("-q", "backup", "make", "--new-key", str(tmp_path / "key"))
    assert code == 0
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    return out.strip()


def test_nothing_is_overwritten_without_a_word(command: Command, recipient: str, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.age"
    file.write_bytes(b"before")
    code, _, err = command("backup", "make", str(file), "--recipient", recipient)
    assert (code, "--force" in err, file.read_bytes()) == (1, True, b"before")
    assert command("backup", "make", "--new-key", str(tmp_path / "key"))[0] == 1
    assert command("backup", "make", str(file), "--recipient", recipient, "--force")[0] == 0
    assert file.read_bytes().startswith(b"age-encryption.org/v1\n")
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads((home / "audit/acts.jsonl").read_text())["kind"] == "backup.made"


def test_wrong_words_are_told(command: Command, recipient: str, home: Path, tmp_path: Path) -> None:
    file, short = str(tmp_path / "b.age"), tmp_path / "short"
    short.write_text("short\n")
    for words in (
        ("backup", "make"),
        ("backup", "make", file, "--new-key", file),
        ("backup", "make", file, "--recipient", recipient, "--password-file", "-"),
        ("backup", "make", file),  # no terminal to ask at
        ("backup", "make", file, "--host", "https://host.example"),
        ("backup", "make", file, "--recipient", recipient[:-1]),
        ("backup", "make", file, "--password-file", str(short)),
        ("backup", "make", file, "--password-file", str(tmp_path / "none")),
        ("backup", "make", str(tmp_path), "--recipient", recipient),
        ("backup", "make", str(tmp_path / "no" / "b.age"), "--recipient", recipient),
        ("backup", "restore", file, "--list", "--password-file", str(short)),
        ("backup", "restore", str(tmp_path), "--list", "--identity", str(tmp_path / "key")),
        ("backup", "restore", file, "--identity", str(tmp_path / "key"), "--password-file", "-"),
    ):
        code, _, err = command(*words)
        assert code in (1, 2), words
        assert "next: " in err, words
        assert "short" not in err.replace(str(short), ""), words
    assert not Path(file).exists()


def test_a_store_that_another_process_holds_without_a_host_is_told(
    command: Command, recipient: str, home: Path, tmp_path: Path
) -> None:
    """As while another `microclaw backup` reads it."""
    lock = take_lock(home / "microclaw.db")
    try:
        code, _, _ = command("backup", "make", str(tmp_path / "b.age"), "--recipient", recipient)
    finally:
        os.close(lock)
    assert code == 3
    assert not (tmp_path / "b.age").exists()


def test_a_password_is_asked_for_twice_and_never_shown(home: Path, tmp_path: Path) -> None:
    with Screen(home, "backup", "make", str(tmp_path / "b.age")) as screen:
        for prompt, typed in (("backup", PASSWORD), ("confirmation", "another"), *((p, PASSWORD) for p in PROMPTS)):
            screen.wait_for(f"{prompt}: ")
            screen.type(f"{typed}\n")
        screen.wait_for("encrypted")
        assert screen.process.wait(60) == 0
        assert PASSWORD not in screen.shown
