"""Files of an answer in Telegram: pictures as photos, others as documents, after the text; faults of the Bot API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.channels.conftest import ScriptedTurn, telegram
from tests.channels.telegram_server import TelegramServer

from microclaw.errors import UnknownName
from microclaw.events import Answer, Inbound, ResultFile, TurnEvent

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


async def read(file: ResultFile) -> bytes:
    if file.name == "gone.png":
        raise UnknownName("it is gone", next_step="see what is there")
    return PNG if file.media_type == "image/png" else b"a,b"


def answering(*names: str) -> ScriptedTurn:
    async def turn(_: Inbound) -> AsyncIterator[TurnEvent]:
        kinds = {"png": "image/png", "csv": "text/csv", "svg": "image/svg+xml"}
        yield Answer("here", files=tuple(ResultFile(7, name, kinds[name[-3:]], 3) for name in names))

    return turn


@pytest.mark.parametrize(
    ("name", "method", "kind"),
    [
        ("out/plot.png", "sendPhoto", "image/png"),
        ("a.csv", "sendDocument", "text/csv"),
        ("plot.svg", "sendDocument", "image/svg+xml"),
    ],
)
async def test_a_file_follows_the_text(tmp_path: Path, name: str, method: str, kind: str) -> None:
    async with TelegramServer.running() as server, telegram(server, tmp_path, answering(name), read_file=read):
        await server.say("plot it")
        sent = await server.message(100, 2)
        assert server.chat(100)[0].text == "here"
        assert sent.file is not None
        assert (sent.file[0], sent.file[1]) == (name.rpartition("/")[2], kind)
        assert len(server.called(method)) == 1


async def test_a_picture_that_is_refused_as_a_photo_goes_as_a_document(tmp_path: Path) -> None:
    async with TelegramServer.running() as server, telegram(server, tmp_path, answering("plot.png"), read_file=read):
        server.fail("sendPhoto", 400, "Bad Request: PHOTO_INVALID_DIMENSIONS")
        await server.say("plot it")
        sent = await server.message(100, 2)
        assert sent.file is not None
        assert sent.file[2] == PNG
        assert len(server.called("sendDocument")) == 1


async def test_a_lost_connection_is_tried_again_and_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    async with (
        TelegramServer.running() as server,
        telegram(server, tmp_path, answering("gone.png", "plot.png"), read_file=read) as bot,
    ):
        server.drop("sendPhoto")
        server.fail("sendPhoto", 429, "Too Many Requests", retry_after=0)
        await server.say("plot it")
        sent = await server.message(100, 3)
        assert "gone.png" in server.chat(100)[1].text
        assert sent.file is not None
        assert len(server.called("sendPhoto")) == 3
        await bot.inbox.until(lambda: len(bot.inbox.done) == 1)
