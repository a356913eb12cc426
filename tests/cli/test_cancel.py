"""Ctrl-C while a model thinks: the turn ends, the host goes on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from microclaw.cli.child import Child
from microclaw.operations.client import Client


class SilentModel:
    """A model server that takes every request and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []
        self.asked = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()
        for connection in self._held:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._held.append(connection)
            if connection.recv(65536):
                self.asked.set()


@pytest.fixture
def model() -> Iterator[SilentModel]:
    server = SilentModel()
    yield server
    server.close()


def test_ctrl_c_cancels_the_turn_and_not_the_host(model: SilentModel, tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
    environ = {
        **kept,
        "MICROCLAW_HOME": str(tmp_path / "home"),
        "OPENAI_BASE_URL": model.url,
        "MICROCLAW_MODEL": "mute",
    }
    words = ["microclaw.cli", "--json", "up", "--port", "0", "--die-with-parent"]
    with Child("host", words, log=tmp_path / "stderr", environ=environ) as child:
        facts, _ = child.wait_ready()
        assert "mute" in facts["model"]
        command = [sys.executable, "-m", "microclaw.cli", "chat", "write me a program", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as chat:
            assert model.asked.wait(30)
            chat.send_signal(signal.SIGINT)
            out, err = chat.communicate(timeout=60)
        assert chat.returncode == 130, err
        assert json.loads(out)["error"] == "cancelled"
        assert Client(Path(facts["control"])).get("/healthz")["ok"] is True
