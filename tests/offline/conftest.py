"""One virtual board as the offline model sees it, and a way to ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from microclaw.boards.reader import load_board
from microclaw.models.protocol import (
    AssistantReply,
    DeviceContext,
    KnownApp,
    KnownDevice,
    Message,
    ModelReply,
    ModelRequest,
    UserText,
)
from microclaw.offline.model import OfflineModel

Ask: TypeAlias = Callable[..., Awaitable[ModelReply]]


def kept(reply: ModelReply) -> AssistantReply:
    """A reply as the conversation keeps it: with the question that it asks."""
    return AssistantReply(reply.text, question=reply.question)


@pytest.fixture
def device_context() -> DeviceContext:
    device = KnownDevice("virtual-1", load_board("virtual"))
    return DeviceContext((device,), device)


@pytest.fixture
def two_boards() -> DeviceContext:
    first = KnownDevice("virtual-1", load_board("virtual"), (KnownApp("blink", (2,)),))
    return DeviceContext((first, KnownDevice("desk", load_board("esp32-s3-devkitc-1-v1.1"))))


@pytest.fixture
def ask(device_context: DeviceContext) -> Ask:
    """`await ask("sentence", *messages_after_it, device_context=..., before=(...))`"""
    model = OfflineModel()
    one_board = device_context

    async def respond(
        text: str, *after: Message, device_context: DeviceContext | None = None, before: tuple[Message, ...] = ()
    ) -> ModelReply:
        messages = (*before, UserText(text), *after)
        return await model.respond(ModelRequest("", messages, (), device_context=device_context or one_board))

    return respond
