"""The security log's chain: every change of its lines is told, what a power cut leaves is not taken for one."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.test_durable import disk_full_after

from microclaw.audit import (
    AuditEvent,
    AuditKind,
    ChainReport,
    append_events,
    files,
    kept_heads,
    read_events,
    verify_chains,
)
from microclaw.audit.chain import Link, hash_of, read_head, seal
from microclaw.audit.event import line_of
from microclaw.audit.files import FILES, FOLDER

EVENT = AuditEvent(AuditKind.TOKEN_REVOKED, "it opens nothing", about="ci", by="owner")
OUTSIDE = AuditEvent(AuditKind.TOKEN_WRONG, "opens nothing", address="192.0.2.9")
LINE = line_of(EVENT, 0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


@pytest.fixture
def acts(home: Path) -> Path:
    """Five lines, in three writes."""
    append_events(home, [EVENT, OUTSIDE])
    append_events(home, [EVENT, EVENT])
    append_events(home, [EVENT, EVENT, OUTSIDE])
    return home / FOLDER / "acts.jsonl"


def report_of(home: Path, stem: str = "acts", noted: tuple[str, ...] = ()) -> ChainReport:
    (found,) = [report for report in verify_chains(home, noted) if report.stem == stem]
    return found


def broken(home: Path) -> list[str]:
    return [f"{one.what} {one.line}" for one in report_of(home).breaks]


def edited(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def test_each_line_names_the_one_before_and_the_kept_head_the_last(home: Path, acts: Path) -> None:
    before = "0" * 64
    for number, line in enumerate(acts.read_bytes().splitlines(), 1):
        assert (json.loads(line)["n"], json.loads(line)["prev"]) == (number, before)
        before = hash_of(line)
    assert kept_heads(home)["acts"] == Link(5, before)
    report = report_of(home)
    assert report.whole
    assert (report.lines, report.torn, report.last) == (5, 0, Link(5, before))
    assert report_of(home, "attempts").lines == 2


def test_a_log_without_a_line_is_whole(home: Path) -> None:
    assert all(report.whole and not report.lines for report in verify_chains(home))
    assert kept_heads(home) == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"ci", b"cd"), *lines[2:]], ["changed 3"]),
        (lambda lines: [*lines[:4], lines[4].replace(b"owner", b"guest")], ["changed 5"]),
        (lambda lines: [lines[0].replace(b"ci", b"cd"), *lines[1:]], ["changed 2"]),
        (lambda lines: [lines[0], *lines[2:]], ["removed 2"]),
        (lambda lines: lines[1:], ["removed 1"]),
        (lambda lines: [lines[0], *lines[3:]], ["removed 2"]),
        (lambda lines: [*lines[:2], LINE, *lines[2:]], ["inserted 3"]),
        (lambda lines: [*lines, LINE], ["inserted 6"]),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], ["inserted 3"]),
        (lambda lines: [*lines[:1], lines[2], lines[1], *lines[3:]], ["removed 2", "inserted 3"]),
        (lambda lines: lines[:3], ["cut 3"]),
        (lambda _: [], ["cut 0"]),
        (lambda lines: [*lines[:2], lines[2][:40] + b"\n", *lines[3:]], ["removed 4"]),
        (lambda lines: [*lines[:4], lines[4][:40]], ["cut 5"]),
        (lambda lines: [line.replace(b"\n", b"\r\n") for line in lines], ["changed 2"]),
    ],
    ids=[
        "changed", "last changed", "first changed", "removed", "first removed", "two removed", "without a place",
        "added at the end", "twice", "swapped", "cut", "emptied", "unreadable", "last unreadable", "line ends",
    ],
)  # fmt: skip
def test_a_hand_in_the_lines_is_told_and_where(
    home: Path, acts: Path, change: Callable[[list[bytes]], list[bytes]], told: list[str]
) -> None:
    edited(acts, change)
    assert broken(home)[: len(told)] == told
    assert report_of(home, "attempts").whole
    append_events(home, [EVENT])
    assert not report_of(home).whole, "a later line made good what was broken"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_single_byte_that_is_changed_is_told(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o700)
    append_events(home, [EVENT] * 3)
    path = home / FOLDER / "acts.jsonl"
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    report = report_of(home)
    assert not report.whole or at == len(content) - 1


def test_a_forged_line_with_a_right_place_is_told(home: Path, acts: Path) -> None:
    lines = acts.read_bytes().splitlines(keepends=True)
    forged, _ = seal([LINE], Link(2, hash_of(lines[1][:-1])))
    edited(acts, lambda lines: [*lines[:2], forged, *lines[2:]])
    assert not report_of(home).whole


def test_what_a_power_cut_left_is_no_forgery_and_is_said(home: Path, acts: Path) -> None:
    with acts.open("ab") as file:
        file.write(b'{"at":"2026-01-0')
    report = report_of(home)
    assert (report.whole, report.torn) == (True, 1)
    append_events(home, [EVENT])
    report = report_of(home)
    assert (report.whole, report.torn, report.torn_at, report.lines) == (True, 1, (("acts.jsonl", 6),), 6)
    assert len(list(read_events(home, kinds={"token.revoked"}))) == 6


def test_lines_whose_head_a_power_cut_took_are_gone_on_with(home: Path, acts: Path) -> None:
    head = (home / FOLDER / "acts.head").read_bytes()
    append_events(home, [EVENT, EVENT])
    with acts.open("ab") as file:
        file.write(b'{"at":"20')
    (home / FOLDER / "acts.head").write_bytes(head)
    assert report_of(home).whole
    append_events(home, [EVENT])
    assert (report_of(home).whole, report_of(home).lines) == (True, 8)


def test_a_head_that_cannot_be_written_loses_no_line_and_no_order(home: Path, acts: Path) -> None:
    head = home / FOLDER / "acts.head"
    (home / FOLDER / "acts.head.new").mkdir()
    append_events(home, [EVENT])
    before = read_head(head)
    append_events(home, [EVENT])
    assert read_head(head) == before
    (home / FOLDER / "acts.head.new").rmdir()
    append_events(home, [EVENT])
    assert (report_of(home).whole, report_of(home).lines) == (True, 8)


def test_a_full_disk_breaks_no_chain(home: Path, acts: Path) -> None:
    with disk_full_after(acts.stat().st_size + 10), pytest.raises(OSError, match="File too large"):
        append_events(home, [EVENT])
    append_events(home, [EVENT])
    assert (report_of(home).whole, report_of(home).lines) == (True, 6)


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"last":{"n":-1,"hash":"x"},"file_bytes":0}', b"\xff" * 9000])
def test_a_kept_head_that_is_gone_or_no_head_is_told(home: Path, acts: Path, content: bytes | None) -> None:
    head = home / FOLDER / "acts.head"
    head.unlink()
    if content is not None:
        head.write_bytes(content)
    assert broken(home) == ["head 5"]
    append_events(home, [EVENT])  # goes on after the last line that is there
    assert report_of(home).lines == 6
    assert report_of(home).whole


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("lost", ["folder", "files"])
def test_a_chain_that_is_gone_is_told(home: Path, acts: Path, lost: str, goes_on: bool) -> None:
    if lost == "folder":
        shutil.rmtree(home / FOLDER)
    else:
        for path in (home / FOLDER).iterdir():
            path.unlink()
    if goes_on:
        append_events(home, [EVENT])
    assert [one.what for one in report_of(home).breaks] == ["cut"]
    if goes_on:
        (home / "audit.begun").unlink()
        assert report_of(home).whole


def many(home: Path, files: int) -> None:
    """Fill so many files of 2,000 bytes."""
    for _ in range(2 * files):
        append_events(home, [EVENT] * 4)


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FILE_BYTES", 2_000)  # eight lines


def test_the_chain_goes_over_files_and_what_rotated_away_is_told_by_the_anchor(home: Path, small_files: None) -> None:
    many(home, 4)
    folder = home / FOLDER
    first = json.loads((folder / "acts.jsonl").read_bytes().split(b"\n")[0])
    assert first["prev"] == hash_of((folder / "acts.1.jsonl").read_bytes().splitlines()[-1])
    assert (report_of(home).whole, report_of(home).anchor.n) == (True, 0)
    many(home, FILES + 2)
    report = report_of(home)
    assert report.whole
    assert report.anchor.n + report.lines == report.last.n
    assert report.anchor.n > 0
    (folder / f"acts.{FILES - 1}.jsonl").unlink()
    assert broken(home) == ["removed 1"]


def test_a_file_that_is_removed_from_the_middle_is_told(home: Path, small_files: None) -> None:
    many(home, 4)
    (home / FOLDER / "acts.1.jsonl").unlink()
    assert broken(home) == ["removed 1"]


class PowerCut(BaseException):
    """The process ends here."""


@contextmanager
def cut_at(call: int) -> Iterator[None]:
    """Let the call-th change of the disk (a sync, a renaming, a removal) not be done, nor anything after it."""
    left = [call]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def do(*words: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise PowerCut
            return real(*words, **named)

        return do

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((os, "fsync"), (Path, "rename"), (Path, "unlink")):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        yield


def test_a_power_cut_at_each_step_of_a_rotation_breaks_nothing(home: Path, tmp_path: Path, small_files: None) -> None:
    many(home, FILES + 1)
    while (home / FOLDER / "acts.jsonl").stat().st_size < 1_750:
        append_events(home, [EVENT])
    before = report_of(home).last.n
    cuts = 0
    while cuts < 200:
        broken_off = Path(shutil.copytree(home, tmp_path / f"cut-{cuts}"))
        try:
            with cut_at(cuts):
                append_events(broken_off, [EVENT])
        except PowerCut:
            pass
        else:
            break
        assert report_of(broken_off).whole, cuts
        append_events(broken_off, [EVENT])
        report = report_of(broken_off)
        assert report.whole, cuts
        assert before < report.last.n <= before + 2
        assert report.anchor.n + report.lines >= report.last.n
        cuts += 1
    assert FILES < cuts < 200


def test_a_noted_head_tells_of_a_log_that_was_written_anew(home: Path, acts: Path) -> None:
    noted = kept_heads(home)["acts"].hash
    append_events(home, [EVENT])
    assert report_of(home, noted=(noted,)).found == {noted}
    for path in (home / FOLDER).iterdir():
        path.unlink()
    (home / "audit.begun").unlink()
    append_events(home, [EVENT] * 8)
    report = report_of(home, noted=(noted,))
    assert report.whole, "a new chain is whole by itself"
    assert not report.found


def test_two_processes_that_write_make_one_chain(home: Path) -> None:
    """Each looks for the end again; nothing of it is remembered in a process."""
    head = home / FOLDER / "acts.head"
    append_events(home, [EVENT])
    old = head.read_bytes()
    append_events(home, [EVENT])
    head.write_bytes(old)
    append_events(home, [EVENT])
    assert [json.loads(line)["n"] for line in (home / FOLDER / "acts.jsonl").read_bytes().splitlines()] == [1, 2, 3]


WRITER = """
import sys
from pathlib import Path
from microclaw.audit.event import AuditEvent, AuditKind, line_of
from microclaw.audit.files import append_lines
line = line_of(AuditEvent(AuditKind.TOKEN_REVOKED, "a b c " * 30, about="ci"), 0)
while True:
    append_lines(Path(sys.argv[1]), {"acts": [line] * 150})
"""


def test_a_writer_that_is_killed_at_any_moment_leaves_a_chain_that_goes_on(home: Path) -> None:
    """kill -9 between and within lines, heads and rotations; the next writer goes on."""
    chance, folder = random.Random(61), home / FOLDER
    lines = 0
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)]) as writer:
            wanted = lines + chance.randrange(1, 6_000)
            deadline = time.monotonic() + 60
            while (at := kept_heads(home).get("acts", Link(0, ""))).n < wanted and time.monotonic() < deadline:
                assert writer.poll() is None
            writer.kill()
        report = report_of(home)
        assert report.whole, report
        assert report.last.n >= at.n >= wanted
        lines = report.last.n
    assert (folder / "acts.1.jsonl").exists(), "nothing was rotated"
