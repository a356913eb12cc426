"""A local server that speaks a model's wire format: answers from a list, keeps what it was asked. Holds no test."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.agent.models.event_streams import Events
from tests.peers import listening

LIMIT_S = 120


@dataclass
class Server:
    """Answers each request with the next (status, body); a body of None never answers, bytes are sent raw, a
    function makes it of what was asked.

    `Events` are sent as an event stream, each as soon as it is written.
    """

    answers: list[tuple[int, Any]]
    head: str = "connection: close"
    kind: str = "application/json"
    url: str = ""
    paths: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.paths.append(head[0].split(" ")[1])
        self.headers.append(headers)
        self.bodies.append(json.loads(body) if body else {})
        status, answer = self.answers.pop(0)
        if callable(answer):
            answer = answer(self.bodies[-1])
        if answer is None:
            await reader.read()  # until the client gives up
            return
        if isinstance(answer, Events):
            await answer.send(writer, reader)
            return
        if isinstance(answer, bytes):
            content = answer
        else:
            content = json.dumps(answer).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\ncontent-type: {self.kind}\r\ncontent-length: {len(content)}\r\n"
            f"{self.head}\r\n\r\n".encode()
        )
        writer.write(content if status != 299 else content[:10])
        await writer.drain()


@asynccontextmanager
async def server(
    *answers: tuple[int, Any],
    head: str = "connection: close",
    kind: str = "application/json",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    state = Server(list(answers), head, kind)
    async with listening(state.serve, tls=tls) as port, asyncio.timeout(LIMIT_S):
        state.url = f"http://127.0.0.1:{port}"
        yield state


def anthropic_reply(*content: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": list(content),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 1000, "output_tokens": 100},
    }


def openai_reply(text: str | None = None, calls: list[tuple[str, str]] | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for n, (name, arguments) in enumerate(calls)
        ]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "test-model",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }
