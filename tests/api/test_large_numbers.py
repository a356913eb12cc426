"""A number that no store, board or reader of JSON can hold is the caller's mistake, never a fault of the host."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.cli.main import main
from microclaw.client import Client
from microclaw.client.request import HostError

LARGE = (2**70, -(2**70), 2**63)


def refusal(ask: Any) -> str:
    with pytest.raises(HostError) as refused:
        ask()
    return refused.value.failure.code


@pytest.mark.parametrize("number", LARGE)
def test_a_change_that_cannot_be_is_a_bad_request(host: Client, number: int) -> None:
    assert refusal(lambda: list(host.stream("/v1/undo", {"change_id": number}))) == "bad_request"


@pytest.mark.parametrize("number", LARGE)
@pytest.mark.parametrize("what", ["logs", "edges"])
def test_a_cursor_that_cannot_be_is_a_bad_request(host: Client, number: int, what: str) -> None:
    assert refusal(lambda: host.get(f"/v1/devices/nowhere/{what}", {"cursor": number})) == "bad_request"


@pytest.mark.parametrize("number", LARGE)
def test_a_schedule_that_cannot_be_is_not_found(host: Client, number: int) -> None:
    assert refusal(lambda: host.get(f"/v1/schedules/{number}")) == "unknown_name"


@pytest.mark.parametrize("number", [*LARGE, -1])
def test_a_task_that_cannot_be_is_not_found_and_told_as_it_was_asked_for(host: Client, number: int) -> None:
    with pytest.raises(HostError, match=f"no task {number}$") as refused:
        host.get(f"/v1/tasks/{number}")
    assert refused.value.failure.code == "unknown_name"


def test_the_command_line_says_it_too(
    host_facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MICROCLAW_HOME", host_facts["home"])
    assert main(["app", "undo", str(2**70)]) == 2
    assert "change_id is less than" in capsys.readouterr().err
