"""Models on this machine, and one fetched from a hub of the test: whole, damaged, absent."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from microclaw.errors import ConfigError, VoiceError
from microclaw.voice.engines.whisper_models import FILES, fetch_model, model_folder, models_folder

CONTENT = {"config.json": b"{}", "model.bin": bytes(range(256)) * 5000, "tokenizer.json": b"[]", "vocabulary.txt": b"a"}


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def listed(content: dict[str, bytes]) -> dict[str, Any]:
    """The hub's list: large files with a SHA-256, small ones with git's checksum; one that is not wanted."""
    files: list[dict[str, Any]] = [{"rfilename": "../../README.md", "size": 1 << 40, "blobId": "0"}]
    for name, data in content.items():
        entry = {"rfilename": name, "size": len(data), "blobId": git_sha1(data)}
        if name == "model.bin":
            entry["lfs"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        files.append(entry)
    return {"siblings": files}


class Hub:
    """An HTTP server with one model; `send` is what it gives, `list` what it says of it."""

    def __init__(self) -> None:
        self.send, self.list = dict(CONTENT), json.dumps(listed(CONTENT)).encode()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/api/models/Systran/faster-whisper-tiny.en?blobs=true":
                    data: bytes | None = hub.list
                else:
                    data = hub.send.get(self.path.removeprefix("/Systran/faster-whisper-tiny.en/resolve/main/"))
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    one = Hub()
    yield one
    one.close()


def test_a_model_is_fetched_whole(hub: Hub, tmp_path: Path) -> None:
    folder = fetch_model("tiny.en", tmp_path, hub=hub.address)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == CONTENT
    assert model_folder("tiny.en", tmp_path) == folder
    assert [one.name for one in models_folder(tmp_path).iterdir()] == ["tiny.en"]


def change(name: str, data: bytes | None) -> Callable[[Hub], None]:
    def harm(hub: Hub) -> None:
        hub.send.pop(name) if data is None else hub.send.update({name: data})

    return harm


def say_of(text: bytes) -> Callable[[Hub], None]:
    def harm(hub: Hub) -> None:
        hub.list = text

    return harm


def huge() -> bytes:
    files = listed(CONTENT)
    files["siblings"][2]["lfs"]["size"] = files["siblings"][2]["size"] = 1 << 40
    return json.dumps(files).encode()


@pytest.mark.parametrize(
    "harm",
    [
        change("model.bin", CONTENT["model.bin"][:-1] + b"x"),
        change("model.bin", CONTENT["model.bin"] + b"more"),
        change("config.json", b"{ "),
        change("tokenizer.json", b"["),
        change("tokenizer.json", None),
        say_of(json.dumps(listed({"config.json": b"{}"})).encode()),
        say_of(huge()),
        say_of(b'{"siblings": [{"rfilename": "model.bin"}]}'),
        say_of(b"<html>"),
        say_of(bytes(2 << 20)),
    ],
)
def test_what_is_not_whole_is_refused_and_leaves_the_model_that_was_there(
    hub: Hub, tmp_path: Path, harm: Callable[[Hub], None]
) -> None:
    before = fetch_model("tiny.en", tmp_path, hub=hub.address)
    harm(hub)
    with pytest.raises((ConfigError, VoiceError)):
        fetch_model("tiny.en", tmp_path, hub=hub.address)
    assert (before / "model.bin").read_bytes() == CONTENT["model.bin"]
    assert [one.name for one in models_folder(tmp_path).iterdir()] == ["tiny.en"]


def test_a_hub_that_cannot_be_reached_says_what_to_do_instead(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConfigError):
            fetch_model("tiny.en", tmp_path, hub=address)
    assert list(models_folder(tmp_path).iterdir()) == []


def test_a_model_is_a_name_or_a_whole_path(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes(b"")
    assert model_folder(str(tmp_path), tmp_path) == tmp_path
    (tmp_path / "model.bin").unlink()
    with pytest.raises(VoiceError):
        model_folder(str(tmp_path), tmp_path)
