"""A house for tests/stories/test_open_tasks.py: a host with a C board, a Python board, a broker, a page and a model.

The host runs in this process, as only there its egress may reach a page on this machine. Holds no test.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.agent.models.model_server import server
from tests.agent.turn.real_host import Home, real_host
from tests.host.egress.proxying import page, site
from tests.mosquitto import Broker, Listener
from tests.stories.capable_model import GUESS, CapableModel, Policy, SameAnswer
from tests.stories.conftest import running_board, until

from microclaw.events import Answer
from microclaw.host.config.settings import LinkSettings
from microclaw.host.egress.destinations import Address, Egress, is_public
from microclaw.interfaces.cli.child import BoardControl
from microclaw.programs.changes import operations as programs
from microclaw.wire import board_control as control
from microclaw.wire.host_api import StreamResult

C_BOARD = "virtual-1"
PYTHON_BOARD = "shelf"
PRESS_MS = 100
_PAGE_HOST = "station.example"

_Value = TypeVar("_Value")


@dataclass
class House:
    """`page_words` are what the page says."""

    home: Home
    model: CapableModel
    heard: Listener
    python_board: BoardControl
    page_port: int = 0
    page_words: str = "closed"

    @property
    def page_url(self) -> str:
        return f"http://{_PAGE_HOST}:{self.page_port}/"

    async def say(self, sentence: str, policy: Policy, *decisions: bool, chat: str) -> Answer:
        """One turn, whose model follows the policy. Each question is answered by the next decision; none may come
        more or less. Fails if the model had to guess."""
        self.model.policy = policy
        self.model.guesses.clear()
        answer = await self.home.say(sentence, *decisions, chat=chat)
        assert self.model.guesses == [], (self.model.guesses, answer)
        assert GUESS not in answer.text, answer
        return answer

    async def install(self, board: str, name: str, source: str, **more: Any) -> dict[str, Any]:
        """A person puts a program on a board by the API."""
        path = f"/v1/devices/{board}/apps"
        last = (await self.home.events(path, name=name, source=source, **more))[-1]
        assert isinstance(last, StreamResult), last
        return last.value

    async def program(self, board: str, name: str) -> Any:
        return await asyncio.to_thread(self.home.client.call, programs.show, device=board, name=name)

    async def get(self, path: str) -> Any:
        return await asyncio.to_thread(self.home.client.get, path)

    async def until(self, look: Callable[[], _Value]) -> _Value:
        return await asyncio.to_thread(until, look)

    async def conditions(self, board: str) -> dict[str, str]:
        """The programs of a board, and how each is."""
        listed = await asyncio.to_thread(self.home.client.call, programs.list_apps, device=board)
        return {app.name: app.condition for app in listed.apps}

    async def clear(self) -> None:
        """Take every program off."""
        for board in (C_BOARD, PYTHON_BOARD):
            for name in await self.conditions(board):
                await asyncio.to_thread(self.home.client.call, programs.uninstall, device=board, name=name)

    def drive(self, pin: int, level: int, board: str = C_BOARD) -> None:
        """Something outside the board sets the pin."""
        self.ask(board, control.SetInput(pin, level))

    def press(self, pin: int, times: int = 1, board: str = C_BOARD) -> None:
        """A button to ground, which is pressed after PRESS_MS, for PRESS_MS each time."""
        now_ms = self.ask(board, control.Edges()).now_ms
        for number in range(times):
            begin_ms = now_ms + (2 * number + 1) * PRESS_MS
            self.ask(board, control.SetInput(pin, 0, begin_ms))
            self.ask(board, control.SetInput(pin, 1, begin_ms + PRESS_MS))

    async def press_until(self, pin: int, is_done: Callable[[], bool], board: str) -> None:
        """Press a button to ground until `is_done`: a program that a busy machine holds up misses some presses."""
        levels = itertools.cycle((0, 1))

        def move_and_look() -> bool:
            self.drive(pin, next(levels), board)
            return is_done()

        await self.until(move_and_look)
        self.drive(pin, 1, board)

    def ask(self, board: str, question: control.Request[Any]) -> Any:
        """Ask the board itself, not through the host."""
        if board == C_BOARD:
            return self.home.ask(question)
        return self.python_board.ask(question)

    def logged(self, board: str) -> list[str]:
        return [row.text for row in self.ask(board, control.ReadLog()).rows]

    def edges(self, *pins: int) -> list[tuple[int, int]]:
        """Pin and level of each edge of these pins of the C board, in their order."""
        rows = self.home.ask(control.Edges()).rows
        return [(row.pin, row.level) for row in rows if row.pin in pins]


@asynccontextmanager
async def open_house(folder: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        broker = Broker(folder)
        await asyncio.to_thread(broker.start)
        stack.callback(broker.stop)
        heard = await asyncio.to_thread(Listener, broker.port, "#")
        stack.callback(heard.close)
        model = CapableModel()
        wire = await stack.enter_async_context(server())
        wire.answers = SameAnswer(model.answer)
        home = await stack.enter_async_context(
            real_host(
                folder / "home",
                config=f'[model]\noffline_first = false\n[mqtt]\nurl = "{broker.url}"\n',
                environ={"OPENAI_BASE_URL": f"{wire.url}/v1", "MICROCLAW_MODEL": "capable"},
                link=LinkSettings(port=0),
                parts=[Egress(resolve=_loopback_alone, is_public=_is_public_or_loopback, own=tuple)],
            )
        )
        board = running_board(home.folder, "--join", "--name", PYTHON_BOARD, "--wasmachine", "0", "--serial", "none")
        facts = await asyncio.to_thread(board.__enter__)
        stack.push_async_callback(asyncio.to_thread, board.__exit__, None, None, None)
        witness = stack.enter_context(BoardControl(Path(facts["control"])))
        house = House(home, model, heard, witness)
        web = await stack.enter_async_context(site(lambda _: page(f"<p>{house.page_words}</p>")))
        house.page_port = web.port
        await house.until(lambda: PYTHON_BOARD in home.client.get("/v1/status")["link"]["connected"])
        yield house


def _loopback_alone(host: str, port: int) -> Sequence[str]:
    return ("127.0.0.1",)


def _is_public_or_loopback(address: Address) -> bool:
    return address == ipaddress.ip_address("127.0.0.1") or is_public(address)
