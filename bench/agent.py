"""The CPU time of a turn with one tool call: offline, and with a local HTTP model beside OpenAI's client alone."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from openai import AsyncOpenAI

from bench.processes import private_home, running
from bench.report import Metric, median, timed
from microclaw.events import Answer
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import Client

OFFLINE_SENTENCE = "what is the temperature"
MODEL_SENTENCE = "how warm is it at the board right now, in a whole sentence"  # the offline intents leave it to a model
TURNS = 150
WARM_UP = 10


def measure() -> list[Metric]:
    offline_cpu, offline_wall = _turns({}, OFFLINE_SENTENCE)
    with http_model() as base_url:
        http_cpu, http_wall = _turns(
            {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "bench", "MICROCLAW_MODEL": "local"}, MODEL_SENTENCE
        )
        client_cpu = asyncio.run(_client_alone(base_url))
    return [
        Metric("host CPU a turn with one tool call, offline", offline_cpu, "ms", 8),
        Metric("host CPU a turn, local HTTP model", http_cpu, "ms"),
        Metric("CPU of a turn's two requests, OpenAI's client alone", client_cpu, "ms"),
        Metric("CPU of a turn, local HTTP model / OpenAI's client alone", http_cpu / client_cpu, "x", 3),
        Metric("turn, offline", offline_wall, "ms"),
        Metric("turn, local HTTP model", http_wall, "ms"),
    ]


def _turns(environ_more: dict[str, str], sentence: str) -> tuple[float, float]:
    with (
        private_home(**environ_more) as environ,
        running("microclaw.virtual", "--die-with-parent", "--wasmachine", "0") as board,
    ):
        settings = load_settings(environ)
        with running("microclaw", "up", "--json", "--port", "0", environ=environ) as host:
            client = Client(settings.control_socket)
            serial = f"serial:tcp://127.0.0.1:{board.facts['serial']}"
            client.post("/v1/devices", {"name": "bench", "board": "virtual", "transports": [serial]})
            for _ in range(WARM_UP):
                _turn(client, sentence, 0)
            before_s = host.cpu_s()
            wall = [timed(partial(_turn, client, sentence, n)) for n in range(TURNS)]
            return (host.cpu_s() - before_s) / TURNS * 1000, median(wall) * 1000


def _turn(client: Client, sentence: str, number: int) -> None:
    for event in client.stream("/v1/chat", {"text": sentence, "chat_id": f"bench-{number}"}):
        if isinstance(event, Answer):
            assert [a.tool for a in event.actions] == ["i2c-read"], event
            return


async def _client_alone(base_url: str) -> float:
    """Milliseconds of this thread's CPU for the two requests of the last turn."""
    client = AsyncOpenAI(base_url=base_url, api_key="bench")
    for number, request in enumerate(_ChatCompletions.requests[-2:] * (WARM_UP + TURNS)):
        if number == 2 * WARM_UP:
            began_s = time.thread_time()
        async for _ in await client.chat.completions.create(**request):
            pass
    return (time.thread_time() - began_s) / TURNS * 1000


@contextmanager
def http_model() -> Iterator[str]:
    """A model behind OpenAI's chat completions: calls i2c-read once, then says a sentence."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _ChatCompletions)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


class _ChatCompletions(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment
    requests: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append(request)
        asked = request["messages"][-1]["role"] == "user"
        body = _chunks(request["model"], asked=asked)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


_CALL = {"id": "call_1", "type": "function", "function": {"name": "i2c-read", "arguments": '{"sensor": "bme280"}'}}
_USAGE = {"prompt_tokens": 900, "completion_tokens": 20, "total_tokens": 920}


def _chunks(model: str, *, asked: bool) -> bytes:
    """The answer as an event stream: its words one by one, or the call."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    words = [{"content": word} for word in ("It is ", "22.5 ", "degrees.")]
    if asked:
        deltas += [{"tool_calls": [{"index": 0, **_CALL}]}]
    else:
        deltas += words
    choices: list[list[dict[str, Any]]] = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": "tool_calls" if asked else "stop"}])
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    documents = [{**head, "choices": choice} for choice in choices] + [{**head, "choices": [], "usage": _USAGE}]
    return b"".join(f"data: {json.dumps(d)}\n\n".encode() for d in documents) + b"data: [DONE]\n\n"
