"""`microclaw audit`: with and without a host, by time and kind, in words and as one document; alarms in doctor."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import TIMEOUT_S, Run, clean_environ

from microclaw.audit import AuditEvent, AuditKind, append_events
from microclaw.audit.log import AuditLog
from microclaw.cli.host_commands import screen_rows
from microclaw.cli.main import main

OLD_TOKEN = AuditEvent(AuditKind.CREDENTIAL_SUPERSEDED, "lamp: token_superseded", address="192.0.2.9", about="d-1")

EVENT = AuditEvent(AuditKind.TOKEN_REVOKED, "it opens nothing", about="ci", by="owner")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of `run`."""
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


def test_without_a_host_the_log_is_read_chosen_from_and_a_document(run: Run, home: Path) -> None:
    assert run("audit").out == "nothing yet\n"
    assert run("config", "set", "agent.queue", "6").code == 0
    append_events(home, [AuditEvent(AuditKind.TOKEN_WRONG, "opens nothing", address="192.0.2.9")])
    lines = run("audit").out.splitlines()
    assert [line.split()[2] for line in lines] == ["config.changed", "token.wrong"]
    assert lines[0].endswith("set, about agent.queue")
    assert lines[1].endswith("opens nothing, from 192.0.2.9")
    assert len(run("audit", "--kind", "token").out.splitlines()) == 1
    assert len(run("audit", "--kind", "token.wrong", "--kind", "config", "--since", "1h").out.splitlines()) == 2
    assert run("audit", "--since", "2999-01-01").out == "nothing of that kind or time\n"
    document = json.loads(run("audit", "--json", "--kind", "token").out)
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
    for words in (["--tail", "2"], ["show", "--tail", "2", "--kind", "token.wrong"], ["--tail", "0"], ["--tail", "9"]):
        assert main(["--home", str(home), "audit", *words]) == 0
        shown.append(re.findall(r"try [1-4]|opens nothing", capsys.readouterr().out))
    first, *rest = shown
    assert first == ["try 4", "opens nothing"]
    assert rest == [["try 3", "try 4"], [], ["try 1", "try 2", "try 3", "try 4", "opens nothing"]]
    assert main(["--home", str(home), "audit", "--tail", "-1"]) == 2


def test_a_kind_or_time_that_is_none_is_named(run: Run, home: Path) -> None:
    del home
    assert "kinds: approval," in run("audit", "--kind", "tokens").err
    assert "say 30m" in run("audit", "--since", "yesterday").err
    assert "say 30m" in run("audit", "--since", "0001-01-01").err


def test_another_hosts_log_is_not_read_from_here(run: Run, home: Path) -> None:
    del home
    refused = run("--host", "https://lab.example", "audit")
    assert refused.code != 0
    assert "this machine" in refused.err


@pytest.mark.parametrize("follow", [(), ("-f",)])
def test_what_is_no_folder_in_the_logs_place_is_an_error_with_the_next_step(
    run: Run, home: Path, follow: tuple[str, ...]
) -> None:
    os.mkfifo(home / "audit")
    refused = run("audit", *follow)
    assert refused.code == 1
    assert "no folder" in refused.err
    assert "next: move away what is there" in refused.err
    assert "unexpected" not in refused.err


async def test_a_running_log_tells_what_is_in_its_place(home: Path) -> None:
    os.mkfifo(home / "audit")
    async with AuditLog.opened(home) as log:
        assert log.problem is not None
        assert "no folder" in log.problem


def test_beside_a_host_the_log_is_followed(ask: Run, host: dict[str, Any]) -> None:
    home = Path(host["home"])
    words = [sys.executable, "-m", "microclaw.cli", "audit", "-f", "--json", "--kind", "token"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=clean_environ(home), text=True) as following:
        try:
            assert ask("token", "create", "first").code == 0
            assert following.stdout is not None
            told = json.loads(following.stdout.readline())
        finally:
            following.terminate()
            following.wait(TIMEOUT_S)
    assert (told["schema"], told["kind"], told["about"]) == ("microclaw.audit_event/1", "token.made", "first")


def test_doctor_and_status_name_an_alarm_and_what_to_do(run: Run, home: Path) -> None:
    append_events(home, [OLD_TOKEN])
    found = json.loads(run("doctor", "--json").out)
    (alarm,) = [finding for finding in found["findings"] if finding["part"] == "alarm"]
    assert alarm["text"].startswith("lamp: a token that it no longer uses was shown from 192.0.2.9")
    assert "microclaw device revoke lamp" in alarm["next"]
    assert found["ok"] is False
    append_events(home, [AuditEvent(AuditKind.CREDENTIAL_REVOKED, "lamp: 1 were still good", about="d-1")])
    assert '"alarm"' not in run("doctor", "--json").out


def test_the_status_screen_has_a_line_for_each_alarm() -> None:
    found = {
        "up_s": 1,
        "rss_mb": 1,
        "http": None,
        "link": None,
        "model": "offline",
        "devices": [],
        "alarms": [{"text": "lamp: a token that it no longer uses", "next": "microclaw device revoke lamp"}],
    }
    assert ("alarm", "lamp: a token that it no longer uses   microclaw device revoke lamp") in screen_rows(found)


def test_verify_says_whole_and_names_the_place_where_it_is_not(run: Run, home: Path) -> None:
    assert (
        run("audit", "verify").out
        == "attempts  empty: no line was written yet\nacts      empty: no line was written yet\n"
    )
    append_events(home, [OLD_TOKEN, EVENT, EVENT, EVENT])
    assert "acts      whole: 3 lines\n" in run("audit", "verify").out
    assert "audit show" in run("audit", "--since", "1h", "verify").err
    assert len(run("audit", "show", "--kind", "token").out.splitlines()) == 3
    path = home / "audit" / "acts.jsonl"
    path.write_bytes(path.read_bytes().replace(b"ci", b"cd", 2))
    broken = run("audit", "verify")
    assert broken.code == 1
    assert "attempts  whole: 1 line\n" in broken.out
    assert "acts      BROKEN: 3 lines\n" in broken.out
    assert "changed: acts.jsonl line 2: line 1 is not the one that line 2 names" in broken.out
    assert "next: was it a person of this host" in broken.out
    document = json.loads(run("audit", "verify", "--json").out)
    assert document["schema"] == "microclaw.audit_verify/1"
    assert document["whole"] is False
    (acts,) = [one for one in document["sets"] if one["set"] == "acts"]
    assert [(one["what"], one["line"]) for one in acts["breaks"]] == [("changed", 2), ("changed", 3)]


def test_a_head_that_was_noted_is_looked_for(run: Run, home: Path) -> None:
    assert run("audit", "head").out == "nothing yet\n"
    append_events(home, [EVENT, EVENT])
    (noted,) = run("audit", "head").out.split()
    assert noted.startswith("acts:2:")
    assert json.loads(run("audit", "head", "--json").out)["heads"]["acts"]["hash"] == noted.split(":")[2]
    append_events(home, [EVENT])
    assert run("audit", "verify", "--head", noted).code == 0
    assert run("audit", "verify", "--head", noted.split(":")[2]).code == 0
    for path in (home / "audit").iterdir():
        path.unlink()
    append_events(home, [EVENT, EVENT, EVENT])
    assert run("audit", "verify").code == 1
    (home / "audit.begun").unlink()
    assert run("audit", "verify").code == 0
    refused = run("audit", "verify", "--head", noted)
    assert refused.code == 1
    assert f"NOT FOUND {noted}: no line of the log has this hash" in refused.out
    assert "64 hex digits" in run("audit", "verify", "--head", "abc").err


def test_doctor_has_a_line_for_the_chain(run: Run, home: Path) -> None:
    append_events(home, [EVENT, EVENT])

    def line() -> dict[str, Any]:
        found = json.loads(run("doctor", "--json").out)["findings"]
        (one,) = [finding for finding in found if finding["part"] == "audit"]
        return dict(one)

    assert (line()["ok"], line()["text"]) == (True, "the security log is whole: microclaw audit verify")
    path = home / "audit" / "acts.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert (line()["ok"], "BROKEN" in line()["text"], "microclaw audit verify" in line()["next"]) == (False, True, True)
