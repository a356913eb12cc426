"""A running host with real virtual boards, and a chat with it over its socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from microclaw.app import running_host
from microclaw.devices.registry.device import Device
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.events import Answer, ApprovalAsked
from microclaw.host.config.load import load_settings
from microclaw.host.config.settings import LinkSettings
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.child import BoardControl
from microclaw.wire import board_control as control
from microclaw.wire.host_api import StreamEvent


@dataclass
class Home:
    """`asked` has every question so far."""

    client: Client
    folder: Path
    boards: dict[str, VirtualBoardProcess] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    asked: list[ApprovalAsked] = field(default_factory=list)
    chats: int = 0

    def new_chat(self) -> str:
        self.chats += 1
        return f"c{self.chats}"

    async def events(self, text: str, *decisions: bool, chat: str = "c", **call: Any) -> list[StreamEvent]:
        """Of one turn, or of a `call` to a path. Each question is answered by the next decision."""
        left = list(decisions)

        def turn() -> list[StreamEvent]:
            seen = []
            for event in self.client.stream(text if call else "/v1/chat", call or {"text": text, "chat_id": chat}):
                seen.append(event)
                if isinstance(event, ApprovalAsked):
                    self.asked.append(event)
                    self.client.decide(event.approval_id, approved=left.pop(0))
            return seen

        events = await asyncio.to_thread(turn)
        assert not left, "a question less was asked"
        return events

    async def say(self, text: str, *decisions: bool, chat: str = "c") -> Answer:
        last = (await self.events(text, *decisions, chat=chat))[-1]
        assert isinstance(last, Answer)
        return last

    def ask(self, question: control.Request[Any], board: str = "virtual-1") -> Any:
        """The board itself, not through the host."""
        with BoardControl(self.boards[board].ready.control) as witness:
            return witness.ask(question)

    def level(self, pin: int, board: str = "virtual-1") -> int | None:
        return next((row.level for row in self.ask(control.Pins(), board).pins if row.pin == pin), None)

    def programs(self, board: str = "virtual-1") -> set[str]:
        return {app.name for app in self.ask(control.Apps(), board).apps}


@asynccontextmanager
async def real_host(
    folder: Path,
    *,
    config: str = "",
    environ: Mapping[str, str] = {},
    boards: Sequence[str] = ("virtual-1",),
    link: LinkSettings | None = None,
    **parts: Any,
) -> AsyncIterator[Home]:
    """`folder` is the home. Devices connect to `link`; without it there is none. `parts` are running_host's."""
    _configure(folder, config)
    settings = load_settings(environ, home=folder, http_port=None, link=link)
    async with AsyncExitStack() as stack:
        made = {name: await stack.enter_async_context(VirtualBoardProcess()) for name in boards}
        host = await stack.enter_async_context(running_host(settings, **parts))
        home = Home(Client(settings.control_socket), settings.home, made)
        for name, board in made.items():
            home.devices[name] = await host.devices.add(name, "virtual", board.ready.transports)
        yield home


def _configure(folder: Path, config: str) -> None:
    folder.mkdir(mode=0o700)
    (folder / "config.toml").write_text(config)
    (folder / "config.toml").chmod(0o600)
