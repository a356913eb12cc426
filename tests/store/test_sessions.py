from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microclaw.errors import StoreError
from microclaw.store.sessions import SessionFiles, SessionMessage

HELLO = SessionMessage("user", "Hello", 1738764800)
ANSWER = SessionMessage("assistant", "Hi there!", 1738764801)


@pytest.fixture
def sessions(tmp_path: Path) -> SessionFiles:
    return SessionFiles(tmp_path / "sessions")


async def test_file_is_mimiclaws(sessions: SessionFiles) -> None:
    await sessions.append("tg", "12345", [HELLO])
    path = sessions.folder / "tg_12345.jsonl"
    assert path.read_bytes() == b'{"role":"user","content":"Hello","ts":1738764800}\n'
    assert path.stat().st_mode & 0o777 == 0o600
    assert sessions.folder.stat().st_mode & 0o777 == 0o700


async def test_file_larger_than_the_window_is_read_from_its_end(
    sessions: SessionFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microclaw.store.sessions.TAIL_BYTES", 300)
    await sessions.append("ws", "c", [SessionMessage("user", "x" * 40, n) for n in range(50)])
    loaded = await sessions.load("ws", "c")
    assert loaded[-1].ts == 49
    assert 2 <= len(loaded) <= 5


@pytest.mark.parametrize("keep", range(1, 50))
async def test_torn_last_line_is_repaired_and_nothing_else_lost(sessions: SessionFiles, keep: int) -> None:
    await sessions.append("ws", "c", [HELLO])
    path = sessions.path("ws", "c")
    line = path.read_bytes()
    assert len(line) == 50
    path.write_bytes(line + line[:keep])
    whole = keep == len(line) - 1  # only its newline is missing
    assert await sessions.load("ws", "c") == ((HELLO, HELLO) if whole else (HELLO,))
    await sessions.append("ws", "c", [ANSWER])
    assert await sessions.load("ws", "c") == ((HELLO, HELLO, ANSWER) if whole else (HELLO, ANSWER))
    assert [json.loads(row)["ts"] for row in path.read_bytes().splitlines()][-1] == ANSWER.ts


async def test_file_that_is_all_torn_line_starts_again(sessions: SessionFiles) -> None:
    sessions.folder.mkdir()
    sessions.path("ws", "c").write_bytes(b'{"role":"us')
    await sessions.append("ws", "c", [HELLO])
    assert await sessions.load("ws", "c") == (HELLO,)


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"\xff\xfe",
        b"[]",
        b'{"role":"system","content":"x"}',
        b'{"role":"user"}',
        b'{"role":"user","content":5}',
    ],
)
async def test_line_that_is_no_message_is_passed_over_and_logged(
    sessions: SessionFiles, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await sessions.append("ws", "c", [HELLO])
    path = sessions.path("ws", "c")
    path.write_bytes(line + b"\n" + path.read_bytes())
    with caplog.at_level(logging.WARNING):
        assert await sessions.load("ws", "c") == (HELLO,)


@given(st.text(max_size=300))
@settings(max_examples=150, deadline=None)
def test_path_never_leaves_the_folder(chat_id: str) -> None:
    folder = Path("sessions")
    path = SessionFiles(folder).path("ws", chat_id)
    assert path.parent == folder
    assert path.name.startswith("ws_")
    assert len(path.name) <= 130
    assert path.name.isascii()


@given(st.text(max_size=200), st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_two_chats_never_share_a_file(one: str, other: str) -> None:
    sessions = SessionFiles(Path("sessions"))
    assert (sessions.path("ws", one) == sessions.path("ws", other)) == (one == other)


def test_long_chat_ids_that_begin_alike_have_files_of_their_own() -> None:
    sessions = SessionFiles(Path("sessions"))
    assert sessions.path("ws", "x" * 500 + "a") != sessions.path("ws", "x" * 500 + "b")


async def test_link_in_place_of_a_file_is_not_followed(sessions: SessionFiles, tmp_path: Path) -> None:
    target = tmp_path / "secret"
    target.write_text("keep me\n")
    sessions.folder.mkdir()
    sessions.path("ws", "c").symlink_to(target)
    with pytest.raises(StoreError) as refused:
        await sessions.append("ws", "c", [HELLO])
    assert refused.value.next_step is not None
    assert target.read_text() == "keep me\n"


async def test_a_line_of_somebody_else_names_the_person(sessions: SessionFiles) -> None:
    guest = SessionMessage("user", "hi", 5, "p-7")
    await sessions.append("tg", "1", [HELLO, guest])
    assert json.loads(sessions.path("tg", "1").read_bytes().splitlines()[1])["person"] == "p-7"
    assert await sessions.load("tg", "1") == (HELLO, guest)


async def test_a_removed_conversation_leaves_no_file(sessions: SessionFiles) -> None:
    await sessions.append("tg", "1", [HELLO])
    await sessions.append("ws", "a/b", [ANSWER])
    await sessions.keep_summary("ws", "a/b", "{}")
    await sessions.remove("ws_a%2Fb")
    assert [path.name for path in sessions.folder.iterdir()] == ["tg_1.jsonl"]


async def test_a_cleared_conversation_has_no_summary(sessions: SessionFiles) -> None:
    await sessions.append("tg", "1", [HELLO])
    summary = sessions.summary_path("tg", "1")
    summary.write_text("{}")
    await sessions.clear("tg", "1")
    assert not summary.exists()


async def test_more_is_read_of_a_file_when_its_end_holds_too_few(
    sessions: SessionFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microclaw.store.sessions._FIRST_TAIL_BYTES", 100)
    await sessions.append("ws", "c", [SessionMessage("user", "x" * 40, n) for n in range(50)])
    assert [m.ts for m in await sessions.load("ws", "c", newest=45)] == list(range(5, 50))
    assert len(await sessions.load("ws", "c", newest=500)) == 50
