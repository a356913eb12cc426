"""Every route of the API that a token may call can be called by the client, or there is a reason why not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from microclaw.api.access import every_route
from microclaw.operations.operation import Access, load

OF_THE_CLIENT: Final = {"GET /v1/events", "POST /v1/chat", "POST /v1/jobs/{number}/cancel", "POST /v1/tools/{name}"}
"""Its methods for these are called in docs/client.md, which a test runs, or by the command line."""
MISSING: Final[Mapping[str, tuple[str, ...]]] = {
    "of browsers: a program has a token": (
        "POST /v1/signin/code",
        "POST /v1/signin/password",
        "POST /v1/signout",
    ),
    "the page shows them; on the command line it is microclaw memory sessions": (
        "GET /v1/chat",
        "GET /v1/chat/{chat_id}/messages",
    ),
    "OpenAI's own clients call them": (
        "POST /v1/chat/completions",
        "GET /v1/models",
        "GET /v1/models/{name:path}",
    ),
    "the page flashes a board with it; on a cable it is microclaw flash": ("GET /v1/firmware/parts/{name}",),
    "client.get and client.post do": (
        "GET /v1/me",
        "GET /v1/requests/{number}",
        "GET /v1/tools",
        "POST /v1/chat/{chat_id}/cancel",
        "POST /v1/chat/{chat_id}/delivered",
        "GET /v1/chat/{chat_id}/undelivered",
    ),
    "client.download fetches it": ("GET /v1/tasks/{number}/files/{name:path}",),
}


def test_every_route_has_an_act_a_method_or_a_reason() -> None:
    public = {route for access, route in every_route() if "/v1/" in route and access is not Access.SOCKET}
    declared = {route for act in load() for route in (act.http, act.many)}  # `client.call` does them
    assert public - declared - OF_THE_CLIENT == {route for routes in MISSING.values() for route in routes}


LOOPS: Final = """
from concurrent.futures import ThreadPoolExecutor
from microclaw.operations.blocking import _loop
print(len(set(ThreadPoolExecutor(8).map(lambda _: _loop(), range(8)))))"""


def ran(program: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.split())


def test_the_import_is_light_and_has_nothing_of_a_server() -> None:
    loaded = ran("import sys, microclaw.operations.client; print('\\n'.join(sys.modules))")
    assert not loaded & {"pydantic", "fastapi", "httpx2", "sqlite3", "cryptography", "click", "rich"}
    ours = {name.split(".")[1] for name in loaded if name.startswith("microclaw.")}
    assert ours <= {"durable", "operations", "wire", "events", "errors", "text", "config", "addresses", "backoff"}


def test_threads_whose_first_calls_come_at_one_time_share_an_event_loop() -> None:
    assert ran(LOOPS) == {"1"}
