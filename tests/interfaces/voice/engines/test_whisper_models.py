"""Models on this machine, and one fetched from a hub of the test: whole, damaged, absent."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from microclaw.errors import ConfigError, VoiceError
from microclaw.interfaces.voice.engines.whisper_models import fetch_model, model_folder, models_folder

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
    return {"siblings": files, "cardData": {"license": "mit"}}


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
    said: list[str] = []
    folder = asyncio.run(fetch_model("tiny.en", tmp_path, said.append, hub=hub.address))
    assert said[0].startswith("tiny.en: 1 MB from 127.0.0.1:")
    assert said[0].endswith(", licence mit")
    assert [line.split()[0] for line in said[1:]] == sorted((line.split()[0] for line in said[1:]), key=int)
    assert said[-1] == "100 %"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == CONTENT
    assert model_folder("tiny.en", tmp_path) == folder
    assert [one.name for one in models_folder(tmp_path).iterdir()] == ["tiny.en"]


def test_what_is_not_whole_is_refused_and_leaves_the_model_that_was_there(hub: Hub, tmp_path: Path) -> None:
    before = asyncio.run(fetch_model("tiny.en", tmp_path, print, hub=hub.address))
    huge = listed(CONTENT)
    huge["siblings"][2]["lfs"]["size"] = huge["siblings"][2]["size"] = 1 << 40
    model = CONTENT["model.bin"]
    sent: list[dict[str, bytes]] = [{"model.bin": model[:-1] + b"x"}, {"model.bin": model + b"more"}]
    sent += [{"config.json": b"{ "}, {"tokenizer.json": b"["}]
    said = [
        json.dumps(listed({"config.json": b"{}"})).encode(), json.dumps(huge).encode(), b"<html>", bytes(2 << 20),
        b'{"siblings": [{"rfilename": "model.bin"}]}',
    ]  # fmt: skip
    faults = [(CONTENT | more, hub.list) for more in sent] + [(CONTENT, text) for text in said]
    gone = {name: data for name, data in CONTENT.items() if name != "tokenizer.json"}
    for files, told in [*faults, (gone, hub.list)]:
        hub.send = files
        hub.list = told
        with pytest.raises((ConfigError, VoiceError)):
            asyncio.run(fetch_model("tiny.en", tmp_path, print, hub=hub.address))
        assert (before / "model.bin").read_bytes() == model
        assert [one.name for one in models_folder(tmp_path).iterdir()] == ["tiny.en"]
    hub.close()
    with pytest.raises(ConfigError):  # it cannot be reached
        asyncio.run(fetch_model("base.en", tmp_path, print, hub=hub.address))
