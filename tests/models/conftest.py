"""One virtual board as the offline model sees it, and a way to ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from microclaw.boards.reader import load_board
from microclaw.models.offline import OfflineModel
from microclaw.models.protocol import Message, ModelReply, ModelRequest, UserText
from microclaw.models.scene import KnownApp, KnownDevice, Scene

Ask: TypeAlias = Callable[..., Awaitable[ModelReply]]


@pytest.fixture
def scene() -> Scene:
    device = KnownDevice("virtual-1", load_board("virtual"))
    return Scene((device,), device)


@pytest.fixture
def two_boards() -> Scene:
    first = KnownDevice("virtual-1", load_board("virtual"), (KnownApp("blink", (2,)),))
    return Scene((first, KnownDevice("desk", load_board("esp32-s3-devkitc-1-v1.1"))))


@pytest.fixture
def ask(scene: Scene) -> Ask:
    """`await ask("sentence", *messages_after_it, scene=..., before=(...))`"""
    model = OfflineModel()
    one_board = scene

    async def respond(
        text: str, *after: Message, scene: Scene | None = None, before: tuple[Message, ...] = ()
    ) -> ModelReply:
        messages = (*before, UserText(text), *after)
        return await model.respond(ModelRequest("", messages, (), scene=scene or one_board))

    return respond
