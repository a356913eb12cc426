"""The question before a tool's call: words that can be read aloud, and every tool that asks has them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.agent.tools.conftest import Bench, PaperTransport

from microclaw.agent.toolbox import Toolbox
from microclaw.auth.approvals import MAX_ACTION_CHARS, ApprovalOutcome, Approvals, PendingApproval
from microclaw.auth.gate import Gate, Permission
from microclaw.operations.tool import ToolContext


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("gpio-set", {"pin": 4, "level": 1}, "set pin 4 of virtual-1 high"),
        ("gpio-set", {"pin": 4, "level": 0, "device": "virtual-1"}, "set pin 4 of virtual-1 low"),
        (
            "pwm-set",
            {"pin": 5, "duty": 255, "frequency_hz": 50},
            "set PWM on pin 5 of virtual-1 to 100 % at 50 Hz (duty 255 of 255)",
        ),
        ("uninstall-wasm-app", {"appName": "blink", "deviceIp": "192.168.1.100"}, "remove blink from virtual-1"),
    ],
)
async def test_an_act_is_asked_in_words(bench: Bench, tool: str, arguments: dict[str, Any], words: str) -> None:
    assert _words(bench, tool, arguments) == words


async def test_every_tool_of_boards_that_asks_has_words(bench: Bench) -> None:
    asking = [tool for tool in bench.tools.tools if tool.permission is not Permission.READ]
    assert {"gpio-set", "pwm-set", "undo", "uninstall-wasm-app", "deploy-wasm-app"} <= {tool.name for tool in asking}
    assert [tool.name for tool in asking if tool.words is None and not tool.has_preview] == []


async def test_the_device_that_is_meant_is_named_where_the_call_names_none(bench: Bench) -> None:
    await bench.add("lamp", PaperTransport("wasmachine://192.168.1.101:18080"))
    [tool] = [tool for tool in bench.tools.tools if tool.name == "gpio-set"]
    assert tool.words is not None
    context = ToolContext("owner", bench.steps.append, "lamp")
    assert tool.words(tool.parameters(pin=4, level=1), context, ()) == "set pin 4 of lamp high"


async def test_words_that_are_too_long_are_cut_with_a_mark(bench: Bench) -> None:
    asked = await _asked(bench, "uninstall-wasm-app", f'{{"appName": "{"x" * 126}"}}', device_name="y" * 90)
    assert len(asked.action) == MAX_ACTION_CHARS
    assert asked.action.endswith("...")


def _words(bench: Bench, name: str, arguments: dict[str, Any], *described: str) -> str:
    [tool] = [tool for tool in bench.tools.tools if tool.name == name]
    assert tool.words is not None
    return tool.words(msgspec.convert(arguments, tool.parameters), ToolContext("owner", bench.steps.append), described)


async def _asked(bench: Bench, name: str, arguments: str, *, device_name: str | None = None) -> PendingApproval:
    """The question when every act asks; nobody says yes."""
    if device_name is not None:
        bench.registry.devices.clear()
        await bench.add(device_name, PaperTransport("wasmachine://192.168.1.102:18080"))
    asked: list[PendingApproval] = []
    approvals = Approvals(timeout_s=5)

    def take_back(news: PendingApproval | ApprovalOutcome) -> None:
        if isinstance(news, PendingApproval):
            asked.append(news)
            asyncio.get_running_loop().call_soon(approvals.withdraw, news.approval_id)

    approvals.listen(take_back)
    # without `check`, which asks the board whether the program is there: this is about the question
    tools = [replace(tool, check=None) for tool in bench.tools.tools if tool.name == name]
    box = Toolbox(tools, Gate(approvals=approvals, always_ask=True))
    result = await box.call(name, arguments, ToolContext("owner", bench.steps.append))
    assert not result.ok
    return asked[0]
