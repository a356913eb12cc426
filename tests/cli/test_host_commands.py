"""The one screen of `microclaw status`, and what `up` takes from config.toml."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from microclaw.cli.child import Child
from microclaw.cli.host_commands import screen_rows
from microclaw.cli.main import main

STATUS: dict[str, Any] = {
    "pid": 4711,
    "up_s": 61.4,
    "rss_mb": 99.6,
    "http": None,
    "link": None,
    "model": "m answers",
    "usage": {"requests": 2, "tokens": 1234, "cost_usd": 0.5, "day_usd": 2.0, "day_tokens": None},
    "problems": ["web search is off: no search.api_key", "telegram is off: the environment has no BOT"],
    "channels": [
        {"name": "telegram", "state": "off", "text": "the environment has no BOT"},
        {"name": "gateway", "state": "on", "text": "ws://127.0.0.1:18789", "clients": 1, "open": False},
    ],
    "mcp_servers": {},
    "schedules": {
        "active": 2,
        "paused": 1,
        "next": [{"id": 1, "said": "every weekday at 7", "what": "blink pin 4", "next_ms": 1_700_000_000_000}],
    },
    "approvals": {"pending": 2, "first": [{"id": "a", "action": "deploy blink", "asked_by": "sam"}]},
    "devices": [{"name": "desk", "board": "virtual", "apps": ["blink"], "reachable": False, "never_reached": False}],
}


def test_screen_shows_every_part_in_a_line_or_two() -> None:
    rows = screen_rows(STATUS)
    assert ("host", "running (pid 4711), up 61 s, 100 MB") in rows
    assert ("model", "m answers   today $0.50 of $2.00, 1,234 tokens") in rows
    assert ("telegram", "off: the environment has no BOT") in rows
    assert ("gateway", "ws://127.0.0.1:18789   1 client") in rows
    assert ("off", "web search is off: no search.api_key") in rows
    assert [text for name, text in rows if name == "schedule"][1] == "1 more, 1 paused: microclaw schedule list"
    assert [text for name, text in rows if name == "approval"] == [
        "deploy blink (asked by sam)",
        "1 more: microclaw approval list",
    ]
    assert rows[-1] == ("device", "desk (virtual): blink, does not answer")
    assert len(rows) == 12


def test_an_open_gateway_and_a_failing_task_stand_on_the_screen() -> None:
    channel = {"name": "gateway", "state": "on", "text": "ws://127.0.0.1:18789", "clients": 0, "open": True}
    task = {"name": "reconciler", "phase": "failing", "in_a_row": 3, "failed_ms": 1_700_000_000_000, "reason": "full"}
    well = {**task, "name": "schedules", "phase": "running"}
    rows = dict(screen_rows({**STATUS, "channels": [channel], "tasks": [task, well]}))
    assert rows["gateway"].endswith("open: every program of this machine is the owner there")
    assert rows["failing"].startswith("reconciler: failed 3 times, last ")
    assert rows["failing"].endswith(": full")


def test_an_open_rollout_stands_on_the_screen_with_its_next_step() -> None:
    standing = {"rollout": 3, "version": "1.4.0", "state": "running", "text": "stage 2 of 3, 5 of 20 healthy"}
    rows = dict(screen_rows({**STATUS, "rollouts": [standing]}))
    said = "3 of 1.4.0: running, stage 2 of 3, 5 of 20 healthy; next: microclaw rollout status 3"
    assert rows["rollout"] == said
    assert "rollout" not in dict(screen_rows({**STATUS, "rollouts": []}))


def test_the_screen_names_the_address_for_xiaozhi_and_how_many_are_connected() -> None:
    xiaozhi = {"state": "on", "text": None, "ota": "http://192.168.1.20:8003/xiaozhi/ota/", "connected": 2}
    rows = screen_rows({**STATUS, "xiaozhi": xiaozhi})
    assert ("xiaozhi", "http://192.168.1.20:8003/xiaozhi/ota/   2 devices connected") in rows
    assert "xiaozhi" not in dict(screen_rows({**STATUS, "xiaozhi": {**xiaozhi, "state": "off", "ota": None}}))


def test_channel_that_nobody_set_up_says_how() -> None:
    status = {**STATUS, "problems": [], "channels": [{"name": "telegram", "state": "off", "text": None}]}
    assert ("telegram", "off (microclaw config set telegram.token)") in screen_rows(status)


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
    words = ["microclaw.cli", "up", "--json", "--die-with-parent"]
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
    assert {channel["name"]: channel["state"] for channel in status["channels"]} == {
        "telegram": "off",
        "gateway": "on",
    }
    assert main(["status"]) == 0
    assert "web search is off: no search.api_key" in " ".join(capsys.readouterr().out.split())


def test_up_refuses_a_wrong_file_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text("[agent]\nqueue = 0\n")
    monkeypatch.setenv("MICROCLAW_HOME", str(home))
    assert main(["up"]) == 1
    err = capsys.readouterr().err
    assert "error: config.toml:2: agent.queue: 0 is not between 1 and 1000" in err
    assert "next: microclaw config set agent.queue VALUE" in err
