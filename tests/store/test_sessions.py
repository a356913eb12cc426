from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microclaw.errors import StoreError, UnknownName
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


async def test_messages_come_back_in_order(sessions: SessionFiles) -> None:
    await sessions.append("ws", "client1", [HELLO, ANSWER])
    await sessions.append("ws", "client1", [SessionMessage("user", "grüß\n dich", 3)])
    assert await sessions.load("ws", "client1") == (HELLO, ANSWER, SessionMessage("user", "grüß\n dich", 3))


async def test_conversation_that_never_was_is_empty(sessions: SessionFiles) -> None:
    assert await sessions.load("ws", "nobody") == ()
    assert not await sessions.clear("ws", "nobody")


async def test_only_the_newest_are_loaded(sessions: SessionFiles) -> None:
    await sessions.append("ws", "c", [SessionMessage("user", str(n), n) for n in range(100)])
    loaded = await sessions.load("ws", "c")
    assert [m.ts for m in loaded] == list(range(60, 100))
    assert [m.ts for m in await sessions.load("ws", "c", newest=2)] == [98, 99]


async def test_file_larger_than_the_window_is_read_from_its_end(
    sessions: SessionFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microclaw.store.sessions._TAIL_BYTES", 300)
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
    assert "passed over" in caplog.text


async def test_writers_of_one_conversation_do_not_mix_lines(sessions: SessionFiles) -> None:
    messages = [SessionMessage("user", "x" * n, n) for n in range(40)]
    await asyncio.gather(*(sessions.append("ws", "c", [message]) for message in messages))
    assert sorted(await sessions.load("ws", "c"), key=lambda m: m.ts) == messages


async def test_cleared_conversation_is_gone(sessions: SessionFiles) -> None:
    await sessions.append("ws", "c", [HELLO])
    assert await sessions.clear("ws", "c")
    assert await sessions.load("ws", "c") == ()


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


@pytest.mark.parametrize("channel", ["", "../x", "a_b", "WS", "a/b", "x" * 40])
def test_channel_with_another_form_is_refused(channel: str) -> None:
    with pytest.raises(ValueError, match="channel"):
        SessionFiles(Path("sessions")).path(channel, "c")


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


async def test_conversations_are_listed_shown_and_removed_by_name(sessions: SessionFiles) -> None:
    await sessions.append("tg", "1", [HELLO])
    await sessions.append("ws", "a/b", [ANSWER])
    sessions.summary_path("ws", "a/b").write_text("{}")
    assert {file.name for file in await sessions.list()} == {"tg_1", "ws_a%2Fb"}
    assert await sessions.show("ws_a%2Fb") == (ANSWER,)
    await sessions.remove("ws_a%2Fb")
    assert [path.name for path in sessions.folder.iterdir()] == ["tg_1.jsonl"]


@pytest.mark.parametrize(
    ("channel", "chat", "name"),
    [("terminal", "terminal", "terminal"), ("tg", "12", "12"), ("gateway", "a:b/c", "a:b/c")],
)
async def test_a_conversation_is_found_by_its_chat_alone(
    sessions: SessionFiles, channel: str, chat: str, name: str
) -> None:
    await sessions.append(channel, chat, [HELLO])
    await sessions.append("tg", "999", [ANSWER])
    assert await sessions.show(name) == (HELLO,)
    assert await sessions.full_name(name) == sessions.path(channel, chat).stem
    await sessions.remove(name)
    assert [file.name for file in await sessions.list()] == ["tg_999"]


async def test_a_full_name_goes_before_a_chat_of_that_name(sessions: SessionFiles) -> None:
    await sessions.append("tg", "1", [HELLO])
    await sessions.append("gateway", "tg_1", [ANSWER])
    assert await sessions.show("tg_1") == (HELLO,)


async def test_a_chat_of_two_channels_is_asked_back(sessions: SessionFiles) -> None:
    await sessions.append("tg", "1", [HELLO])
    await sessions.append("gateway", "1", [ANSWER])
    with pytest.raises(UnknownName) as refused:
        await sessions.remove("1")
    assert "tg_1" in (refused.value.next_step or "")
    assert "gateway_1" in (refused.value.next_step or "")
    assert len(await sessions.list()) == 2


@pytest.mark.parametrize("name", ["gone", "../store/x", "tg_1.jsonl", ""])
async def test_a_name_that_is_no_conversation_is_refused(sessions: SessionFiles, name: str) -> None:
    await sessions.append("tg", "1", [HELLO])
    with pytest.raises(UnknownName) as refused:
        await sessions.remove(name)
    assert "session list" in (refused.value.next_step or "")


async def test_a_cleared_conversation_has_no_summary(sessions: SessionFiles) -> None:
    await sessions.append("tg", "1", [HELLO])
    summary = sessions.summary_path("tg", "1")
    summary.write_text("{}")
    await sessions.clear("tg", "1")
    assert not summary.exists()


async def test_adopted_messages_stand_in_the_order_of_their_time_once(sessions: SessionFiles) -> None:
    await sessions.append("tg", "1", [ANSWER])
    assert await sessions.adopt("tg", "1", [HELLO, ANSWER, HELLO]) == 1
    assert await sessions.adopt("tg", "1", [HELLO]) == 0
    assert await sessions.load("tg", "1") == (HELLO, ANSWER)
    assert [path.name for path in sessions.folder.iterdir()] == ["tg_1.jsonl"]


async def test_more_is_read_of_a_file_when_its_end_holds_too_few(
    sessions: SessionFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microclaw.store.sessions._FIRST_TAIL_BYTES", 100)
    await sessions.append("ws", "c", [SessionMessage("user", "x" * 40, n) for n in range(50)])
    assert [m.ts for m in await sessions.load("ws", "c", newest=45)] == list(range(5, 50))
    assert len(await sessions.load("ws", "c", newest=500)) == 50
