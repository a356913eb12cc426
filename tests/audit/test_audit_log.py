"""The security log: what its lines hold, that it cannot be washed out, and what it costs."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.test_durable import disk_full_after

from microclaw.audit import AuditEvent, AuditKind, AuditLog, append_events, open_alarms, read_events
from microclaw.audit.event import line_of
from microclaw.audit.files import FILE_BYTES, FILES, FOLDER, Followed, append_lines
from microclaw.boards import board_ids
from microclaw.errors import StoreError

DAY_S = 86_400


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def s(self) -> float:
        return self.now

    def ms(self) -> int:
        return int(self.now * 1000)


@contextmanager
def running(home: Path, clock: Clock | None = None) -> Iterator[AuditLog]:
    clock = clock or Clock()
    log = AuditLog(home, clock_s=clock.s, now_ms=clock.ms)
    log.start()
    try:
        yield log
    finally:
        log.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


def wrong_token(number: int = 0) -> AuditEvent:
    return AuditEvent(AuditKind.TOKEN_WRONG, "a token that opens nothing", address=f"10.0.{number % 250}.7")


def test_a_line_is_one_json_object_in_a_private_file(home: Path) -> None:
    with running(home) as log:
        log.record(AuditEvent(AuditKind.TOKEN_MADE, "for ada, 30 days", about="ci", by="owner"))
    path = home / FOLDER / "acts.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    line = json.loads(path.read_bytes())
    assert (line.pop("n"), line.pop("prev")) == (1, "0" * 64)
    assert line == {
        "at": "2027-01-15T08:00:00.000Z",
        "kind": "token.made",
        "text": "for ada, 30 days",
        "about": "ci",
        "by": "owner",
    }


@pytest.mark.parametrize(
    "secret",
    [
        "mc_" + "aB3-" * 10 + "xyz",
        "mc1_d-1234abcd_" + "Zz9_" * 10 + "abc",
        "JBSWY3DPEHPK3PXPJBSWY3DPEH",
        "sk-" + "q7Rt" * 8,
    ],
)
def test_what_looks_like_a_secret_is_masked(secret: str) -> None:
    line = line_of(AuditEvent(AuditKind.TOKEN_WRONG, f"was {secret}.", about=secret, by=secret), 0)
    assert secret.encode() not in line
    assert secret[-12:].encode() not in line


@pytest.mark.parametrize(
    "plain",
    ["living-room-lamp-number-1.1", "virtual:/tmp/microclaw-boards/virtual-1.sock", "usb-Espressif-serial-unit-3"],
)
def test_a_name_or_path_of_words_is_no_secret(plain: str) -> None:
    assert plain.encode() in line_of(AuditEvent(AuditKind.DEVICE_ADDED, f"{plain}: added", about=plain), 0)


@pytest.mark.parametrize("board", board_ids())
def test_a_boards_profile_is_no_secret_and_hides_none(board: str) -> None:
    secret = "sk-" + "q7Rt" * 8
    text = f"{board}, at {secret} {board}{secret} {secret}{board}, a {board}."
    shown = json.loads(line_of(AuditEvent(AuditKind.DEVICE_ADDED, text, known=(board,)), 0))["text"]
    assert shown.startswith(f"{board}, at [masked] ")
    assert shown.endswith(f", a {board}.")
    assert "q7Rt" not in shown
    assert shown.count(board) == 2


def test_text_is_cleaned_bounded_and_on_one_line() -> None:
    nasty = "\x1b[2J\u202eevil\nsecond line\u200b" + "x y " * 20_000
    line = line_of(AuditEvent(AuditKind.PAIRING_ASKED, nasty, about=nasty, address=nasty, by=nasty), 0)
    assert line.count(b"\n") == 1
    assert len(line) < 1000
    assert not {"\x1b", "\u202e", "\u200b", "\n"} & set("".join(map(str, json.loads(line).values())))


def test_a_flood_of_one_kind_leaves_the_others_and_is_counted(home: Path) -> None:
    clock = Clock()
    with running(home, clock) as log:
        log.record(AuditEvent(AuditKind.CERTIFICATE_FOREIGN, "of another authority", address="192.0.2.1"))
        for number in range(20_000):
            log.record(wrong_token(number))
        log.record(AuditEvent(AuditKind.CREDENTIAL_REFUSED, "revoked", address="192.0.2.1"))
    events = [found.event for found in read_events(home)]
    assert [event.kind for event in events].count(AuditKind.CERTIFICATE_FOREIGN) == 1
    assert [event.kind for event in events].count(AuditKind.CREDENTIAL_REFUSED) == 1
    wrong = [event for event in events if event.kind is AuditKind.TOKEN_WRONG]
    assert len(wrong) <= 22
    assert sum(event.count for event in wrong) == 20_000
    assert "10.0.21.0/24 80" in wrong[-1].text


def test_one_address_does_not_use_up_the_lines_of_the_others(home: Path) -> None:
    with running(home) as log:
        for _ in range(1000):
            log.record(wrong_token(1))
        log.record(wrong_token(2))
    assert [found.event.address for found in read_events(home)].count("10.0.2.7") == 1


@pytest.mark.parametrize(
    "kind", [AuditKind.TASK_STARTED, AuditKind.TASK_ENDED, AuditKind.CALL_ACTED, AuditKind.CHANGE_UNDONE]
)
def test_the_acts_of_one_person_leave_out_no_line_of_another_and_none_that_was_agreed_to(
    home: Path, kind: AuditKind
) -> None:
    with running(home) as log:
        for person in ("Mia", "Tom", "Ben"):
            for number in range(1000):
                log.record(
                    AuditEvent(kind, "again", about=f"task {number}" if "task" in kind else "kitchen", by=person)
                )
        log.record(AuditEvent(kind, "the owner's", about="kitchen", by="owner"))
        log.record(AuditEvent(kind, "Mia's with a yes", about="kitchen", by="Mia", approval="17"))
        log.record(AuditEvent(kind, "Mia's with a network", about="kitchen", by="Mia", network=True))
    events = [found.event for found in read_events(home)]
    assert len(events) < 1000
    assert sum(event.count for event in events) == 3003
    assert [event.text for event in events if event.by == "owner"] == ["the owner's"]
    assert all(sum(event.by == name for event in events) >= 60 for name in ("Mia", "Tom", "Ben"))
    if kind is not AuditKind.CHANGE_UNDONE:  # only what a program can repeat has few lines
        assert {"Mia's with a yes", "Mia's with a network"} <= {event.text for event in events}


TRIED = [AuditKind.EGRESS_REFUSED, AuditKind.EGRESS_ALLOWED, AuditKind.APPROVAL_ASKED, AuditKind.APPROVAL_EXPIRED,
         AuditKind.TASK_REFUSED, AuditKind.TOKEN_MISUSED]  # fmt: skip


@pytest.mark.parametrize("kind", TRIED)
def test_the_tries_of_people_leave_out_no_line_of_another_person(home: Path, kind: AuditKind) -> None:
    noisy = ("Mia", "Tom", "Ben", "Eve", "Jo", "Al")
    with running(home) as log:
        for person in noisy:
            for number in range(1000):
                log.record(AuditEvent(kind, "again", about=f"task {person} {number // 10}", by=person))
        for number in range(1000):  # and somebody whom nobody knows
            log.record(AuditEvent(kind, "a stranger's", address=f"10.{number % 200}.0.1"))
        log.record(AuditEvent(kind, "the owner's", about="task 7", by="owner"))
    events = [found.event for found in read_events(home)]
    assert sum(event.count for event in events) == 7001
    assert [event.text for event in events if event.by == "owner"] == ["the owner's"]
    assert all(60 <= sum(event.by == name for event in events) <= 61 for name in noisy)
    assert "a stranger's" in {event.text for event in events}


def test_what_an_hour_left_out_is_said_when_it_is_over(home: Path) -> None:
    clock = Clock()
    with running(home, clock) as log:
        for _ in range(50):
            log.record(wrong_token())
        clock.now += 3601
        log.record(AuditEvent(AuditKind.SECRET_WRONG, "no such secret", address="192.0.2.9"))
    events = [found.event for found in read_events(home)]
    assert [event.kind for event in events[-2:]] == [AuditKind.TOKEN_WRONG, AuditKind.SECRET_WRONG]
    assert sum(event.count for event in events) == 51


def test_nothing_from_outside_washes_out_what_people_did(home: Path) -> None:
    """Even without any limit: what comes from outside is in files of its own, and those are bounded."""
    append_events(home, [AuditEvent(AuditKind.TOKEN_REVOKED, "it opens nothing", about="ci", by="owner")])
    noise = line_of(AuditEvent(AuditKind.TOKEN_WRONG, "no " * 60, address="10.0.0.1"), 0)
    for _ in range(2 * FILES * FILE_BYTES // (2000 * len(noise))):
        append_lines(home / FOLDER, {"attempts": [noise] * 2000})
    files = list((home / FOLDER).iterdir())
    assert max(path.stat().st_size for path in files) <= FILE_BYTES
    assert len(files) == FILES + 1 + 2  # and the two heads
    assert [found.event.about for found in read_events(home, kinds={"token.revoked"})] == ["ci"]


@contextmanager
def counted_syncs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    real, calls = os.fsync, list[int]()

    def fsync(fd: int) -> None:
        calls.append(threading.get_ident())
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    yield lambda: len(calls)
    assert threading.get_ident() not in calls, "the caller's thread was made to wait for the disk"


def test_a_thousand_failing_logins_cost_a_few_syncs_and_none_on_the_loop(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_syncs(monkeypatch) as syncs:
        with running(home) as log:
            for number in range(1000):
                log.record(wrong_token(number))
        # Of each time that the thread woke a file's and, when it is new, its folder's; two say that a chain began.
        assert 0 < syncs() <= 10


def test_a_full_disk_is_said_and_what_waits_is_written_later(home: Path) -> None:
    append_events(home, [AuditEvent(AuditKind.CONFIG_CHANGED, "set", about="agent.turn_s")])
    path = home / FOLDER / "acts.jsonl"
    before = path.read_bytes()
    with disk_full_after(len(before) + 10), pytest.raises(OSError, match="File too large"):
        append_lines(home / FOLDER, {"acts": [line_of(AuditEvent(AuditKind.CONFIG_CHANGED, "x" * 100), 0)]})
    assert path.read_bytes() == before
    log = AuditLog(home)
    log.record(AuditEvent(AuditKind.CONFIG_CHANGED, "set", about="agent.queue"))
    log._take()
    with disk_full_after(len(before) + 10):
        assert not log._write()
    assert log.problem is not None
    assert log._write()
    assert log.problem is None
    assert [found.event.about for found in read_events(home)] == ["agent.turn_s", "agent.queue"]


def test_a_torn_line_loses_itself_alone(home: Path) -> None:
    event = AuditEvent(AuditKind.CONFIG_CHANGED, "set", about="agent.turn_s")
    append_events(home, [event])
    path = home / FOLDER / "acts.jsonl"
    with path.open("ab") as file:
        file.write(b'{"at":"2026-01-0')
    append_events(home, [event])
    assert [found.event for found in read_events(home)] == [event, event]


def test_reading_chooses_by_time_and_by_kind_or_group(home: Path) -> None:
    clock = Clock()
    with running(home, clock) as log:
        for kind in (AuditKind.TOKEN_MADE, AuditKind.TOKEN_WRONG, AuditKind.CODE_WRONG):
            log.record(AuditEvent(kind, "x"))
            clock.now += 10
    begun_ms = 1_800_000_000_000
    assert [f.event.kind.value for f in read_events(home)] == ["token.made", "token.wrong", "code.wrong"]
    assert [f.event.kind.value for f in read_events(home, since_ms=begun_ms + 1)] == ["token.wrong", "code.wrong"]
    assert [f.event.kind.value for f in read_events(home, kinds={"token"})] == ["token.made", "token.wrong"]
    assert [f.event.kind.value for f in read_events(home, kinds={"code.wrong"})] == ["code.wrong"]


def test_following_sees_what_is_added_also_across_a_rotation(home: Path) -> None:
    event = AuditEvent(AuditKind.CONFIG_CHANGED, "set", about="agent.turn_s")
    append_events(home, [event])
    followed = Followed(home)
    assert len(followed.new()) == 1
    assert followed.new() == ()
    append_events(home, [event])
    filling = [line_of(replace(event, text="a b c " * 30), 0)] * (FILE_BYTES // 400)
    append_lines(home / FOLDER, {"acts": filling})
    append_lines(home / FOLDER, {"acts": filling})
    assert len(followed.new()) == 1 + 2 * (FILE_BYTES // 400)
    assert followed.new() == ()


def test_an_alarm_stays_open_until_its_device_was_revoked_or_paired_again(home: Path) -> None:
    clock = Clock()
    with running(home, clock) as log:
        log.record(AuditEvent(AuditKind.CREDENTIAL_SUPERSEDED, "an old token", about="lamp"))
        log.record(AuditEvent(AuditKind.CREDENTIAL_SUPERSEDED, "an old token", about="fan"))
        assert [alarm.event.about for alarm in log.alarms()] == ["lamp", "fan"]
        log.record(AuditEvent(AuditKind.CREDENTIAL_REVOKED, "by a person", about="lamp"))
        assert [alarm.event.about for alarm in log.alarms()] == ["fan"]
    with running(home, clock) as log:
        assert [alarm.event.about for alarm in log.alarms()] == ["fan"]
        clock.now += 8 * DAY_S
        assert log.alarms() == ()
    assert open_alarms(read_events(home), clock.ms()) == ()


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "broken link"])
def test_what_is_no_file_in_the_logs_place_blocks_nothing(home: Path, tmp_path: Path, kind: str) -> None:
    folder = home / FOLDER
    folder.mkdir(mode=0o700)
    target = tmp_path / "elsewhere"
    path = folder / "acts.jsonl"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to(target)
    if kind == "link":
        target.write_bytes(b"theirs")
    with running(home) as log:
        log.record(AuditEvent(AuditKind.CONFIG_CHANGED, "set", about="model.name"))
    for use in (
        lambda: append_events(home, [AuditEvent(AuditKind.CONFIG_CHANGED, "set")]),
        lambda: list(read_events(home)),
        Followed(home).new,
    ):
        with pytest.raises(StoreError):
            use()
    assert target.exists() == (kind == "link")
    assert kind != "link" or target.read_bytes() == b"theirs"
