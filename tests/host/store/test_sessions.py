"""Conversations, on a single host and at several; a home of 0.1.0 has them in files, which are moved once and whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.errors import StoreError, UnknownName
from microclaw.host.store.database import Database
from microclaw.host.store.session_files import move_files
from microclaw.host.store.sessions import MAX_SUMMARY_BYTES, SessionMessage, Sessions, session_name

HELLO = SessionMessage("user", "Hello", 1738764800)
ANSWER = SessionMessage("assistant", "Hi there!", 1738764801)
NOW_MS = 1_738_764_900_000


@pytest.fixture
def sessions(database: Database) -> Sessions:
    return Sessions(database, lambda: NOW_MS)


async def test_messages_come_back_whole_and_in_order(sessions: Sessions) -> None:
    odd = SessionMessage("user", "half a pair \ud800, a NUL \0, grüß\n", 1 << 70, "p-7", 12, '{"asked": "which?"}')
    assert await sessions.load("ws", "client1") == ()
    await sessions.append("ws", "client1", [HELLO, ANSWER])
    await sessions.append("ws", "client1", [odd])
    assert await sessions.load("ws", "client1") == (HELLO, ANSWER, odd)


async def test_conversations_are_listed_shown_emptied_and_removed_by_name(sessions: Sessions) -> None:
    await sessions.append("tg", "1", [HELLO])
    await sessions.append("gateway", "tg_1", [ANSWER])  # a full name goes before a chat of that name
    assert {(one.name, one.size_bytes) for one in await sessions.list()} == {("tg_1", 50), ("gateway_tg_1", 59)}
    await sessions.keep_summary("tg", "1", "{}\n")
    await sessions.append("tg", "1", [ANSWER])
    assert (await sessions.show("tg_1"), await sessions.summary("tg", "1")) == ((HELLO, ANSWER), "{}\n")
    await sessions.empty("tg_1")
    assert (await sessions.load("tg", "1"), await sessions.summary("tg", "1")) == ((), "")
    assert len(await sessions.list()) == 2
    await sessions.keep_summary("tg", "1", "{}")
    await sessions.remove("tg_1")
    await sessions.append("tg", "1", [HELLO])
    assert await sessions.summary("tg", "1") == ""


async def test_a_conversation_is_found_by_its_chat_alone_unless_two_channels_have_it(sessions: Sessions) -> None:
    await sessions.append("tg", "999", [ANSWER])
    for channel, chat in (("terminal", "terminal"), ("tg", "12"), ("gateway", "a:b/c")):
        await sessions.append(channel, chat, [HELLO])
        assert await sessions.show(chat) == (HELLO,)
        assert await sessions.full_name(chat) == session_name(channel, chat)
        await sessions.remove(chat)
    for name in ("gone", "../store/x", "tg_999.jsonl", ""):
        with pytest.raises(UnknownName):
            await sessions.remove(name)
    assert [file.name for file in await sessions.list()] == ["tg_999"]
    await sessions.append("gateway", "999", [ANSWER])
    with pytest.raises(UnknownName) as refused:
        await sessions.remove("999")
    assert all(name in (refused.value.next_step or "") for name in ("tg_999", "gateway_999"))
    assert len(await sessions.list()) == 2


async def test_no_chat_has_anothers_messages(sessions: Sessions) -> None:
    chats = [("tg", "x" * 500 + "a"), ("tg", "x" * 500 + "b"), ("ws", "1"), ("tg", "1"), ("tg", "1/2"), ("tg", "1%2F2")]
    for number, chat in enumerate(chats):
        await sessions.append(*chat, [SessionMessage("user", str(number), number)])
    for number, chat in enumerate(chats):
        assert [one.content for one in await sessions.load(*chat)] == [str(number)]


async def test_what_is_loaded_is_limited_in_bytes(sessions: Sessions) -> None:
    await sessions.append("ws", "c", [SessionMessage("user", "x" * (1 << 20), n) for n in range(6)])
    loaded = await sessions.load("ws", "c")
    assert [one.ts for one in loaded] == [3, 4, 5]
    assert len(await sessions.summary("ws", "c")) <= MAX_SUMMARY_BYTES


@given(st.text(max_size=200), st.text(max_size=200))
def test_two_chats_never_share_a_short_plain_name(one: str, other: str) -> None:
    names = [session_name("ws", chat) for chat in (one, other)]
    assert (names[0] == names[1]) == (one == other)
    assert all(name.isascii() and "/" not in name and len(name) <= 120 for name in names)


GUEST = SessionMessage("user", "hi", 5, "p-7", 3, '{"asked": "which?"}')
LINES = (
    '{"role":"user","content":"Hello","ts":1738764800}\n'
    '{"role":"user","content":"hi","ts":5.0,"person":"p-7","foreign":3,"question":"{\\"asked\\": \\"which?\\"}"}\n'
)


NO_MESSAGES = (
    b"garbage", b"\xff\xfe", b"[]", b'{"role":"system","content":"x"}', b'{"role":"user"}', b'{"role":"us',
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sessions"
    folder.mkdir()
    spoiled = b"\n".join((*NO_MESSAGES, LINES.encode() + NO_MESSAGES[-1]))
    (folder / "tg_1.jsonl").write_bytes(spoiled)
    (folder / "tg_1.summary.json").write_text('{"through": "x"}')
    (folder / "ws_a%2Fb.jsonl").write_text(LINES.splitlines()[0])
    return folder


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_files_are_moved_once_and_gone_and_lines_that_are_no_messages_passed_over(
    folder: Path, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    sessions = Sessions(database, lambda: 1)
    (folder / "ws_link.jsonl").symlink_to(folder / "tg_1.jsonl")
    with monkeypatch.context() as patched:  # a start that ends before the files go
        patched.setattr("microclaw.host.store.session_files._remove", killed)
        with pytest.raises(KeyboardInterrupt):
            await move_files(folder, database)
    assert await sessions.load("tg", "1") == (HELLO, GUEST)
    await move_files(folder, database)
    assert await sessions.load("tg", "1") == (HELLO, GUEST)
    assert await sessions.summary("tg", "1") == '{"through": "x"}'
    assert await sessions.load("ws", "a/b") == (HELLO,)
    assert {one.name for one in await sessions.list()} == {"tg_1", "ws_a%2Fb"}
    assert names(folder) == ["ws_link.jsonl"]
    assert "tg_1.jsonl" in caplog.text


async def test_a_file_that_cannot_be_read_ends_the_start_and_stays(
    folder: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refused)
        with pytest.raises(StoreError):
            await move_files(folder, database)
    assert b"Hello" in (folder / "tg_1.jsonl").read_bytes()
