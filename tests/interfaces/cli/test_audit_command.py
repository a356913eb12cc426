"""`microclaw person log`: with and without a host, by time and kind, in words and as one document; alarms in doctor."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.interfaces.cli.conftest import TIMEOUT_S, Run, run_here
from tests.stories.conftest import started

from microclaw.host.audit.event import AuditEvent, AuditKind
from microclaw.host.audit.log_files import append_events

EVENT = AuditEvent(AuditKind.TOKEN_REVOKED, "it opens nothing", about="ci", by="owner")
OLD_TOKEN = AuditEvent(AuditKind.CREDENTIAL_SUPERSEDED, "lamp: token_superseded", address="192.0.2.9", about="d-1")


@pytest.fixture
def own_home(tmp_path: Path) -> Path:
    """Of `run`."""
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


def test_without_a_host_the_log_is_read_chosen_from_and_a_document(run: Run, own_home: Path) -> None:
    def shown(*words: str) -> list[str]:
        ran = run("person", "log", *words)
        assert ran.code == 0
        return re.findall(r"try \d|opens nothing|set", ran.out)

    assert run("config", "set", "agent.queue", "6").code == 0
    assert "agent.turn_s" not in run("config", "get").out
    assert "agent.turn_s" in run("config", "get", "--all").out
    tries = [AuditEvent(AuditKind.TOKEN_WRONG, f"try {number}", address="192.0.2.9") for number in "1234"]
    append_events(own_home, [*tries, EVENT])
    assert len(run("person", "log").out.splitlines()) == 6
    assert shown("--kind", "token") == ["try 1", "try 2", "try 3", "try 4", "opens nothing"]
    assert len(shown("--kind", "token.wrong", "--kind", "token.revoked", "--since", "1h")) == 5
    assert shown("--tail", "2") == ["try 4", "opens nothing"]  # the newest of what was chosen
    assert shown("--tail", "2", "--kind", "token.wrong") == ["try 3", "try 4"]
    assert shown("--tail", "0") == []
    document = run("person", "log", "--json", "--kind", "token.wrong").json
    assert document["schema"] == "microclaw.audit/1"
    told = {"about": None, "by": None, "approval": None, "count": 1, "at_ms": 0}
    assert document["events"][0] | {"at_ms": 0} == {
        "kind": "token.wrong", "text": "try 1", "address": "192.0.2.9", **told,
    }  # fmt: skip


def test_a_reader_that_has_left_is_no_error_of_the_log(own_home: Path) -> None:
    append_events(own_home, [EVENT] * 3000)  # more than a pipe holds
    command = f'set -o pipefail; "{sys.executable}" -m microclaw --home "{own_home}" person log | head -1'
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_beside_a_host_the_log_is_followed(ask: Run, home: Path) -> None:
    with started(home, "person", "log", "-f", "--json", "--kind", "token") as following:
        try:
            assert ask("person", "tokens", "--add", "first").code == 0
            assert following.stdout is not None
            told = json.loads(following.stdout.readline())
        finally:
            following.terminate()
            following.wait(TIMEOUT_S)
    assert (told["schema"], told["kind"], told["about"]) == ("microclaw.audit_event/1", "token.made", "first")


def test_doctor_names_an_alarm_until_its_device_is_revoked(own_home: Path) -> None:
    for event, alarms in ((OLD_TOKEN, 1), (AuditEvent(AuditKind.CREDENTIAL_REVOKED, "1 was good", about="d-1"), 0)):
        append_events(own_home, [event])
        found = run_here(own_home, "doctor", "--json").json
        assert len([finding for finding in found["findings"] if finding["part"] == "alarm"]) == alarms
        assert not (alarms and found["ok"])


def test_a_head_that_was_noted_is_looked_for(run: Run, own_home: Path) -> None:
    def verify(*words: str) -> int:
        return run("person", "log", "--verify", *words).code

    append_events(own_home, [EVENT, EVENT])
    (noted,) = re.findall(r"head (acts:2:\w+)", run("person", "log", "--verify").out)
    append_events(own_home, [EVENT])
    assert [verify("--head", noted), verify("--head", noted.split(":")[2])] == [0, 0]
    for path in (own_home / "audit").iterdir():
        path.unlink()
    append_events(own_home, [EVENT, EVENT, EVENT])
    assert verify() == 1
    acts = run("person", "log", "--verify", "--json").json["sets"][0]
    assert (acts["torn"], acts["torn_at"], acts["break_count"]) == (0, [], len(acts["breaks"]))
    (own_home / "audit.begun").unlink()
    assert [verify(), verify("--head", noted)] == [0, 1]
