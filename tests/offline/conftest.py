"""One virtual board as the offline model sees it, and a way to ask and to answer its calls."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from microclaw.boards.reader import load_board
from microclaw.models.protocol import (
    AssistantReply,
    DeviceContext,
    KnownDevice,
    Message,
    ModelReply,
    ModelRequest,
    ToolReturn,
    UserText,
)
from microclaw.offline.model import OfflineModel

Ask: TypeAlias = Callable[..., Awaitable[ModelReply]]


def called(reply: ModelReply) -> tuple[str, dict[str, Any]]:
    """The one tool that is called, and its arguments."""
    assert len(reply.calls) == 1, reply.text
    return reply.calls[0].name, json.loads(reply.calls[0].arguments)


def answered(reply: ModelReply, *, ok: bool = True, **fields: Any) -> tuple[Message, Message]:
    """A reply's call and the tool's answer to it, as the turn puts them into the conversation."""
    call = reply.calls[0]
    device = json.loads(call.arguments).get("device", "virtual-1")
    content = json.dumps({"success": ok, "device": device, **fields})
    return AssistantReply("", reply.calls), ToolReturn(call.call_id, call.name, content, failed=not ok)


@pytest.fixture
def device_context() -> DeviceContext:
    device = KnownDevice("virtual-1", load_board("virtual"))
    return DeviceContext((device,), device)


@pytest.fixture
def ask(device_context: DeviceContext) -> Ask:
    """`await ask("sentence", *messages_after_it, device_context=...)`"""
    model = OfflineModel()
    one_board = device_context

    async def respond(text: str, *after: Message, device_context: DeviceContext | None = None) -> ModelReply:
        messages = (UserText(text), *after)
        return await model.respond(ModelRequest("", messages, (), device_context=device_context or one_board))

    return respond
