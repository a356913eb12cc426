"""Event streams as Anthropic and OpenAI-compatible servers send them, whole, cut, stalled or wrong. Holds no test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Events:
    """Chunks of a chunked answer. `end`: "whole", "cut" (the connection is closed in the middle) or "stall"."""

    chunks: Sequence[bytes]
    end: str = "whole"

    async def send(self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
            b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        )
        for chunk in self.chunks:
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            await writer.drain()
            await asyncio.sleep(0)
        if self.end == "whole":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        elif self.end == "stall":
            await reader.read()  # until the client gives up


def event(kind: str, **fields: Any) -> bytes:
    """One event as Anthropic frames it."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def anthropic_stream(*pieces: str, cached: int = 0) -> list[bytes]:
    """An answer of text in pieces."""
    usage = {"input_tokens": 1000 - cached, "cache_read_input_tokens": cached, "cache_creation_input_tokens": 0}
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    events = [event("message_start", message=message), event("ping")]
    if pieces:
        events.append(event("content_block_start", index=0, content_block={"type": "text", "text": ""}))
        events += [event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in pieces]
        events.append(event("content_block_stop", index=0))
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    events.append(event("message_delta", delta=end, usage={"output_tokens": 100}))
    events.append(event("message_stop"))
    return events


def openai_chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
    """One chunk; a delta of None is one without choices."""
    if delta is None:
        choices = []
    else:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "test-model"}
    return f"data: {json.dumps({**chunk, 'choices': choices, **more})}\n\n".encode()


DONE = b"data: [DONE]\n\n"


def openai_stream(*pieces: str, calls: Sequence[dict[str, Any]] = (), cached: int = 0) -> list[bytes]:
    """An answer as OpenAI sends it: text in pieces, or calls in deltas, then the usage in a chunk of its own."""
    chunks = [openai_chunk({"role": "assistant", "content": ""})]
    chunks += [openai_chunk({"content": text}) for text in pieces]
    chunks += [openai_chunk({"tool_calls": [call]}) for call in calls]
    chunks.append(openai_chunk({}, "tool_calls" if calls else "stop"))
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    chunks.append(openai_chunk(None, usage={**usage, "prompt_tokens_details": {"cached_tokens": cached}}))
    return [*chunks, DONE]
