"""The first answer, made without the library, is the library's own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp.shared.message import SessionMessage
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from microclaw.mcp.server.first_answer import HANDSHAKE_VERSIONS, MODERN_VERSION, first_answer
from microclaw.mcp.server.handlers import mcp_server
from microclaw.mcp.server.service import Caller, EndSession

INFO = {"name": "x", "version": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": INFO,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class NoService:
    def sessions(self, ended: EndSession) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def caller(self, context: Any, alive: Any = None) -> Caller:
        raise AssertionError("nothing here needs the host")


def initialize(version: str, **more: Any) -> dict[str, Any]:
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": INFO, **more}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}


async def answer_of_the_library(line: bytes) -> dict[str, Any]:
    sending, received = anyio.create_memory_object_stream[SessionMessage | Exception](1)
    send, answers = anyio.create_memory_object_stream[SessionMessage](1)
    async with mcp_server(NoService()) as server, anyio.create_task_group() as group:
        group.start_soon(server.run, received, send, server.create_initialization_options())
        await sending.send(SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False)))
        with anyio.fail_after(20):
            answer = await answers.receive()
        group.cancel_scope.cancel()
    for stream in (sending, received, send, answers):
        stream.close()
    value: dict[str, Any] = json.loads(answer.message.model_dump_json(by_alias=True, exclude_unset=True))
    return value


def test_the_versions_are_the_librarys() -> None:
    assert HANDSHAKE_VERSIONS == HANDSHAKE_PROTOCOL_VERSIONS
    assert (MODERN_VERSION,) == MODERN_PROTOCOL_VERSIONS


@pytest.mark.parametrize("version", [*HANDSHAKE_VERSIONS, "2026-07-28", "1999-01-01", ""])
async def test_initialize_is_answered_as_the_library_does(version: str) -> None:
    line = json.dumps(initialize(version)).encode()
    first = first_answer(line)
    assert first is not None
    assert json.loads(first.line) == await answer_of_the_library(line)
    assert (first.request_id, first.replayed) == (1, True)


async def test_discover_is_answered_as_the_library_does() -> None:
    request = {"jsonrpc": "2.0", "id": "a", "method": "server/discover", "params": {"_meta": META}}
    line = json.dumps(request).encode()
    first = first_answer(line)
    assert first is not None
    assert json.loads(first.line) == await answer_of_the_library(line)
    assert not first.replayed


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no json",
        b"[]",
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":1,"method":"initialize"}',
        b'{"jsonrpc":"2.0","method":"initialize","params":{}}',
        json.dumps(initialize("2025-11-25", clientInfo={"name": 1})).encode(),
        json.dumps(initialize("2025-11-25", capabilities=[])).encode(),
        json.dumps({**initialize("2025-11-25"), "id": True}).encode(),
        json.dumps(initialize("2025-11-25", _meta=5)).encode(),
        json.dumps({**initialize("2025-11-25"), "id": "\ud800"}).encode(),
        b"[" * 100_000,
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {}}).encode(),
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": []}}).encode(),
    ],
)
def test_what_is_no_plain_first_request_is_left_to_the_library(line: bytes) -> None:
    assert first_answer(line) is None


def test_the_first_answer_needs_no_library() -> None:
    heavy = ("mcp", "pydantic", "anyio", "httpx2")
    code = f"import microclaw.mcp.server.stdio, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
