"""Tokens of what a model is sent before its first word, part by part: an ordinary device turn, read off the wire.

No tokenizer is at hand that needs no download, so a token is estimated as tokenizers cut text before they merge: a word
with the blank before it (its first 8 letters; more count again), up to 3 digits, a run of other characters (up to 3).
Real tokenizers merge more of the punctuation of C and JSON, so that this rather counts too many.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from bench.report import Metric
from microclaw.app import running_host
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import Client

GOAL_TOKENS: Final = 3000
GOAL_OF_TWO: Final = 3200  # with two boards of a kind
ACT: Final = "turn the red lamp at GPIO 7 on, please, half as bright as can be"
PROGRAM: Final = "make a program that blinks pin 5 twice a second, but only as long as pin 4 is low"
_PIECE: Final = re.compile(r" ?[^\W\d_]+|\d{1,3}| ?(?:[^\w\s]|_)+|\s+")


def measure() -> list[Metric]:
    act, program = asyncio.run(_first_requests((ACT, PROGRAM), boards=1))
    [with_two] = asyncio.run(_first_requests((PROGRAM,), boards=2))
    parts = parts_of(program)
    return [
        Metric("tokens before the first word, an act", sum(parts_of(act).values()), "tok", GOAL_TOKENS),
        Metric("tokens before the first word, a program", sum(parts.values()), "tok", GOAL_TOKENS),
        Metric(
            "tokens before the first word, two boards of a kind", sum(parts_of(with_two).values()), "tok", GOAL_OF_TWO
        ),
        Metric("tools offered", max(len(body["tools"]) for body in (act, program)), "", 13),
        *(Metric(f"  {name}", count, "tok") for name, count in parts.items()),
    ]


def parts_of(body: dict[str, Any]) -> dict[str, float]:
    """The tokens of a chat-completions request: each titled part of the system message, each tool, each message."""
    parts: dict[str, float] = {}
    first, *messages = body["messages"]
    for title, text in _titled(first["content"]):
        parts[title] = parts.get(title, 0) + estimated_tokens(text)
    for number, message in enumerate(messages, start=1):
        parts[f"message {number}, {message['role']}"] = estimated_tokens(str(message["content"]))
    for tool in body.get("tools", []):
        spec = json.dumps(tool["function"], ensure_ascii=False, separators=(",", ":"))
        parts[f"tool {tool['function']['name']}"] = estimated_tokens(spec)
    return parts


def estimated_tokens(text: str) -> int:
    return sum(_size(piece) for piece in _PIECE.findall(text))


def _size(piece: str) -> int:
    letters = piece.strip()
    if not letters:
        return 1
    return -(-len(letters) // (8 if letters[0].isalpha() else 3))


def _titled(text: str) -> Iterator[tuple[str, str]]:
    """The parts below `# Title` lines; what comes before the first is the role."""
    title = "role and rules"
    lines = list[str]()
    for line in text.splitlines():
        if line.startswith("# "):
            yield title, "\n".join(lines)
            title = line[2:42]
            lines = []
        lines.append(line)
    yield title, "\n".join(lines)


async def _first_requests(sentences: Sequence[str], boards: int) -> list[dict[str, Any]]:
    """Return the model's request for each sentence, each in a chat of its own, on a host with so many boards."""
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as folder, _recording_model() as (base_url, bodies):
        environ = {
            "OPENAI_BASE_URL": base_url,
            "MICROCLAW_MODEL": "recorded",
            "MICROCLAW_CACHE": str(Path(folder, "cache")),
        }
        settings = load_settings(environ, home=Path(folder, "home"), http_port=None)
        async with AsyncExitStack() as stack:
            host = await stack.enter_async_context(running_host(settings))
            for number in range(1, boards + 1):
                board = await stack.enter_async_context(VirtualBoardProcess())
                await host.devices.add(f"virtual-{number}", "virtual", board.ready.transports)
            for number, sentence in enumerate(sentences):
                await asyncio.to_thread(_say, settings.control_socket, sentence, f"chat-{number}")
    return bodies


def _say(socket: Path, text: str, chat_id: str) -> None:
    for _ in Client(socket).stream("/v1/chat", {"text": text, "chat_id": chat_id}):
        pass


@contextmanager
def _recording_model() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Chat completions that keep each request and refuse it with a 400, which nobody tries again."""
    bodies: list[dict[str, Any]] = []

    class Recording(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_error(400)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Recording)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", bodies
    finally:
        server.shutdown()
        server.server_close()
