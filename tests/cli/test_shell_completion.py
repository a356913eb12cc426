"""The shell completes names of devices, labels and programs from the running host, or nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

import pytest
from tests.cli.conftest import clean_environ

TRIES = 20
DEVICES = """{"devices": [{"name": "kitchen", "labels": ["lights"]}, {"name": "hall", "labels": []},
 {"name": "$(touch bad)", "labels": []}]}"""
APPS = """{"apps": [{"name": "blink", "device": "kitchen"}, {"name": "fan", "device": "hall"}]}"""


class _Answers(BaseHTTPRequestHandler):
    """The two lists of a host's API, over the control socket."""

    def do_GET(self) -> None:
        body = {"/v1/devices": DEVICES, "/v1/apps": APPS}[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "socket"  # a unix socket's peer has no address

    def log_message(self, format: str, *args: object) -> None:
        return


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home whose control socket answers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o700)
        with _Server(str(path / "control.sock"), _Answers) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield path
            server.shutdown()


def _complete(home: Path, typed: str, *, shell: str = "bash", host: str = "") -> list[str]:
    line = f"microclaw {typed}"
    asked = {"_MICROCLAW_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    asked |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"} | (
        {"MICROCLAW_HOST": host} if host else {}
    )
    ran = subprocess.run(
        [sys.executable, "-m", "microclaw"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **clean_environ(home), **asked},
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.split()


def _when_answered(complete: Callable[[], list[str]], offered: list[str]) -> list[str]:
    """A busy machine may need longer than the limit: asked again, some times, where something is to be offered."""
    tries = (complete() for _ in range(TRIES))
    return next((found for found in tries if not _is_silent(found) or not offered), [])


def _is_silent(found: list[str]) -> bool:
    return found in ([], ["_files"])  # zsh is told to offer files then


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("device show ", ["hall", "kitchen"]),
        ("device show k", ["kitchen"]),
        ("device show x", []),
        ("logs ki", ["kitchen"]),
        ("logs kitchen/", ["kitchen/blink"]),
        ("exec ", ["hall", "kitchen"]),
        ("exec kitchen ", []),
        ("exec -d hall ", []),
        ("app stop ", ["blink", "fan"]),
        ("app stop -d kitchen ", ["blink"]),
        ("-d hall app stop ", ["fan"]),
        ("app stop blink -d ", ["hall", "kitchen"]),
        ("app list --device k", ["kitchen"]),
        ("run x.c -l ", ["lights"]),
        ("device sh", ["show"]),
        ("app stop --json b", ["blink"]),
    ],
)
def test_names_are_offered_where_they_are_typed(home: Path, typed: str, offered: list[str]) -> None:
    assert _when_answered(lambda: _complete(home, typed), offered) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_each_shell_is_offered_plain_names_alone(home: Path, shell: str) -> None:
    offered = _when_answered(lambda: _complete(home, "device show ", shell=shell), ["names"])
    assert any("kitchen" in word for word in offered)
    assert "touch" not in " ".join(offered)  # zsh evaluates what it is offered


def test_another_host_is_not_asked(home: Path) -> None:
    assert _complete(home, "device show ", host="https://127.0.0.1:1") == []


def test_without_a_host_nothing_is_offered_and_no_home_is_made(tmp_path: Path) -> None:
    assert _complete(tmp_path / "home", "device show ") == []
    assert not (tmp_path / "home").exists()


def test_a_host_that_does_not_answer_offers_nothing() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{folder}/control.sock")
        silent.listen()  # it takes the connection and says nothing
        assert _complete(Path(folder), "device show ") == []
