"""`microclaw person log`: with and without a host, by time and kind, in words and as one document; alarms in doctor."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import TIMEOUT_S, Run
from tests.stories.conftest import started

from microclaw.audit.event import AuditEvent, AuditKind
from microclaw.audit.log_files import append_events
from microclaw.cli.main import main

OLD_TOKEN = AuditEvent(AuditKind.CREDENTIAL_SUPERSEDED, "lamp: token_superseded", address="192.0.2.9", about="d-1")

EVENT = AuditEvent(AuditKind.TOKEN_REVOKED, "it opens nothing", about="ci", by="owner")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of `run`."""
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


def test_without_a_host_the_log_is_read_chosen_from_and_a_document(run: Run, home: Path) -> None:
    assert run("config", "set", "agent.queue", "6").code == 0
    append_events(home, [AuditEvent(AuditKind.TOKEN_WRONG, "opens nothing", address="192.0.2.9")])
    lines = run("person", "log").out.splitlines()
    assert [line.split()[2] for line in lines] == ["config.changed", "token.wrong"]
    assert len(run("person", "log", "--kind", "token").out.splitlines()) == 1
    assert len(run("person", "log", "--kind", "token.wrong", "--kind", "config", "--since", "1h").out.splitlines()) == 2
    document = json.loads(run("person", "log", "--json", "--kind", "token").out)
    assert document["schema"] == "microclaw.audit/1"
    assert document["events"][0] | {"at_ms": 0} == {
        "at_ms": 0,
        "kind": "token.wrong",
        "text": "opens nothing",
        "about": None,
        "address": "192.0.2.9",
        "by": None,
        "approval": None,
        "count": 1,
    }


def test_tail_is_the_newest_of_what_was_chosen(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append_events(home, [AuditEvent(AuditKind.TOKEN_WRONG, f"try {number}", address="192.0.2.9") for number in "1234"])
    append_events(home, [EVENT])
    shown = []
    for words in (["--tail", "2"], ["--tail", "2", "--kind", "token.wrong"], ["--tail", "0"], ["--tail", "9"]):
        assert main(["--home", str(home), "person", "log", *words]) == 0
        shown.append(re.findall(r"try [1-4]|opens nothing", capsys.readouterr().out))
    first, *rest = shown
    assert first == ["try 4", "opens nothing"]
    assert rest == [["try 3", "try 4"], [], ["try 1", "try 2", "try 3", "try 4", "opens nothing"]]
    assert main(["--home", str(home), "person", "log", "--tail", "-1"]) == 2


def test_a_reader_that_has_left_is_no_error_of_the_log(home: Path) -> None:
    append_events(home, [EVENT] * 3000)  # more than a pipe holds
    command = f'set -o pipefail; "{sys.executable}" -m microclaw --home "{home}" person log | head -1'
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_beside_a_host_the_log_is_followed(ask: Run, host: dict[str, Any]) -> None:
    with started(Path(host["home"]), "person", "log", "-f", "--json", "--kind", "token") as following:
        try:
            assert ask("person", "tokens", "--add", "first").code == 0
            assert following.stdout is not None
            told = json.loads(following.stdout.readline())
        finally:
            following.terminate()
            following.wait(TIMEOUT_S)
    assert (told["schema"], told["kind"], told["about"]) == ("microclaw.audit_event/1", "token.made", "first")


def test_doctor_and_status_name_an_alarm_and_what_to_do(run: Run, home: Path) -> None:
    append_events(home, [OLD_TOKEN])
    found = json.loads(run("doctor", "--json").out)
    (_alarm,) = [finding for finding in found["findings"] if finding["part"] == "alarm"]
    assert found["ok"] is False
    append_events(home, [AuditEvent(AuditKind.CREDENTIAL_REVOKED, "lamp: 1 were still good", about="d-1")])
    assert '"alarm"' not in run("doctor", "--json").out


def test_a_head_that_was_noted_is_looked_for(run: Run, home: Path) -> None:
    append_events(home, [EVENT, EVENT])
    (noted,) = re.findall(r"head (acts:2:\w+)", run("person", "log", "--verify").out)
    append_events(home, [EVENT])
    assert run("person", "log", "--verify", "--head", noted).code == 0
    assert run("person", "log", "--verify", "--head", noted.split(":")[2]).code == 0
    for path in (home / "audit").iterdir():
        path.unlink()
    append_events(home, [EVENT, EVENT, EVENT])
    assert run("person", "log", "--verify").code == 1
    (home / "audit.begun").unlink()
    assert run("person", "log", "--verify").code == 0
    refused = run("person", "log", "--verify", "--head", noted)
    assert refused.code == 1
