"""A host that uses its secrets against servers that echo them: afterwards they stand in no file but their own."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.egress.proxying import server

from microclaw.cli.child import Child
from microclaw.egress.secret_values import SecretValues
from microclaw.errors import MicroclawError
from microclaw.operations.client import Client

WAIT_S = 120.0
SECRETS = {
    "model": "sk-model-key/with+signs-123456",
    "telegram": "123456789:AAbot-token_that_is_echoed",
    "mcp header": "Bearer mcp-header-that-is-echoed",
    "mcp env": "environment-of-a-server-123",
    "mqtt": "mqtt-password-of-the-broker",
    "task": "secret-of-a-task-987654",
}
OWN_FILES = {"secrets.toml", "mqtt.txt"}


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    """401, with all that came in every place that a client may quote."""
    said = head.decode(errors="replace")
    line = " ".join(said.split("\r\n"))[:2000].replace('"', "'")
    error = {"message": f"bad key: {line}", "type": "auth", "code": line}
    body = json.dumps({"ok": False, "error_code": 401, "description": line, "error": error}).encode()
    writer.write(
        f"HTTP/1.1 401 No {line[:200]}\r\nContent-Type: application/json\r\nX-Echo: {line[:500]}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )
    await writer.drain()


@asynccontextmanager
async def _broker() -> AsyncIterator[tuple[int, list[bytes], asyncio.Event]]:
    """Takes MQTT's CONNECT and refuses it (bad user name or password)."""
    came: list[bytes] = []
    asked = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            came.append(await reader.read(65536))
            asked.set()
            writer.write(b"\x20\x03\x00\x86\x00")
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], came, asked
    finally:
        listening.close()


def _home(folder: Path, echo: int, broker: int) -> Path:
    home = folder / "home"
    home.mkdir(mode=0o700)
    files = {
        "mqtt.txt": SECRETS["mqtt"],
        "egress.yaml": "allow: [{hots: api.example.com}]",
        "config.toml": f"""
[model]
provider = "openai"
name = "test-model"
base_url = "http://127.0.0.1:{echo}/v1"
offline_first = false
[telegram]
enabled = true
base_url = "http://127.0.0.1:{echo}"
[mqtt]
url = "mqtt://127.0.0.1:{broker}"
user = "host"
password_file = "{home / "mqtt.txt"}"
[mcp.servers.web]
url = "http://127.0.0.1:{echo}/mcp"
[mcp.servers.local]
command = ["sh", "-c", "env; env >&2; exit 3"]
""",
        "secrets.toml": f"""
[model]
api_key = "{SECRETS["model"]}"
[telegram]
token = "{SECRETS["telegram"]}"
[mcp.servers.web.headers]
Authorization = "{SECRETS["mcp header"]}"
[mcp.servers.local.env]
KEY = "{SECRETS["mcp env"]}"
""",
    }
    for name, text in files.items():
        (home / name).write_text(text)
        (home / name).chmod(0o600)
    SecretValues(home, {}).set("task", SECRETS["task"])  # a line of the security log, too
    return home


@contextmanager
def _host(home: Path) -> Iterator[Client]:
    environ = {
        name: text for name, text in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL", "_PROXY"))
    }
    words = ["microclaw", "-v", "--json", "--home", str(home), "up", "--port", "0", "--die-with-parent"]
    with Child("host", words, log=home.parent / "host.stderr", environ=environ) as child:
        facts, _ = child.wait_ready()
        yield Client(Path(facts["control"]))


def _talk(home: Path, used: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    """A turn with the model, whose service refuses the key; then the host runs until every secret was used."""
    with _host(home) as client:
        with suppress(MicroclawError):
            list(client.stream("/v1/chat", {"text": "write a poem about the sea"}))
        asyncio.run_coroutine_threadsafe(asyncio.wait_for(used.wait(), WAIT_S), loop).result()
        (home.parent / "status.json").write_text(json.dumps(client.get("/v1/status")))


async def test_after_a_run_no_secret_that_was_used_stands_in_any_file(tmp_path: Path) -> None:
    used = asyncio.Event()
    async with _broker() as (port, came, asked), server(_echo) as web:
        home = await asyncio.to_thread(_home, tmp_path, web.port, port)

        async def watch() -> None:
            await asked.wait()
            wanted = [SECRETS[name].encode() for name in ("model", "telegram", "mcp header")]
            while not all(any(value in head for head in web.seen) for value in wanted):
                await web.news.wait()
                web.news.clear()
            used.set()

        watching = asyncio.create_task(watch())
        await asyncio.to_thread(_talk, home, used, asyncio.get_running_loop())
        await watching
        assert SECRETS["mqtt"].encode() in came[0]
    status = json.loads(await asyncio.to_thread((tmp_path / "status.json").read_text))
    assert [text for text in status["problems"] if "tasks have no network" in text and "did you mean host?" in text]
    found = await asyncio.to_thread(_holding, tmp_path)
    assert found == {(name, file) for name, file in found if file in OWN_FILES}
    assert {file for _, file in found} == OWN_FILES
    log = await asyncio.to_thread((home / "microclaw.log").read_text)
    assert log


def _holding(folder: Path) -> set[tuple[str, str]]:
    """The secrets in each file of the run: logs, the security log, the store, what was printed, the status."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.parent.name == "audit" for path in files)
    return {
        (name, path.name)
        for path in files
        for name, value in SECRETS.items()
        if value.removeprefix("Bearer ").encode() in path.read_bytes()
    }
