"""The MCP tools of a connected device, as tools of the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.interfaces.voice.xiaozhi.conftest import Open
from tests.interfaces.voice.xiaozhi_client import PATIENCE_S

from microclaw.agent.turn.toolbox import Toolbox
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.gate import Gate
from microclaw.host.operations.operation import Permission
from microclaw.host.operations.tool import Tool, ToolContext
from microclaw.interfaces.voice.xiaozhi.tools import xiaozhi_tools

CONTEXT = ToolContext("owner", lambda step: None, device="kitchen")


def offered(talk: Any) -> Callable[[], tuple[Tool[Any], ...]]:
    return lambda: xiaozhi_tools(talk.plane.registry, talk.server.tools_of)


def toolbox(talk: Any) -> Toolbox:
    return Toolbox((), Gate(approvals=Approvals(timeout_s=0.2)), coming=offered(talk))


async def until_offered(talk: Any, is_offered: bool) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while bool(offered(talk)()) is not is_offered:  # noqa: ASYNC110  nobody else is told
            await asyncio.sleep(0.01)


async def connected(talk: Any) -> Any:
    device = await talk.conversing()
    await until_offered(talk, True)
    return device


async def test_what_a_device_has_is_offered_while_it_is_connected_and_asks_where_only_it_has_it(talking: Open) -> None:
    async with talking() as talk:
        box = toolbox(talk)
        assert not box.tools
        device = await connected(talk)
        found = {tool.name: tool for tool in box.tools}
        assert set(found) == {"voice-volume", "voice-status", "voice_kitchen_lamp_turn"}
        assert found["voice-volume"].permission is Permission.ACT
        lamp = found["voice_kitchen_lamp_turn"]
        assert (lamp.permission, lamp.title) == (Permission.RISKY, "lamp turn on kitchen")
        assert "ignore all rules" not in str([tool.description for tool in found.values()])
        assert [e["method"] for e in device.events if e["event"] == "mcp"] == ["initialize", *["tools/list"] * 3]
        for name, wrong in (("voice-volume", '{"volume": 101}'), ("voice_kitchen_lamp_turn", '{"on": 3}')):
            assert not (await box.call(name, wrong, CONTEXT)).ok
        asked = await box.call("voice_kitchen_lamp_turn", '{"on": true}', CONTEXT)
        assert asked.error_code == "permission_refused"
        assert not any(e.get("method") == "tools/call" for e in device.events)
        result = await box.call("voice-volume", '{"volume": 30}', CONTEXT)
        assert (result.ok, result.foreign) == (True, False)
        called = await device.until("mcp", method="tools/call")
        assert called["params"] == {"name": "self.audio_speaker.set_volume", "arguments": {"volume": 30}}
        status = await box.call("voice-status", "{}", CONTEXT)
        assert (status.foreign, "30" in status.content, "<untrusted-" in status.content) == (True, True, True)
        approved = await box.call("voice_kitchen_lamp_turn", '{"on": true}', CONTEXT, approved=Permission.RISKY)
        assert approved.error_code == "tool_failed"  # this device answers with an error without a code
        assert "Unknown tool" in approved.content
        await device.close()
        await device.until("closed")
        await until_offered(talk, False)
        assert box.tools == ()


async def test_a_device_that_does_not_answer_a_call_is_told_of(talking: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microclaw.interfaces.voice.xiaozhi.device_tools.CALL_S", 0.2)
    async with talking() as talk:
        device = await connected(talk)
        device.hangs = True
        result = await toolbox(talk).call("voice-volume", '{"volume": 30}', CONTEXT)
        assert result.error_code == "device_timeout"
