"""One virtual board as the offline model sees it, and a way to ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from microclaw.boards.reader import load_board
from microclaw.models.offline import OfflineModel
from microclaw.models.protocol import DeviceContext, KnownApp, KnownDevice, Message, ModelReply, ModelRequest, UserText

Ask: TypeAlias = Callable[..., Awaitable[ModelReply]]


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
