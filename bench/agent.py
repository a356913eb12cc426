"""What a turn with one tool call costs the host in CPU, beyond the model: offline, and with a local HTTP model."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench.processes import private_home, running
from bench.report import Metric, median, timed
from microclaw.agent.events import Answer
from microclaw.cli.host_client import HostClient
from microclaw.config import load_settings

TURNS = 150
WARM_UP = 10


def measure() -> list[Metric]:
    offline_cpu, offline_wall = _turns({})
    with http_model() as base_url:
        http_cpu, http_wall = _turns(
            {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "bench", "MICROCLAW_MODEL": "local"}
        )
    return [
        Metric("host CPU a turn with one tool call, offline", offline_cpu, "ms", 8),
        Metric("host CPU a turn, local HTTP model", http_cpu, "ms", 15),
        Metric("turn, offline", offline_wall, "ms"),
        Metric("turn, local HTTP model", http_wall, "ms"),
    ]


def _turns(environ_more: dict[str, str]) -> tuple[float, float]:
    with (
        private_home(**environ_more) as environ,
        running("microclaw.virtual", "--die-with-parent", "--wasmachine", "0") as board,
    ):
        settings = load_settings(environ)
        with running("microclaw.cli", "up", "--json", "--port", "0", environ=environ) as host:
            client = HostClient(settings.control_socket)
            serial = f"serial:tcp://127.0.0.1:{board.facts['serial']}"
            client.post("/v1/devices", {"name": "bench", "board": "virtual", "faces": [serial]})
            for _ in range(WARM_UP):
                _turn(client, 0)
            before_s = host.cpu_s()
            wall = [timed(partial(_turn, client, n)) for n in range(TURNS)]
            return (host.cpu_s() - before_s) / TURNS * 1000, median(wall) * 1000


def _turn(client: HostClient, number: int) -> None:
    for event in client.stream("/v1/chat", {"text": "what is the temperature", "chat_id": f"bench-{number}"}):
        if isinstance(event, Answer):
            assert [a.tool for a in event.actions] == ["i2c-read"], event
            return


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

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = request["messages"][-1]["role"] == "user"
        self._send(_completion(request["model"], asked=asked))

    def _send(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _completion(model: str, *, asked: bool) -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": "i2c-read", "arguments": '{"sensor": "bme280"}'}}
    message: dict[str, Any] = {"role": "assistant", "content": None if asked else "It is 22.5 degrees."}
    if asked:
        message["tool_calls"] = [call]
    reason = "tool_calls" if asked else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 20, "total_tokens": 920},
    }
