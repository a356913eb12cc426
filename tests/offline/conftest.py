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
def scene() -> DeviceContext:
    device = KnownDevice("virtual-1", load_board("virtual"))
    return DeviceContext((device,), device)


@pytest.fixture
def two_boards() -> DeviceContext:
    first = KnownDevice("virtual-1", load_board("virtual"), (KnownApp("blink", (2,)),))
    return DeviceContext((first, KnownDevice("desk", load_board("esp32-s3-devkitc-1-v1.1"))))


@pytest.fixture
def ask(scene: DeviceContext) -> Ask:
    """`await ask("sentence", *messages_after_it, scene=..., before=(...))`"""
    model = OfflineModel()
    one_board = scene

    async def respond(
        text: str, *after: Message, scene: DeviceContext | None = None, before: tuple[Message, ...] = ()
    ) -> ModelReply:
        messages = (*before, UserText(text), *after)
        return await model.respond(ModelRequest("", messages, (), scene=scene or one_board))

    return respond
