"""The settings that `up` takes from config.toml."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from microclaw.cli.child import Child
from microclaw.cli.main import main


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[dict[str, Any], int]]:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    port = free_port()
    (home / "config.toml").write_text(
        f'[host]\nhttp_port = {port}\nlink = "off"\n[gateway]\nport = 0\n[telegram]\n[search]\n'
    )
    monkeypatch.setenv("MICROCLAW_HOME", str(home))
    for name in ("TELEGRAM_BOT_TOKEN", "BRAVE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    words = ["microclaw", "up", "--json", "--die-with-parent"]
    with Child("host", words, log=tmp_path / "host.log") as host:
        facts, _ = host.wait_ready()
        yield facts, port


def test_up_takes_its_doors_from_the_file_and_says_what_is_off(
    configured: tuple[dict[str, Any], int], capsys: pytest.CaptureFixture[str]
) -> None:
    facts, port = configured
    assert facts["http"] == f"http://127.0.0.1:{port}"
    assert facts["link"] is None
    assert [problem.split(":")[0] for problem in facts["problems"]] == ["telegram is off", "web search is off"]
    assert main(["status", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["problems"] == facts["problems"]
    shown = {row["about"]: row["text"] for row in status["screen"]}
    assert shown["telegram"].startswith("off: ")
    assert "127.0.0.1:" in shown["gateway"]
    assert main(["device", "list", "--all", "--json"]) == 0  # all of none
    assert json.loads(capsys.readouterr().out)["devices"] == []
