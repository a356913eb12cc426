"""Conversations of some turns without a model: the real agent, virtual boards, and the levels of their pins then."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.agent.turn.real_host import Home, real_host

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """One board for all; each test has pins of its own."""
    async with real_host(tmp_path_factory.mktemp("one") / "home") as home:
        yield home


async def test_only_the_chat_of_the_last_act_refers_to_it_and_nothing_set_since_is_corrected(home: Home) -> None:
    await home.say("turn on pin 10", chat="a")
    assert (await home.say("turn it off", chat="b")).error_code == "ambiguous"
    assert home.level(10) == 1
    await home.say("turn on pin 10", chat="b")
    assert (await home.say("no, I meant pin 11", chat="a")).error_code is not None
    assert (home.level(10), home.level(11)) == (1, 0)


async def test_a_board_that_hangs_leaves_the_others_alone_and_is_never_said_to_be_done(tmp_path: Path) -> None:
    """It takes connections and answers nothing."""
    async with real_host(tmp_path / "home", boards=("lamp", "fan", "desk")) as home:
        process = home.boards["fan"]._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            tool = {"tool": "gpio-set", "arguments": {"pin": 4, "level": 1}, "all": True}
            *_, answer = await home.events("/v1/tools/act-on-boards", True, arguments=tool, session="c")
            assert "boards_unknown" in str(answer)
            assert [home.level(4, name) for name in ("lamp", "desk")] == [1, 1]
            *_, undone = await home.events("/v1/tools/undo", arguments={}, session="c")
        finally:
            process.send_signal(signal.SIGCONT)
        assert "fan" not in str(undone)
        assert [home.level(4, name) for name in ("lamp", "desk")] == [0, 0]
