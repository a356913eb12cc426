"""Models through an HTTP CONNECT proxy: a real tunnel, TLS from end to end, and what a proxy can do wrong."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.egress import proxying
from tests.models.asking import SECRET, closing, request
from tests.models.event_streams import Events, anthropic_stream, openai_stream
from tests.models.model_server import server

from microclaw.config.settings import ModelChoice, ModelSettings
from microclaw.errors import ModelError
from microclaw.models.protocol import Model
from microclaw.models.router import choose_model
from microclaw.offline.model import OfflineModel

HOST = "model.example"
CHOICES = [
    ModelChoice("anthropic", None, SECRET, f"https://{HOST}"),
    ModelChoice("openai", "test-model", SECRET, f"https://{HOST}/v1"),
]
STREAMS = [anthropic_stream("o", "n"), openai_stream("o", "n")]


def through(proxy: proxying.Server, choice: ModelChoice) -> Model:
    settings = ModelSettings(choice, offline_first=False)
    return choose_model(settings, OfflineModel(), proxy=f"http://127.0.0.1:{proxy.port}")


@pytest.mark.parametrize(("choice", "events"), list(zip(CHOICES, STREAMS, strict=True)))
async def test_a_model_answers_through_the_proxy_and_the_proxy_reads_nothing(
    choice: ModelChoice, events: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = proxying.server_tls(tmp_path, HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    pieces: list[str] = []
    async with (
        server((200, Events(events)), tls=tls) as state,
        proxying.connect_proxy(urlsplit(state.url).port) as way,
        closing(through(way, choice)) as model,
    ):
        assert (await model.respond(request(), pieces.append)).text == "on"
    assert pieces == ["o", "n"]
    assert way.targets == [f"{HOST}:443"]
    assert SECRET in str(state.headers[0])
    passed = b"".join(way.passed)
    assert passed
    assert SECRET.encode() not in passed
    assert b"you are microclaw" not in passed


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway"])
@pytest.mark.parametrize("choice", CHOICES)
async def test_a_proxy_that_refuses_is_an_error_that_names_it(choice: ModelChoice, status: str) -> None:
    async with proxying.server(f"HTTP/1.1 {status}\r\n\r\n".encode()) as way, closing(through(way, choice)) as model:
        with pytest.raises(ModelError) as caught:
            await model.respond(request(), lambda _: None)
    assert caught.value.fault == "unreachable"


async def test_a_model_on_this_machine_is_asked_directly() -> None:
    async with (
        server((200, Events(openai_stream("on")))) as s,
        proxying.connect_proxy(1) as way,
        closing(through(way, ModelChoice("openai", "m", base_url=f"{s.url}/v1"))) as model,
    ):
        assert (await model.respond(request(), lambda _: None)).text == "on"
    assert way.targets == []
