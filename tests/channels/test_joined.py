"""The channels as the host joins them: one that fails ends no other, and not the host."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

from microclaw.app import running_host
from microclaw.config.load import load_settings
from microclaw.config.settings import TelegramSettings


class Heard(logging.Handler):
    """Tells when a line with these words is logged."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.event = asyncio.Event()
        self._words = words

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            self.event.set()


async def test_a_channel_that_cannot_begin_leaves_the_host_alone(tmp_path: Path) -> None:
    """A proxy of a kind that the HTTP library does not know is refused by it before anything is sent."""
    settings = load_settings({}, home=tmp_path / "home", http_port=None)
    settings = replace(settings, telegram=TelegramSettings("1:never-sent", "http://127.0.0.1:9"), proxy="odd://x")
    heard = Heard("telegram failed")
    logger = logging.getLogger("microclaw.supervision")
    logger.addHandler(heard)
    try:
        async with running_host(settings) as host, asyncio.timeout(60):
            await heard.event.wait()
            assert host.channels.telegram is not None
            assert host.channels.telegram.phase == "disturbed"
    finally:
        logger.removeHandler(heard)
