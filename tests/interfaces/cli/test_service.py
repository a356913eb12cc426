"""`microclaw up --service`: the file for systemd, and what is run to make it count."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from microclaw.interfaces.cli.host_commands import systemd_unit
from microclaw.interfaces.cli.main import main

ODD = ("/opt/a b/python", "-m", "microclaw", "--home", '/home/ö/100%$"x"', "up")


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's home, with a systemctl that notes down what it is told."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/systemctl.log\n')
    (tools / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("MICROCLAW_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("MICROCLAW_CACHE", str(tmp_path / "cache"))
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "TELEGRAM_BOT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def told(person: Path) -> list[str]:
    log = person / "systemctl.log"
    if log.exists():
        return log.read_text().splitlines()
    return []


def test_unit_quotes_what_systemd_would_expand() -> None:
    text = systemd_unit(ODD, [Path("/home/ö/h"), Path("/c d")])
    assert r'ExecStart="/opt/a b/python" "-m" "microclaw" "--home" "/home/ö/100%%$$\"x\"" "up"' in text
    assert 'ReadWritePaths="-/home/ö/h" "-/c d"' in text
    assert {"NoNewPrivileges=yes", "Restart=on-failure"} <= set(text.splitlines())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_accepts_the_unit_without_a_word(tmp_path: Path) -> None:
    unit = tmp_path / "microclaw.service"
    unit.write_text(systemd_unit((sys.executable, "-m", "microclaw", "up"), [tmp_path / "h", Path("/tmp/s")]))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_it_is_shown_asked_about_installed_told_of_and_removed(
    person: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = person / ".config/systemd/user/microclaw.service"
    (person / "data").mkdir(mode=0o700)
    (person / "data/config.toml").write_text('[telegram]\ntoken = "${MY_BOT}"\n')
    monkeypatch.setenv("MY_BOT", "1:abc")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret-key-of-mine")

    def up(*words: str) -> tuple[int, str]:
        return main(["up", "--service", *words]), capsys.readouterr().out

    code, out = up("file")
    assert (code, out.startswith("[Unit]\n")) == (0, True)
    assert [up(word)[0] for word in ("install", "remove")] == [2, 1]  # nobody is at a terminal
    assert (told(person), (person / ".config").exists()) == ([], False)
    code, out = up("install", "--yes")
    assert code == 0
    assert out.index(f"# {unit}") < out.index("[Unit]") < out.index(f"wrote {unit}")
    assert "MY_BOT that the service gets" in out
    assert "sk-secret" not in out  # a variable that the service will not have
    assert f'"--home" "{person / "data"}" "up"' in unit.read_text()
    started = ["--user daemon-reload", "--user enable microclaw.service", "--user restart microclaw.service"]
    assert told(person) == started
    assert up("remove")[0] == 0
    assert told(person)[-2:] == ["--user disable --now microclaw.service", "--user daemon-reload"]
    assert (unit.exists(), (person / "data").is_dir()) == (False, True)


def test_a_home_that_would_be_a_line_of_the_unit_is_refused(person: Path) -> None:
    for name in ("a\nExecStartPre=touch b", "a\tb", "a\x01b"):
        assert main(["--home", str(person / name), "up", "--service", "install", "--yes"]) == 1
    assert not (person / ".config/systemd/user/microclaw.service").exists()
