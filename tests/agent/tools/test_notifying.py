"""The notify tool: what it says of a note that arrived, and of one that waits."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, cast

import pytest

from microclaw.agent.toolbox import Toolbox
from microclaw.apps.tools.devices import notify_tool
from microclaw.auth.approvals import Approvals
from microclaw.auth.gate import Gate
from microclaw.errors import NotSupported
from microclaw.link_server.server import LinkServer
from microclaw.operations.tool import ToolContext


class OnPaper:
    """A notifier that notes what it was asked."""

    def __init__(self, state: Literal["delivered", "waiting"]) -> None:
        self.state: Literal["delivered", "waiting"] = state
        self.asked: list[Any] = []

    def check_note(self, reference: str, text: str) -> None:
        raise NotSupported(f"{reference} has no link")

    async def notify(
        self, reference: str, text: str, *, speak: bool, expires_s: int | None
    ) -> Literal["delivered", "waiting"]:
        self.asked.append((reference, text, speak, expires_s))
        return self.state


@pytest.mark.parametrize(
    ("state", "kind"),
    [("delivered", "reported"), ("waiting", "accepted")],
)
async def test_the_answer_says_whether_the_device_has_it(
    bench: Any, state: Literal["delivered", "waiting"], kind: str
) -> None:
    notifier = OnPaper(state)
    toolbox = Toolbox([notify_tool(notifier=cast("LinkServer", notifier), devices=bench.registry)], Gate())
    name = bench.registry.list()[0].name
    context = ToolContext("owner", lambda step: None, name)
    result = await toolbox.call("notify", '{"text": "tea", "expires_s": 60}', context)
    assert result.ok
    assert notifier.asked == [(name, "tea", False, 60)]
    assert result.evidence[0].kind == kind


async def test_a_device_without_a_link_is_said_before_anybody_is_asked(bench: Any) -> None:
    approvals = Approvals(timeout_s=5)
    tool = notify_tool(notifier=cast("LinkServer", OnPaper("waiting")), devices=bench.registry)
    context = ToolContext("owner", lambda step: None, bench.registry.list()[0].name, foreign=True)
    async with asyncio.timeout(4):
        result = await Toolbox([tool], Gate(approvals=approvals)).call("notify", '{"text": "tea"}', context)
    assert result.error_code == "not_supported"
