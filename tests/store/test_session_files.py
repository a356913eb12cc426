"""The conversations of a home of microclaw 0.1.0 are files: they are moved into the store, once and whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.errors import StoreError
from microclaw.store.database import Database
from microclaw.store.session_files import move_files
from microclaw.store.sessions import SessionMessage, Sessions

HELLO = SessionMessage("user", "Hello", 1738764800)
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
        patched.setattr("microclaw.store.session_files._remove", killed)
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
