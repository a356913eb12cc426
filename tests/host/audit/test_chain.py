"""The security log's chain: every change of its lines is told, what a power cut leaves is not taken for one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.host.auth.power_cut import PowerCut, cut_at

from microclaw.host.audit import log_files
from microclaw.host.audit.event import AuditEvent, AuditKind, line_of
from microclaw.host.audit.log_files import FOLDER, ChainLink, ChainReport, append_events, hash_of, seal, verify_chains

EVENT = AuditEvent(AuditKind.TOKEN_REVOKED, "it opens nothing", about="ci", by="owner")
OUTSIDE = AuditEvent(AuditKind.TOKEN_WRONG, "opens nothing", address="192.0.2.9")
LINE = line_of(EVENT, 0)
FILES = 6


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


@pytest.fixture
def acts(home: Path) -> Path:
    """Five lines, in three writes."""
    for events in ([EVENT, OUTSIDE], [EVENT, EVENT], [EVENT, EVENT, OUTSIDE]):
        append_events(home, events)
    return home / FOLDER / "acts.jsonl"


def report_of(home: Path, stem: str = "acts") -> ChainReport:
    (found,) = [report for report in verify_chains(home) if report.stem == stem]
    return found


def broken(home: Path) -> list[str]:
    return [f"{one.what} {one.line}" for one in report_of(home).breaks]


def test_each_line_names_the_one_before_and_the_kept_head_the_last(home: Path, acts: Path) -> None:
    before = "0" * 64
    for number, line in enumerate(acts.read_bytes().splitlines(), 1):
        assert (json.loads(line)["n"], json.loads(line)["prev"]) == (number, before)
        before = hash_of(line)
    report = report_of(home)
    assert (report.is_whole, report.lines, report.torn, report.last) == (True, 5, [], ChainLink(5, before))
    head = {"last": {"n": 5, "hash": before}, "file_bytes": acts.stat().st_size, "anchor": {"n": 0, "hash": "0" * 64}}
    assert json.loads((home / FOLDER / "acts.head").read_bytes()) == head  # homes of before have it so
    assert json.loads((home / "audit.begun").read_bytes()) == {"attempts": False, "acts": False}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"ci", b"cd"), *lines[2:]], ["changed 3"]),
        (lambda lines: [*lines[:4], lines[4].replace(b"owner", b"guest")], ["changed 5"]),
        (lambda lines: [lines[0], *lines[2:]], ["removed 2"]),
        (lambda lines: lines[1:], ["removed 1"]),
        (lambda lines: [*lines[:2], LINE, *lines[2:]], ["inserted 3"]),
        (lambda lines: [*lines, LINE], ["inserted 6"]),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], ["inserted 3"]),
        (lambda lines: [*lines[:1], lines[2], lines[1], *lines[3:]], ["removed 2", "inserted 3"]),
        (lambda lines: [*lines[:2], seal([LINE], ChainLink(2, hash_of(lines[1][:-1])))[0], *lines[2:]], ["inserted 4"]),
        (lambda lines: lines[:3], ["cut 3"]),
        (lambda _: [], ["cut 0"]),
        (lambda lines: [*lines[:2], lines[2][:40] + b"\n", *lines[3:]], ["removed 4"]),
        (lambda lines: [*lines[:4], lines[4][:40]], ["cut 5"]),
        (lambda lines: [line.replace(b"\n", b"\r\n") for line in lines], ["changed 2"]),
    ],
)
def test_a_hand_in_the_lines_is_told_and_where(
    home: Path, acts: Path, change: Callable[[list[bytes]], list[bytes]], told: list[str]
) -> None:
    acts.write_bytes(b"".join(change(acts.read_bytes().splitlines(keepends=True))))
    assert broken(home)[: len(told)] == told
    assert report_of(home, "attempts").is_whole
    append_events(home, [EVENT])
    assert not report_of(home).is_whole, "a later line made good what was broken"


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_single_byte_that_is_changed_is_told(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    append_events(home, [EVENT] * 3)
    path = home / FOLDER / "acts.jsonl"
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    assert not report_of(home).is_whole or at == len(content) - 1


def test_what_a_power_cut_left_is_no_forgery_and_lines_without_a_head_are_gone_on_with(home: Path, acts: Path) -> None:
    head = (home / FOLDER / "acts.head").read_bytes()
    append_events(home, [EVENT, EVENT])
    with acts.open("ab") as file:
        file.write(b'{"at":"2026-01-0')
    (home / FOLDER / "acts.head").write_bytes(head)
    assert report_of(home).is_whole
    append_events(home, [EVENT])
    report = report_of(home)
    assert (report.is_whole, report.torn, report.lines) == (True, [("acts.jsonl", 8)], 8)


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"last":{"n":-1,"hash":"x"},"file_bytes":0}', b"\xff" * 9000])
def test_a_kept_head_that_is_gone_or_no_head_is_told(home: Path, acts: Path, content: bytes | None) -> None:
    head = home / FOLDER / "acts.head"
    head.unlink()
    if content is not None:
        head.write_bytes(content)
    assert broken(home) == ["head 5"]
    append_events(home, [EVENT])  # goes on after the last line that is there
    assert (report_of(home).is_whole, report_of(home).lines) == (True, 6)


@pytest.mark.parametrize("lost", ["audit", "audit/*"])
def test_a_chain_that_is_gone_is_told(home: Path, acts: Path, lost: str) -> None:
    for path in list(home.glob(lost)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert [one.what for one in report_of(home).breaks] == ["cut"]
    append_events(home, [EVENT])
    assert [one.what for one in report_of(home).breaks] == ["cut"]
    (home / "audit.begun").unlink()
    assert report_of(home).is_whole


@pytest.fixture
def fill(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Fill so many files of 2,000 bytes: eight lines each; FILES are kept."""
    monkeypatch.setattr(log_files, "FILE_BYTES", 2_000)
    monkeypatch.setattr(log_files, "FILES", FILES)

    def fill(number: int) -> None:
        for _ in range(2 * number):
            append_events(home, [EVENT] * 4)

    return fill


def test_the_chain_goes_over_files_and_the_anchor_tells_what_rotated_away(
    home: Path, fill: Callable[[int], None]
) -> None:
    fill(4)
    folder = home / FOLDER
    assert (report_of(home).is_whole, report_of(home).anchor.n, report_of(home).lines) == (True, 0, 32)
    moved = (folder / "acts.1.jsonl").rename(home / "moved")
    assert broken(home) == ["removed 1"]
    moved.rename(folder / "acts.1.jsonl")
    fill(FILES + 2)
    report = report_of(home)
    assert (report.is_whole, report.anchor.n + report.lines, report.anchor.n > 0) == (True, report.last.n, True)
    (folder / f"acts.{FILES - 1}.jsonl").unlink()
    assert broken(home) == ["removed 1"]


def test_a_power_cut_at_each_step_of_a_rotation_breaks_nothing(
    home: Path, tmp_path: Path, fill: Callable[[int], None]
) -> None:
    fill(FILES + 1)
    while (home / FOLDER / "acts.jsonl").stat().st_size < 1_750:
        append_events(home, [EVENT])
    before = report_of(home).last.n
    for cuts in range(400):
        broken_off = Path(shutil.copytree(home, tmp_path / f"cut-{cuts}"))
        try:
            with pytest.MonkeyPatch.context() as patch:
                cut_at(cuts, patch)
                append_events(broken_off, [EVENT])
        except PowerCut:
            assert report_of(broken_off).is_whole, cuts
            append_events(broken_off, [EVENT])
            report = report_of(broken_off)
            assert report.is_whole, cuts
            assert before < report.last.n <= before + 2
            assert report.anchor.n + report.lines >= report.last.n
        else:
            break
    assert FILES < cuts < 399
