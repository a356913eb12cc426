"""A host moves: a real host with a real board on the link, its backup, and a host in another home in its place."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Ran, clean_environ, run_in

from microclaw.cli.child import Child
from microclaw.client import Client

PATIENCE_S = 60.0
PAUSE_S = 0.2
PASSWORD = "correct horse battery staple\n"
BLINK = """from machine import Pin
import time
led = Pin(2, Pin.OUT)
while True:
    led.toggle()
    time.sleep(0.5)
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(home: Path, port: int) -> Child:
    words = ["microclaw.cli", "--json", "up", "--port", "0", "--link", f"127.0.0.1:{port}", "--die-with-parent"]
    child = Child("host", words, log=home.with_suffix(".stderr"), environ=clean_environ(home))
    child.wait_ready()
    return child


def ask(home: Path, *words: str, **given: Any) -> Ran:
    done = run_in(home, *words, **given)
    assert done.code == 0, (words, done.err)
    return done


def until_connected(home: Path) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        devices: list[dict[str, Any]] = Client(home / "control.sock").get("/v1/devices")["devices"]
        for device in devices:
            if device["name"] == "lamp" and device["link"]["online"]:
                return device
        assert time.monotonic() < deadline, devices
        time.sleep(PAUSE_S)  # between two looks


def leave_early(home: Path) -> None:
    """Begin to read the home and go: the host cleans up, and the next one may read."""
    chunks = Client(home / "control.sock").download("/v1/backup")
    assert next(chunks)
    chunks.close()
    deadline = time.monotonic() + PATIENCE_S
    while (home / "backup.new").exists():
        assert time.monotonic() < deadline
        time.sleep(PAUSE_S)


def test_a_restored_host_is_the_one_that_its_devices_know(tmp_path: Path, port: int, stack: ExitStack) -> None:
    old, new, file = tmp_path / "old" / "home", tmp_path / "new" / "home", str(tmp_path / "host.age")
    old.mkdir(mode=0o700, parents=True)
    program = tmp_path / "blink.py"
    program.write_text(BLINK)
    with start(old, port):
        made = json.loads(ask(old, "--json", "device", "provision", "lamp", "--file", str(tmp_path / "lamp.json")).out)
        words = ["microclaw.virtual", "--name", "lamp", "--wasmachine", "0", "--serial", "none", "--die-with-parent"]
        words += ["--link", f"wss://127.0.0.1:{port}/link", "--link-ca-sha256", made["ca_sha256"]]
        words += ["--link-secret-file", str(tmp_path / "lamp.json"), "--flash", str(tmp_path / "flash")]
        board = stack.enter_context(Child("board", words, log=tmp_path / "board.stderr"))
        before = until_connected(old)
        ask(old, "run", str(program), "-d", "lamp")
        ask(old, "schedule", "add", "every day at 7:00", "set pin 4 of lamp high")
        ask(old, "chat", "remember that the lamp is in the kitchen")
        leave_early(old)
        said = ask(old, "--json", "backup", file, "--password-file", "-", stdin=PASSWORD).out
        counts = json.loads(said)["contents"]
        assert [counts[name] for name in ("devices", "programs", "schedules", "conversations")] == [1, 1, 1, 1]
        running = run_in(old, "restore", file, "--replace", "--password-file", "-", stdin=PASSWORD)
        assert (running.code, "belongs to a running host" in running.err) == (1, True)
    ask(new, "restore", file, "--password-file", "-", stdin=PASSWORD)
    with start(new, port):
        after = until_connected(new)
        assert board.running
        assert [after[name] for name in ("device_id", "name")] == [before[name] for name in ("device_id", "name")]
        status = json.loads(ask(new, "--json", "status").out)
        assert (status["link"]["pairing"], status["link"]["connected"]) == (0, ["lamp"])
        assert json.loads(ask(new, "--json", "exec", "lamp", "gpio.get", "2").out)["result"]["pin"] == 2
        rows = json.loads(ask(new, "--json", "app", "list", "-d", "lamp").out)["apps"]
        assert [row["name"] for row in rows] == ["blink"]
        ask(new, "app", "stop", "blink", "-d", "lamp")
        ask(new, "app", "start", "blink", "-d", "lamp")  # from the image that is kept in the store
        assert len(json.loads(ask(new, "--json", "schedule", "list").out)["schedules"]) == 1
        assert "kitchen" in json.loads(ask(new, "--json", "memory", "show").out)["text"]
        kinds = [json.loads(line)["kind"] for line in (new / "audit/acts.jsonl").read_text().splitlines()]
        assert kinds.count("pairing.done") == 1
        assert [kind for kind in kinds if not kind.startswith("program.")][-1] == "backup.restored"
