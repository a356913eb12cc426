"""The security log: what its lines hold, and that it cannot be washed out."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.host.auth.conftest import Clock
from tests.test_durable import disk_full_after

from microclaw.hardware.boards import board_ids
from microclaw.host.audit import log_files
from microclaw.host.audit.event import AuditEvent, AuditKind, line_of
from microclaw.host.audit.log import AuditLog
from microclaw.host.audit.log_files import FILES, FOLDER, append_events, append_lines, read_events

SET = AuditEvent(AuditKind.CONFIG_CHANGED, "set", about="agent.turn_s")
SECRETS = ["mc_" + "aB3-" * 10 + "xyz", "mc1_d-1234abcd_" + "Zz9_" * 10 + "abc", "JBSWY3DPEHPK3PXPJBSWY3DPEH",
           "sk-" + "q7Rt" * 8]  # fmt: skip
PLAIN = ["living-room-lamp-number-1.1", "virtual:/tmp/microclaw-boards/virtual-1.sock", "usb-Espressif-serial-unit-3"]


@contextmanager
def running(home: Path, clock: Clock | None = None) -> Iterator[AuditLog]:
    clock = clock or Clock()
    log = AuditLog(home, clock_s=clock, now_ms=clock.ms)
    log.start()
    try:
        yield log
    finally:
        log.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def recorded(home: Path) -> list[AuditEvent]:
    return [found.event for found in read_events(home)]


def wrong_token(number: int = 0) -> AuditEvent:
    return AuditEvent(AuditKind.TOKEN_WRONG, "a token that opens nothing", address=f"10.0.{number % 250}.7")


def test_a_line_is_one_json_object_in_a_private_file(home: Path) -> None:
    with running(home) as log:
        log.record(AuditEvent(AuditKind.TOKEN_MADE, "for ada, 30 days", about="ci", by="owner"))
    path = home / FOLDER / "acts.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_text() == (
        '{"at":"2027-01-15T08:00:00.000Z","kind":"token.made","text":"for ada, 30 days","about":"ci","by":"owner",'
        f'"n":1,"prev":"{"0" * 64}"}}\n'
    )


def test_what_looks_like_a_secret_is_masked_and_words_are_not() -> None:
    for secret in SECRETS:
        line = line_of(AuditEvent(AuditKind.TOKEN_WRONG, f"was {secret}.", about=secret, by=secret), 0)
        assert secret[-12:].encode() not in line
    for plain in PLAIN:
        assert plain.encode() in line_of(AuditEvent(AuditKind.DEVICE_ADDED, f"{plain}: added", about=plain), 0)
    for board in board_ids():
        text = f"{board}, at {SECRETS[3]} {board}{SECRETS[3]} {SECRETS[3]}{board}, a {board}."
        shown = json.loads(line_of(AuditEvent(AuditKind.DEVICE_ADDED, text, known=(board,)), 0))["text"]
        assert shown.startswith(f"{board}, at [masked] ")
        assert ("q7Rt" in shown, shown.count(board)) == (False, 2)


def test_text_is_cleaned_bounded_and_on_one_line() -> None:
    nasty = "\x1b[2J\u202eevil\nsecond line\u200b" + "x y " * 20_000
    line = line_of(AuditEvent(AuditKind.PAIRING_ASKED, nasty, about=nasty, address=nasty, by=nasty), 0)
    assert line.count(b"\n") == 1
    assert len(line) < 1000
    assert not {"\x1b", "\u202e", "\u200b", "\n"} & set("".join(map(str, json.loads(line).values())))


def test_a_flood_of_one_kind_or_address_leaves_the_others_and_is_counted(home: Path) -> None:
    other = AuditEvent(AuditKind.CREDENTIAL_REFUSED, "revoked", address="192.0.2.1")
    clock = Clock()
    with running(home, clock) as log:
        for _ in range(1000):
            log.record(wrong_token(21))
        for number in range(5_000):
            log.record(wrong_token(number))
        log.record(other)
        clock.now_s += 3601
        log.record(AuditEvent(AuditKind.SECRET_WRONG, "none", address="192.0.2.9"))
    wrong = [event for event in recorded(home) if event.kind is AuditKind.TOKEN_WRONG]
    assert recorded(home).count(other) == 1
    assert len(wrong) <= 22
    assert sum(event.count for event in wrong) == 6_000
    assert [event.address for event in wrong].count("10.0.2.7") == 1
    assert "10.0.21.0/24 1,0" in wrong[-1].text
    assert recorded(home)[-1].kind is AuditKind.SECRET_WRONG


@pytest.mark.parametrize("kind", [AuditKind.TASK_ENDED, AuditKind.CHANGE_UNDONE])
def test_the_acts_of_one_person_leave_out_no_line_of_another_and_none_that_was_agreed_to(
    home: Path, kind: AuditKind
) -> None:
    with running(home) as log:
        for person in ("Mia", "Tom", "Ben"):
            for number in range(1000):
                log.record(AuditEvent(kind, "again", about=f"task {number}", by=person))
        log.record(AuditEvent(kind, "the owner's", about="kitchen", by="owner"))
        log.record(AuditEvent(kind, "Mia's with a yes", about="kitchen", by="Mia", approval="17"))
        log.record(AuditEvent(kind, "Mia's with a network", about="kitchen", by="Mia", network=True))
    events = recorded(home)
    assert len(events) < 1000
    assert sum(event.count for event in events) == 3003
    assert [event.text for event in events if event.by == "owner"] == ["the owner's"]
    assert all(sum(event.by == name for event in events) >= 60 for name in ("Mia", "Tom", "Ben"))
    if kind is not AuditKind.CHANGE_UNDONE:  # only what a program can repeat has few lines
        assert {"Mia's with a yes", "Mia's with a network"} <= {event.text for event in events}


def test_the_tries_of_people_leave_out_no_line_of_another_person(home: Path) -> None:
    noisy = ("Mia", "Tom", "Ben", "Eve", "Jo", "Al")
    kind = AuditKind.EGRESS_REFUSED
    with running(home) as log:
        for person in noisy:
            for number in range(200):
                log.record(AuditEvent(kind, "again", about=f"task {person} {number // 20}", by=person))
        for number in range(400):  # and somebody whom nobody knows
            log.record(AuditEvent(kind, "a stranger's", address=f"10.{number % 200}.0.1"))
        log.record(AuditEvent(kind, "the owner's", about="task 7", by="owner"))
    events = recorded(home)
    assert sum(event.count for event in events) == 1601
    assert [event.text for event in events if event.by == "owner"] == ["the owner's"]
    assert all(60 <= sum(event.by == name for event in events) <= 61 for name in noisy)
    assert "a stranger's" in {event.text for event in events}


def test_nothing_from_outside_washes_out_what_people_did(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even without any limit: what comes from outside is in files of its own, and those are bounded."""
    monkeypatch.setattr(log_files, "FILE_BYTES", 20_000)
    append_events(home, [AuditEvent(AuditKind.TOKEN_REVOKED, "it opens nothing", about="ci", by="owner")])
    noise = line_of(AuditEvent(AuditKind.TOKEN_WRONG, "no " * 60, address="10.0.0.1"), 0)
    for _ in range(2 * FILES * 20_000 // (40 * len(noise))):
        append_lines(home / FOLDER, "attempts", [noise] * 40)
    files = list((home / FOLDER).iterdir())
    assert max(path.stat().st_size for path in files) <= 20_000
    assert len(files) == FILES + 1 + 2  # and the two heads
    assert [found.event.about for found in read_events(home, kinds={"token.revoked"})] == ["ci"]


def test_a_thousand_failing_logins_cost_a_few_syncs_and_none_on_the_loop(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda _: syncs.append(threading.get_ident()))
    with running(home) as log:
        for number in range(1000):
            log.record(wrong_token(number))
    # Of each time that the thread woke a file's and, when it is new, its folder's; two say that a chain began.
    assert 0 < len(syncs) <= 10
    assert threading.get_ident() not in syncs, "the caller's thread was made to wait for the disk"


def test_a_full_disk_is_told_and_what_waits_is_written_later(home: Path) -> None:
    append_events(home, [SET])
    before = (home / FOLDER / "acts.jsonl").read_bytes()
    log = AuditLog(home)
    log.record(replace(SET, about="agent.queue"))
    log.record(wrong_token())
    with disk_full_after(len(before) + 10):
        assert not log._write()
    assert (home / FOLDER / "acts.jsonl").read_bytes() == before
    assert log.problem is not None
    assert log._write()
    assert log.problem is None
    assert sorted(str(event.about) for event in recorded(home)) == ["None", "agent.queue", "agent.turn_s"]
