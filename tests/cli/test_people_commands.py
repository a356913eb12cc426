"""person, token and approval as a person runs them, against a running host."""

from __future__ import annotations

import json
import threading
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.cli.conftest import Ran, run_in

from microclaw.cli.people_commands import program_lines


@pytest.fixture
def cli(host: dict[str, Any]) -> Any:
    home = Path(host["control"]).parent
    return lambda *words, stdin="": run_in(home, *words, stdin=stdin)


def test_a_question_about_a_program_shows_what_changes_in_its_source() -> None:
    program = {"sha256": "b" * 64, "replaces": "a" * 64, "diff": ["@@ -1 +1 @@", "-old", "+new"]}
    head = "    what changes, from aaaaaaaaaaaa to bbbbbbbbbbbb:"
    assert program_lines(program) == [head, "    @@ -1 +1 @@", "    -old", "    +new"]
    assert "or not kept" in program_lines({**program, "diff": []})[0]
    assert program_lines({**program, "replaces": None}) == program_lines(None) == []


def ask(host: dict[str, Any], secret: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    place = urlsplit(host["http"])
    connection = HTTPConnection(str(place.hostname), place.port, timeout=60)
    try:
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json", "Prefer": "wait=60"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_a_token_is_printed_once_opens_the_api_and_ends(host: dict[str, Any], cli: Any) -> None:
    made: Ran = cli("token", "create", "laptop", "--days", "30")
    secret = made.out.removesuffix("\n")  # alone, as $(...) takes it
    assert made.code == 0, made.err
    assert "keep it secret" in made.err
    assert secret.startswith("mc_")
    assert ask(host, secret, "GET", "/v1/status")[0] == 200
    listed = cli("token", "list")
    assert "laptop" in listed.out
    assert secret not in listed.out
    assert cli("token", "create", "laptop").code == 1
    assert cli("token", "rm", "laptop").code == 0
    assert ask(host, secret, "GET", "/v1/status")[0] == 401


def test_the_owner_is_listed_and_stays(cli: Any) -> None:
    listed = cli("--json", "person", "list")
    assert [p["role"] for p in json.loads(listed.out)["people"]] == ["owner"]
    refused = cli("--yes", "person", "rm", "owner")
    assert (refused.code, refused.err.splitlines()[0]) == (1, "error: the owner cannot be removed")
    assert cli("person", "pair", "000000").code == 1
    assert cli("person", "pair", "000000", "--role", "king").code == 2


def test_what_waits_is_shown_and_decided_once(host: dict[str, Any], cli: Any) -> None:
    secret = cli("token", "create", "program").out.splitlines()[0]
    answers: list[tuple[int, Any]] = []
    asking = threading.Thread(
        target=lambda: answers.append(ask(host, secret, "DELETE", "/v1/devices/virtual-1")), daemon=True
    )
    asking.start()
    while not (waiting := json.loads(cli("--json", "approval", "list").out)["approvals"]):
        assert asking.is_alive()
    number = waiting[0]["approval_id"]
    shown = cli("approval", "list").out
    assert f"{number}  forget the device virtual-1" in shown
    assert "risky" in shown
    told = cli("approval", "show", number).out
    assert told.splitlines()[0] == f"{number}  forget the device virtual-1"
    assert "asked by owner over api, risky" in told
    one = json.loads(cli("--json", "approval", "show", number).out)
    assert (one["outcome"], one["program"], one["risky"]) == (None, None, True)
    assert "declined: forget the device virtual-1" in cli("approval", "decline", number).out
    asking.join(30)
    assert [status for status, _ in answers] == [403]
    late = cli("approval", "approve", number)
    assert late.code == 1
    assert "decided already" in late.err
    assert "nothing waits" in cli("approval", "list").out
    assert "virtual-1" in cli("device", "list").out
