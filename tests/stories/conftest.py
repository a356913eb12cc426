"""Stories: what a user does, through public doors alone, with the exit codes, states, edges and rows that come of it.

They import nothing of microclaw but its client, and assert no sentence.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from tests.forked import Forked

from microclaw.host.operations.client import Client
from microclaw.programs.changes import operations as programs
from microclaw.programs.changes.device_calls import call_device

TIMEOUT_S = 120.0

BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(PIN, GPIO_OUT); every(HALF_MS, tick); }
"""

_Found = TypeVar("_Found")


def blink(folder: Path, pin: int, half_ms: int = 100, name: str = "blink") -> str:
    """A program in C that toggles the pin; the name of its file."""
    file = folder / f"{name}.c"
    file.write_text(BLINK.replace("PIN", str(pin)).replace("HALF_MS", str(half_ms)))
    return str(file)


def blinking(pin: int) -> str:
    """The text of a C program that toggles the pin ten times a second."""
    return BLINK.replace("PIN", str(pin)).replace("HALF_MS", "100")


@dataclass(frozen=True, slots=True)
class Ran:
    """A finished command: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document of a command with --json."""
        return json.loads(self.out)


def environ_of(home: Path) -> dict[str, str]:
    """This environment with `home` as microclaw's, without model keys or another host."""
    kept = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
    for name in ("NO_COLOR", "MICROCLAW_HOST", "MICROCLAW_TOKEN"):
        kept.pop(name, None)
    return {**kept, "MICROCLAW_HOME": str(home)}


def microclaw(
    home: Path, *words: str, stdin: str = "", timeout_s: float = TIMEOUT_S, environ: Mapping[str, str] | None = None
) -> Ran:
    """Run `microclaw WORDS` as a process, without a terminal."""
    env = {**environ_of(home), **(environ or {})}
    with Forked(("microclaw", *words), stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True, env=env) as process:
        try:
            out, err = process.communicate(stdin, timeout_s)
        finally:
            process.kill()
    return Ran(process.returncode, out, err)


def started(home: Path, *words: str, module: str = "microclaw") -> Forked:
    """`microclaw WORDS` in the background, without a terminal."""
    return Forked((module, *words), stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, text=True, env=environ_of(home))


@dataclass(frozen=True, slots=True)
class Host:
    """A running host: its home, and the document that `microclaw --json up` printed."""

    home: Path
    facts: dict[str, Any]
    process: Forked

    def run(self, *words: str, stdin: str = "", timeout_s: float = TIMEOUT_S) -> Ran:
        """Run `microclaw WORDS` beside the host."""
        return microclaw(self.home, *words, stdin=stdin, timeout_s=timeout_s)

    @property
    def client(self) -> Client:
        return Client(Path(self.facts["control"]))

    def conditions(self, device: str) -> dict[str, str]:
        """The programs of a device, and how each is."""
        return {app.name: app.condition for app in self.client.call(programs.list_apps, device=device).apps}

    def changes(self, limit: int = 50) -> list[Any]:
        return self.client.call(programs.changes, limit=limit).changes

    def program(self, device: str, name: str) -> Any:
        return self.client.call(programs.show, device=device, name=name)

    def remove(self, device: str, name: str) -> None:
        self.client.call(programs.uninstall, device=device, name=name)

    def level(self, device: str, pin: int) -> int:
        """The pin's level, as the board says it."""
        made = self.client.call(call_device, device=device, method="gpio.get", arguments={"pin": pin})
        found: int = made.result["level"]
        return found


@contextmanager
def running_host(home: Path, *words: str) -> Iterator[Host]:
    """`microclaw --json up WORDS` on a free port, until the end of the block."""
    command = ("microclaw", "--json", "up", "--port", "0", "--die-with-parent", *words)
    log_file = home.with_name(f"{home.name}.stderr")
    env = environ_of(home)
    with log_file.open("a") as log:
        process = Forked(command, stdin=DEVNULL, stdout=PIPE, stderr=log, text=True, env=env, start_new_session=True)
    assert process.stdout is not None
    try:
        facts = json.loads(process.stdout.readline() or "{}")
        assert facts.get("ready"), (facts, log_file.read_text())
        yield Host(home, facts, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(TIMEOUT_S)
            finally:
                process.kill()
        process.stdout.close()


@contextmanager
def running_board(home: Path, *words: str) -> Iterator[dict[str, Any]]:
    """`microclaw --json virtual WORDS`, until the end of the block; the document that it printed."""
    process = started(home, "--json", "virtual", *words)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)
        process.stdout.close()


@contextmanager
def joined_board(host: Host, name: str) -> Iterator[str]:
    """A board with our own firmware, on the host's device link."""
    with running_board(host.home, "--join", "--name", name, "--wasmachine", "0", "--serial", "none"):
        until(lambda: name in host.client.get("/v1/status")["link"]["connected"])
        yield name


# A foreign client's HTTP: the standard library alone, with any header, and answers as they came


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error."""
        found: str = self.json["error"]["code"]
        return found

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The objects of a stream of JSON lines."""
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]

    @property
    def last(self) -> dict[str, Any]:
        """The last line of a stream, which says what came of the act."""
        return self.lines[-1]


@dataclass(frozen=True, slots=True)
class Door:
    """Requests to one address with one token."""

    address: str
    token: str | None = None

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """`body` as JSON, or as it is where it is bytes; `Content_Type` is the header Content-Type."""
        parts = urlsplit(self.address)
        if body is None or isinstance(body, bytes):
            sent = body
        else:
            sent = json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if sent is not None:
            named.setdefault("Content-Type", "application/json")
        if self.token is not None:
            named.setdefault("Authorization", f"Bearer {self.token}")
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, sent, {name: value for name, value in named.items() if value})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, {} if body is None else body, **headers)


def door(host: Host, token: str | None = None) -> Door:
    """The host's API over TCP."""
    return Door(str(host.facts["http"]), token)


def member_of(host: Host, name: str, role: str = "member", scope: str = "all") -> Door:
    """A new person of that role, by a token."""
    if role != "owner":
        host.client.post("/v1/people", {"name": name, "role": role})
    made = host.client.post(
        "/v1/tokens", {"name": f"of-{name}", "person": "owner" if role == "owner" else name, "scope": scope}
    )
    return door(host, str(made["secret"]))


def level(host: Host, pin: int, board: str = "virtual-1") -> int:
    """The pin's level as the board says it."""
    return host.level(board, pin)


def running(host: Host) -> list[str]:
    """The programs that run."""
    return [app["name"] for app in host.client.get("/v1/apps")["apps"] if app["condition"] == "running"]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with the virtual board virtual-1, for all stories of a file."""
    with running_host(tmp_path_factory.mktemp("story") / "home", "--virtual", "1") as running:
        yield running


@pytest.fixture(scope="module")
def owner(host: Host) -> Door:
    """The owner, by a token over TCP."""
    return member_of(host, "owner", "owner")


def until(look: Callable[[], _Found], patience_s: float = 180.0) -> _Found:
    """The first true answer of `look`; fails if it does not come within `patience_s`."""
    deadline = time.monotonic() + patience_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)
    return found


def until_recorded(host: Host, *kinds: str) -> None:
    """The security log has these kinds; a line is written within a second."""
    until(lambda: set(kinds) <= {line["kind"] for line in host.run("person", "log", "--json").json["events"]})
