"""Every exchange on the protocol page, replayed against a running gateway."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.api.test_gateway import AS_LOCAL, LOCAL_TOKEN, MemoryTokens, free_listener
from tests.channels.conftest import served_inbox
from websockets.asyncio.client import connect

from microclaw.api.gateway import Gateway
from microclaw.auth.approvals import Approvals
from microclaw.config.settings import GatewaySettings
from microclaw.errors import PermissionRefused
from microclaw.events import Answer, Delta, Inbound, ToolRun, TurnEvent

PAGE = Path(__file__).parents[2] / "docs/protocols/chat-gateway.md"
EXCHANGES = dict(re.findall(r"^```exchange (.+)\n((?:.*\n)+?)```$", PAGE.read_text(), re.MULTILINE))


def test_the_page_has_its_exchanges() -> None:
    assert len(EXCHANGES) == 5


@pytest.mark.parametrize("name", EXCHANGES)
async def test_an_exchange_of_the_page_is_what_happens(tmp_path: Path, name: str) -> None:
    approvals = Approvals(timeout_s=10, new_id=lambda: "a1")

    async def turn(inbound: Inbound) -> AsyncIterator[TurnEvent]:
        if inbound.text == "ask me":
            detail = ("board: kitchen", "pins: 2")
            try:
                await approvals.ask("owner", "install blink", detail, channel="ws", chat_id=inbound.chat_id)
            except PermissionRefused as exc:
                yield Answer(exc.message)
            yield Answer("it was approved")
        if inbound.text.startswith("stream"):
            yield ToolRun("app-install", "started")
            yield ToolRun("app-install", "done")
            yield Delta("you said: ")
            yield Delta(inbound.text)
        yield Answer(f"you said: {inbound.text}")

    async with served_inbox(tmp_path, turn) as inbox:
        gateway = Gateway(
            GatewaySettings(), inbox=inbox, tokens=MemoryTokens(), approvals=approvals, local_token=LOCAL_TOKEN
        )
        async with (
            gateway.serving(free_listener()) as address,
            connect(address, proxy=None, additional_headers=AS_LOCAL) as client,
        ):
            for line in EXCHANGES[name].splitlines():
                side, text = line[0], line[2:]
                if side == ">":
                    await client.send(text)
                    continue
                async with asyncio.timeout(60):
                    assert json.loads(await client.recv()) == json.loads(text)
