"""Chats by other people's clients: MimiClaw's gateway over `websockets`, OpenAI's own package, the API's stream."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.stories.conftest import TIMEOUT_S, Door, Host, blinking, level, member_of, running, until
from websockets.asyncio.client import ClientConnection, connect


@asynccontextmanager
async def gateway(host: Host, token: str | None, **headers: str) -> AsyncIterator[ClientConnection]:
    named = {**({"Authorization": f"Bearer {token}"} if token else {}), **headers}
    address = f"{host.facts['gateway']}/ws"
    async with asyncio.timeout(TIMEOUT_S), connect(address, additional_headers=named, compression=None) as client:
        yield client


async def said(client: ClientConnection, **message: Any) -> dict[str, Any]:
    """Send one message; the first one that comes."""
    await client.send(json.dumps(message))
    return await heard(client)


async def heard(client: ClientConnection, kind: str = "") -> dict[str, Any]:
    while True:
        found: dict[str, Any] = json.loads(await client.recv())
        if kind in ("", found["type"]):
            return found


def local_token(host: Host) -> str:
    file = Path(host.facts["gateway_token"])
    assert file.stat().st_mode & 0o777 == 0o600
    return file.read_text().strip()


async def test_a_device_clients_message_is_answered_and_done(host: Host) -> None:
    async with gateway(host, local_token(host)) as client:
        assert await said(client, type="ping", ts=1738764800) == {"type": "pong", "ts": 1738764800}
        answer = await said(client, type="message", content="set pin 5 on", chat_id="ws_desk")
        assert (answer["type"], answer["chat_id"]) == ("response", "ws_desk")
        assert await asyncio.to_thread(level, host, 5) == 1
        assert (await said(client, type="message", content="set pin 5 off"))["chat_id"] == "ws_desk"
    assert await asyncio.to_thread(level, host, 5) == 0


async def test_an_answer_waits_for_a_client_that_left(host: Host) -> None:
    token = local_token(host)
    try:
        async with gateway(host, token) as client:
            host.process.send_signal(signal.SIGSTOP)  # it answers when the client has left
            await client.send(json.dumps({"type": "message", "content": "set pin 4 on", "chat_id": "ws_left"}))
            client.transport.close()
    finally:
        host.process.send_signal(signal.SIGCONT)
    await asyncio.to_thread(until, lambda: level(host, 4) == 1)
    async with gateway(host, token) as client:
        await client.send(json.dumps({"type": "message", "content": "read pin 4", "chat_id": "ws_left"}))
        answers = {(await heard(client, "response"))["chat_id"] for _ in range(2)}
    assert answers == {"ws_left"}


async def test_an_act_asks_at_the_gateway_and_a_no_leaves_the_program(host: Host) -> None:
    """A pin that a program drives is another's: the question comes to who asked, and the first decision counts."""
    door = await asyncio.to_thread(member_of, host, "desk", "owner")
    made = await asyncio.to_thread(door.post, "/v1/devices/virtual-1/apps", {"name": "blink", "source": blinking(6)})
    assert made.last["type"] == "result"
    async with gateway(host, local_token(host)) as client:
        await client.send(json.dumps({"type": "subscribe", "events": ["approval"]}))
        for approved, left in ((False, ["blink"]), (True, [])):
            await client.send(json.dumps({"type": "message", "content": "turn off pin 6", "chat_id": "ws_asks"}))
            asked = await heard(client, "approval")
            decision = {"type": "approve", "approval_id": asked["approval_id"], "approved": approved}
            await client.send(json.dumps(decision))
            settled = await heard(client, "approval_settled")
            assert settled["outcome"] == ("approved" if approved else "declined")
            await heard(client, "response")
            assert await asyncio.to_thread(running, host) == left
            assert (await said(client, **decision))["code"] == "unknown_name"


def test_openais_own_package_drives_a_pin_and_is_told_what_was_done(host: Host, owner: Door) -> None:
    import openai  # it takes seconds, in each worker of a run

    address = f"{host.facts['http']}/v1"
    with openai.OpenAI(base_url=address, api_key=owner.token, max_retries=0, timeout=60) as client:
        assert [model.id for model in client.models.list()] == ["microclaw"]
        made = client.chat.completions.create(model="microclaw", messages=[{"role": "user", "content": "set pin 7 on"}])
        assert made.choices[0].finish_reason == "stop"
        assert made.model_extra is not None
        told = made.model_extra["microclaw"]
        assert (told["state"], [act["outcome"] for act in told["acts"]]) == ("done", ["done"])
        assert told["acts"][0]["evidence"][0]["kind"] == "counted"
        assert level(host, 7) == 1
        stream = client.chat.completions.create(
            model="microclaw",
            messages=[{"role": "user", "content": "set pin 7 off"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
        assert chunks[-1].usage is not None
        assert level(host, 7) == 0


def test_a_guest_may_ask_and_changes_nothing(host: Host) -> None:
    guest = member_of(host, "gus", "guest")
    read = guest.post("/v1/chat", {"text": "read pin 7"})
    assert read.last["type"] == "answer"
    assert {act["outcome"] for act in read.last["actions"]} == {"done"}
    acted = guest.post("/v1/chat", {"text": "set pin 7 on"})
    assert acted.last["type"] in ("answer", "error")
    assert {act["outcome"] for act in acted.last.get("actions", [])} <= {"refused"}
    assert level(host, 7) == 0
