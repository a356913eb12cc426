"""From a sentence in Telegram to a blinking pin: the whole host, a Bot API server, a virtual board of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.channels.telegram_server import TOKEN, TelegramServer

from microclaw.app import running_host
from microclaw.cli.board_control import BoardControl
from microclaw.cli.child import Child
from microclaw.client import Client
from microclaw.config.load import load_settings
from microclaw.config.settings import Settings, TelegramSettings

USER = 100


@pytest.fixture
def board(tmp_path: Path) -> Iterator[tuple[list[str], BoardControl]]:
    """The transports of a virtual board, and its control socket."""
    words = ["microclaw.virtual", "--wasmachine", "0", "--serial", "none", "--die-with-parent"]
    with Child("board", words, log=tmp_path / "board.stderr") as child:
        facts, _ = child.wait_ready()
        with BoardControl(Path(facts["control"])) as link:
            yield [f"wasmachine://127.0.0.1:{facts['wasmachine']}", f"virtual:{facts['control']}"], link


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    environ = {"MICROCLAW_HOME": str(tmp_path / "home")}
    return load_settings(environ, http_port=None)


async def test_a_sentence_in_telegram_makes_the_board_blink_and_the_edges_are_in_the_answer(
    settings: Settings, board: tuple[list[str], BoardControl]
) -> None:
    transports, pins = board
    async with TelegramServer.running() as telegram:
        with_telegram = replace(settings, telegram=TelegramSettings(TOKEN, telegram.base_url))
        async with asyncio.timeout(60), running_host(with_telegram) as host:
            await host.devices.add("desk", "virtual", transports)
            await telegram.say("blink the led on pin 2 every half second", user=USER)
            refused = await telegram.message(USER)
            code = next(word for word in refused.text.split() if word.isdecimal() and len(word) == 6)
            owner = Client(with_telegram.control_socket)
            await asyncio.to_thread(owner.post, "/v1/people/pair", {"code": code, "role": "member", "name": "Ada"})
            await telegram.until(lambda: any("Welcome, Ada: you may work" in sent.text for sent in telegram.chat(USER)))

            await telegram.say("blink the led on pin 2 every half second", user=USER)
            await telegram.until(lambda: any("one every 5" in sent.text for sent in telegram.chat(USER)))

            answer = telegram.chat(USER)[-1]
            assert "edges" in answer.text
            counted = await asyncio.to_thread(pins.edges, 0)
            assert len(counted.edges) >= 2
            assert {row.pin for row in counted.edges} == {2}
