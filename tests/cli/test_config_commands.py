"""`microclaw config`: what it prints, what it exits with, that no secret is on the screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microclaw.cli.main import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "TELEGRAM_BOT_TOKEN", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MICROCLAW_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_check_names_every_mistake_and_fails(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text("[agent]\nqueues = 3\nturn_s = 0\n")
    assert main(["config", "check", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "microclaw.config_check/1"
    assert [(m["file"], m["line"], m["key"]) for m in found["mistakes"]] == [
        ("config.toml", 2, "agent.queues"),
        ("config.toml", 3, "agent.turn_s"),
    ]


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ("[gateway]\nopen = true\n", "gateway"),
        ('[gateway]\nhost = "0.0.0.0"\n', "gateway"),
        ('[voice]\nenabled = true\nwyoming_host = "0.0.0.0"\nwyoming_port = 10300\n', "wyoming"),
    ],
)
def test_doctor_warns_of_what_is_open_without_a_lock(
    home: Path, capsys: pytest.CaptureFixture[str], config: str, part: str
) -> None:
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text(config)
    main(["--json", "doctor"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    (found,) = [finding for finding in findings if finding["part"] == part]
    assert (found["ok"], found["warns"]) == (True, True)


def test_doctor_fails_by_mistakes_of_the_configuration_too(home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text("[agent]\nqueues = 3\n")
    assert main(["doctor"]) == 1
