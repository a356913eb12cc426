"""One sentence, several boards: three real virtual boards, one question, a result a board, one undo.

The boards are asked by their control sockets, not through the host.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from microclaw.app import running_host
from microclaw.cli.board_control import BoardControl
from microclaw.config.load import load_settings
from microclaw.events import Answer, ApprovalAsked, Step
from microclaw.operations.client import Client
from microclaw.virtual_boards.process import VirtualBoardProcess
from microclaw.wire import board_control as control

NAMES = ("lamp", "fan", "desk")


@dataclass
class Home:
    """A running host with three boards; the first two are in the kitchen. `asked` has every question so far."""

    socket: Path
    boards: dict[str, VirtualBoardProcess]
    asked: list[ApprovalAsked] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    async def say(self, text: str, *decisions: bool) -> Answer:
        left = list(decisions)

        def turn() -> Answer:
            for event in Client(self.socket).stream("/v1/chat", {"text": text, "chat_id": "c"}):
                if isinstance(event, ApprovalAsked):
                    self.asked.append(event)
                    Client(self.socket).decide(event.approval_id, approved=left.pop(0))
                if isinstance(event, Step):
                    self.steps.append(event)
                if isinstance(event, Answer):
                    return event
            raise AssertionError("no answer came")

        answer = await asyncio.to_thread(turn)
        assert not left, "a question less was asked"
        return answer

    def levels(self, pin: int, names: Sequence[str] = NAMES) -> list[int | None]:
        return [self._level(name, pin) for name in names]

    def _level(self, name: str, pin: int) -> int | None:
        with BoardControl(self.boards[name].ready.control) as witness:
            return next((row.level for row in witness.ask(control.Pins()).pins if row.pin == pin), None)

    async def programs(self) -> list[str]:
        """Those on the boards, not what is stopped and kept."""
        listed = (await asyncio.to_thread(Client(self.socket).get, "/v1/apps"))["apps"]
        return sorted(f"{one['name']} on {one['device']}" for one in listed if one["condition"] != "stopped")


@contextmanager
def frozen(board: VirtualBoardProcess) -> Iterator[None]:
    """Inside, the board takes connections and answers nothing."""
    process = board._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    settings = load_settings({"MICROCLAW_CACHE": str(tmp_path / "cache")}, home=tmp_path / "home", http_port=None)
    async with AsyncExitStack() as stack:
        boards = {name: await stack.enter_async_context(VirtualBoardProcess()) for name in NAMES}
        host = await stack.enter_async_context(running_host(settings))
        for name, board in boards.items():
            await host.devices.add(name, "virtual", board.ready.transports)
        for name in ("lamp", "fan"):
            await host.devices.label(name, ("room=kitchen",))
        yield Home(settings.control_socket, boards)


async def test_one_yes_acts_on_every_board_and_one_undo_takes_all_of_it_back(home: Home) -> None:
    answer = await home.say("set pin 4 high everywhere", True)
    assert len(home.asked) == 1
    assert home.levels(4) == [1, 1, 1]
    assert [action.outcome for action in answer.actions] == ["done"]
    await home.say("undo")
    assert home.levels(4) == [0, 0, 0]

    await home.say("set pin 6 high on lamp and fan", False)
    assert home.levels(6, ("lamp", "fan")) == [0, 0]
    await home.say("set pin 6 high on lamp and fan", True)
    await home.say("no")
    await home.say("yes")
    assert home.levels(6) == [0, 0, 0]


async def test_a_board_that_hangs_leaves_the_others_alone_and_is_never_said_to_be_done(home: Home) -> None:
    with frozen(home.boards["fan"]):
        answer = await home.say("set pin 4 high everywhere", True)
        assert answer.error_code == "boards_unknown"
        assert [action.outcome for action in answer.actions] == ["unknown"]
        assert home.levels(4, ("lamp", "desk")) == [1, 1]
        undone = await home.say("undo")
    assert "fan" not in undone.text
    assert home.levels(4, ("lamp", "desk")) == [0, 0]
