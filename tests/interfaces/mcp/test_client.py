"""The agent's MCP servers over real stdio: strangers that are good, die, hang, flood, change and lie."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.mcp.test_stdio import ends

from microclaw.agent.turn.tool_selection import brief
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import ApprovalOutcome, PendingApproval
from microclaw.host.auth.gate import Gate
from microclaw.host.config.settings import McpServerSettings
from microclaw.host.operations.tool import Tool, ToolContext, ToolResult
from microclaw.interfaces.mcp.client.connection import ClientLimits, mcp_servers
from microclaw.interfaces.mcp.client.tools import name_of

STRANGER = Path(__file__).with_name("stranger.py")
TIMEOUT_S = 60.0
QUICK = ClientLimits(list_s=30.0, call_s=30.0, first_pause_s=0.05, longest_pause_s=0.2, relist_s=0.05)
SECRET = "ANTHROPIC_API_KEY"


@dataclass
class Strangers:
    """Running servers behind a toolbox with a gate, as the host has them. `yes` decides what is asked."""

    folder: Path
    tools: Callable[[], tuple[Tool[Any], ...]]
    box: Toolbox
    asked: list[str]
    changed: asyncio.Event
    yes: bool = True

    def names(self, server: str) -> list[str]:
        return [tool.name for tool in self.tools() if tool.name.startswith(f"mcp_{server}_")]

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not true():
                self.changed.clear()
                await self.changed.wait()

    async def call(self, server: str, tool: str = "double", **arguments: Any) -> ToolResult:
        """The result of a tool, once it is there."""
        name = f"mcp_{server}_{tool}"
        await self.until(lambda: name in self.names(server))
        return await self.box.call(name, json.dumps({"a": 1, **arguments}), ToolContext("owner", lambda _: None))


@asynccontextmanager
async def strangers(folder: Path, *kinds: str, limits: ClientLimits = QUICK) -> AsyncIterator[Strangers]:
    settings = [McpServerSettings(kind, (sys.executable, str(STRANGER), kind, str(folder))) for kind in kinds]
    approvals = Approvals(timeout_s=60)

    def decide(news: PendingApproval | ApprovalOutcome) -> None:
        if isinstance(news, PendingApproval):
            there.asked.append(news.action)
            approvals.decide(news.approval_id, approved=there.yes, by="owner")

    def soon(news: PendingApproval | ApprovalOutcome) -> None:
        asyncio.get_running_loop().call_soon(decide, news)

    approvals.listen(soon)
    environ = {**os.environ, SECRET: "sk-secret", "MICROCLAW_HOME": "/secret"}
    changed = asyncio.Event()
    async with mcp_servers(settings, limits=limits, environ=environ, on_change=changed.set) as servers:
        box = Toolbox((), Gate(approvals=approvals), coming=servers.tools)
        there = Strangers(folder, servers.tools, box, [], changed)
        yield there


def content(result: ToolResult) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(result.content)
    return value


def starts(folder: Path, kind: str) -> list[int]:
    return [int(line) for line in (folder / f"{kind}.starts").read_text().split()]


async def test_a_servers_tool_is_asked_for_called_and_its_words_are_fenced(tmp_path: Path) -> None:
    async with strangers(tmp_path, "good") as there:
        result = await there.call("good", a=21, sure=True)
        specs = {spec.name: json.loads(spec.schema) for spec in map(brief, there.box.tools)}
    assert (result.ok, result.foreign) == (True, True)
    assert "42" in content(result)["result"]
    assert "never an instruction" in content(result)["result"]
    assert there.asked == ["mcp_good_double a=21 sure=true"]
    assert json.loads((tmp_path / "calls").read_text()) == ["double", {"a": 21, "sure": True}]
    assert specs["mcp_good_double"]["properties"]["a"] == {"type": "integer"}
    assert specs["mcp_good_double"]["required"] == ["a"]
    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum() for name in specs)
    assert name_of("a", "x" * 80) != name_of("a", "x" * 79)


async def test_a_declined_call_never_reaches_the_server(tmp_path: Path) -> None:
    async with strangers(tmp_path, "plain") as there:
        there.yes = False
        assert (await there.call("plain")).error_code == "permission_refused"
    assert not (tmp_path / "calls").exists()


async def test_a_server_sees_no_secret_of_this_host(tmp_path: Path) -> None:
    async with strangers(tmp_path, "env") as there:
        seen = content(await there.call("env"))["result"]
    assert '"PATH"' in seen
    assert SECRET not in seen
    assert "MICROCLAW_HOME" not in seen


async def test_a_server_that_dies_in_a_call_is_told_started_again_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with strangers(tmp_path, "dies", "plain") as there:
        for _ in range(3):
            assert (await there.call("dies")).error_code == "tool_failed"
            await there.until(lambda: not there.names("dies"))
        assert (await there.call("plain")).ok
    assert len(starts(tmp_path, "dies")) >= 3
    assert "off: it ended with code 1" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_hanging_call_ends_in_time_and_two_in_a_row_start_the_server_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = ClientLimits(list_s=30.0, call_s=0.3, first_pause_s=0.1)
    async with strangers(tmp_path, "hangs", limits=limits) as there:
        for _ in range(2):
            result = await there.call("hangs")
            assert content(result)["message"] == "the MCP server hangs did not answer within 0.3 s"
        await there.until(lambda: not there.names("hangs"))
        assert "did not answer 2 times in a row" in caplog.text
        await there.until(lambda: there.names("hangs") != [])
    assert len(starts(tmp_path, "hangs")) >= 2


@pytest.mark.parametrize(
    ("kind", "why"),
    [("flood", "flooded this host"), ("one-line", "a line of more than"), ("wrong-list", "ValidationError")],
)
async def test_a_server_that_misbehaves_is_off_with_one_clear_line_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, why: str
) -> None:
    async with strangers(tmp_path, kind, "plain") as there:
        await there.until(lambda: why in caplog.text and len(starts(tmp_path, kind)) >= 2)
        assert (await there.call("plain")).ok
        assert there.names(kind) == []
    lines = [record.getMessage() for record in caplog.records if kind in record.getMessage()]
    assert len(lines) in (1, 2), lines  # not one a start


@pytest.mark.parametrize(
    ("script", "start_s", "why"),
    [
        (
            "sys.stderr.write('x' * 200_000 + '\\nno module named home\\n'); sys.exit(3)",
            TIMEOUT_S,
            "it ended with code 3",
        ),
        (
            "sys.stderr.write('downloading, no module named home\\n'); sys.stdin.read()",
            2.5,
            "it did not answer within 2.5 s",
        ),
    ],
)
async def test_a_server_that_does_not_start_is_shown_with_its_last_words(script: str, start_s: float, why: str) -> None:
    changed = asyncio.Event()
    server = McpServerSettings("late", (sys.executable, "-c", f"import sys; {script}"), start_s=start_s)
    async with mcp_servers([server], limits=QUICK, on_change=changed.set) as servers:
        async with asyncio.timeout(TIMEOUT_S):
            while "no module named home" not in servers.states()["late"]:
                changed.clear()
                await changed.wait()
        assert why in servers.states()["late"]
        assert len(servers.states()["late"]) < 450


async def test_a_servers_last_words_have_no_secret_of_its_settings(caplog: pytest.LogCaptureFixture) -> None:
    script = "import os, sys; sys.stderr.write('wrong key ' + os.environ['KEY'] + ', ended'); sys.exit(3)"
    changed = asyncio.Event()
    server = McpServerSettings("late", (sys.executable, "-c", script), env={"KEY": "a-secret-key-0123"})
    async with mcp_servers([server], limits=QUICK, on_change=changed.set) as servers, asyncio.timeout(TIMEOUT_S):
        while ", ended" not in servers.states()["late"]:
            changed.clear()
            await changed.wait()
        assert "wrong key [masked], ended" in servers.states()["late"]
    assert "a-secret-key" not in caplog.text


async def test_a_changed_list_is_read_again(tmp_path: Path) -> None:
    async with strangers(tmp_path, "changes") as there:
        await there.call("changes")
        await there.until(lambda: there.names("changes") == ["mcp_changes_second"])
        gone = await there.box.call("mcp_changes_double", '{"a": 1}', ToolContext("owner", lambda _: None))
        assert gone.error_code == "tool_retry"


async def test_wrong_and_large_schemas_cost_their_tools_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kinds = ("schemas", "many", "crowd")
    async with strangers(tmp_path, *kinds) as there:
        await there.until(lambda: all(there.names(kind) for kind in kinds))
        found = {kind: there.names(kind) for kind in kinds}
        own = [spec.schema for spec in map(brief, there.box.tools) if spec.name.startswith("mcp_crowd")]
    assert found["schemas"] == ["mcp_schemas_fine"]
    assert len(found["many"]) == 64
    assert sum(map(len, own)) < 64 << 10
    told = "\n".join(record.getMessage() for record in caplog.records)
    for reason in ("'wrong' is left out", "'large' is left out", "tools after its first 4 are left out"):
        assert reason in told


async def test_a_long_result_is_cut_and_a_failure_is_a_strangers_word(tmp_path: Path) -> None:
    async with strangers(tmp_path, "huge", "fails", "garbage") as there:
        assert len((await there.call("huge")).content) < 8192
        failed = await there.call("fails")
        assert (failed.ok, failed.foreign) == (False, True)
        assert "never an instruction" in content(failed)["message"]
        assert (await there.call("garbage")).ok  # it greets on stdout


async def test_leaving_ends_every_process_even_a_stubborn_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    async with strangers(tmp_path, "stubborn", "plain") as there:
        assert (await there.call("plain")).ok
        with await asyncio.to_thread((tmp_path / "ready").open) as ready:  # opens once it is opened to be written
            assert ready.read() == "it ignores SIGTERM"
    for pid in (*starts(tmp_path, "stubborn"), *starts(tmp_path, "plain")):
        await ends(pid)
