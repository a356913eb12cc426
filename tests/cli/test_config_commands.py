"""`microclaw config`: what it prints, what it exits with, that no secret is on the screen."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from microclaw.cli.main import main

TOKEN = "12345:abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "TELEGRAM_BOT_TOKEN", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MICROCLAW_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_value_is_set_read_and_removed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "set", "agent.turn_s", "45"]) == 0
    assert capsys.readouterr().out == "agent.turn_s is set (config.toml); the host reads it when it starts\n"
    assert main(["config", "get", "agent.turn_s"]) == 0
    assert capsys.readouterr().out == "45\n"
    assert main(["config", "unset", "agent.turn_s"]) == 0
    assert main(["config", "get"]) == 0
    assert "all settings are defaults" in capsys.readouterr().out


def test_secret_is_masked_wherever_it_is_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["set", "telegram.token", TOKEN], ["get"], ["get", "telegram.token"], ["get", "--json"], ["check"]):
        assert main(["config", *words]) == 0
    shown = capsys.readouterr()
    assert TOKEN not in shown.out + shown.err
    assert "12345:a...(32 characters)" in shown.out


def test_secret_can_come_from_stdin(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(TOKEN + "\n"))
    assert main(["config", "set", "telegram.token", "-"]) == 0
    assert TOKEN in (home / "secrets.toml").read_text()


def test_value_that_is_missing_is_a_usage_error(home: Path) -> None:
    assert main(["config", "set", "agent.turn_s"]) == 2


def test_check_names_every_mistake_and_fails(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text("[agent]\nqueues = 3\nturn_s = 0\n")
    assert main(["config", "check"]) == 1
    out = capsys.readouterr().out
    assert "config.toml:2: agent.queues is no setting: did you mean agent.queue?" in out
    assert "config.toml:3: agent.turn_s: 0 is not between 1 and 86400" in out
    assert main(["config", "check", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "microclaw.config_check/1"
    assert [(m["file"], m["line"], m["key"]) for m in found["mistakes"]] == [
        ("config.toml", 2, "agent.queues"),
        ("config.toml", 3, "agent.turn_s"),
    ]


def test_doctor_warns_of_an_open_gateway(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text("[gateway]\nopen = true\n")
    main(["--json", "doctor"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    (door,) = [finding for finding in findings if finding["part"] == "gateway"]
    assert (door["ok"], door["warns"]) == (True, True)
    assert "gateway.open false" in door["next"]


def test_doctor_names_mistakes_of_the_configuration_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text("[agent]\nqueues = 3\n")
    assert main(["doctor"]) == 1
    assert "config.toml:2: agent.queues is no setting" in capsys.readouterr().out


def test_path_is_told_for_a_broken_file_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text("[")
    assert main(["config", "path"]) == 0
    assert capsys.readouterr().out == f"{home / 'config.toml'}\n"


def test_check_says_what_is_off(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text("[telegram]\n")
    assert main(["config", "check"]) == 0
    assert "note: telegram is off: no telegram.token" in capsys.readouterr().out
