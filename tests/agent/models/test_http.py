"""The models' HTTP client: what it reads, and which way it goes: directly, or through a CONNECT proxy that reads
nothing.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.agent.models.asking import SECRET, closing, request
from tests.agent.models.event_streams import Events, anthropic_stream, openai_stream
from tests.agent.models.model_server import server
from tests.host.egress import proxying

from microclaw.addresses import is_local
from microclaw.agent.models.bounded_http import AnswerTooLarge, bounded_client
from microclaw.agent.models.protocol import Model
from microclaw.agent.models.router import choose_model
from microclaw.agent.offline.model import OfflineModel
from microclaw.host.config.settings import ModelChoice, ModelSettings

LIMIT_BYTES = 1000
HOST = "model.example"
CHOICES = [
    ModelChoice("anthropic", None, SECRET, f"https://{HOST}"),
    ModelChoice("openai", "test-model", SECRET, f"https://{HOST}/v1"),
]
STREAMS = [anthropic_stream("o", "n"), openai_stream("o", "n")]


@pytest.mark.parametrize(
    ("status", "body", "head", "is_read"),
    [
        (200, b"x" * LIMIT_BYTES, "connection: close", True),
        (200, b"x" * (LIMIT_BYTES + 1), "connection: close", False),
        (500, b"x" * (LIMIT_BYTES + 1), "connection: close", False),
        (200, gzip.compress(b"x", mtime=0), "content-encoding: gzip", False),  # it could hide a huge one
    ],
)
async def test_a_body_is_read_up_to_the_limit_and_uncompressed(
    status: int, body: bytes, head: str, is_read: bool
) -> None:
    async with server((status, body), head=head) as s, bounded_client(LIMIT_BYTES) as client:
        if is_read:
            assert (await client.post(s.url, json={})).content == body
        else:
            with pytest.raises(AnswerTooLarge):
                await client.post(s.url, json={})
    assert s.headers[0]["accept-encoding"] == "identity"


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


@pytest.mark.parametrize(
    ("url", "local"),
    [
        *((f"http://{host}", True) for host in ("localhost:11434/v1", "127.0.0.2/v1", "[::1]:80/v1", "10.1.2.3")),
        *((f"https://{host}", False) for host in ("api.openai.com/v1", "8.8.8.8/v1", "127.0.0.1.example.org")),
        (None, False),
        ("", False),
    ],
)
def test_only_what_a_proxy_outside_cannot_reach_is_asked_directly(url: str | None, local: bool) -> None:
    assert is_local(url) is local
