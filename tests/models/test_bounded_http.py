"""The models' HTTP client: what it reads, and which way it goes."""

from __future__ import annotations

import gzip

import httpx2
import pytest
from tests.models.model_server import server

from microclaw.addresses import is_local
from microclaw.models.bounded_http import AnswerTooLarge, bounded_client, too_large_in

LIMIT_BYTES = 1000


async def test_a_body_up_to_the_limit_is_read() -> None:
    async with server((200, b"x" * LIMIT_BYTES)) as s, bounded_client(LIMIT_BYTES) as client:
        assert len((await client.post(s.url, json={})).content) == LIMIT_BYTES


@pytest.mark.parametrize("status", [200, 500])
async def test_a_body_over_the_limit_is_not_read_to_its_end(status: int) -> None:
    async with server((status, b"x" * (LIMIT_BYTES + 1))) as s, bounded_client(LIMIT_BYTES) as client:
        with pytest.raises(AnswerTooLarge):
            await client.post(s.url, json={})


async def test_a_compressed_body_is_refused() -> None:
    head = "content-encoding: gzip"
    async with server((200, gzip.compress(b"x")), head=head) as s, bounded_client() as client:
        with pytest.raises(AnswerTooLarge):
            await client.post(s.url, json={})
    assert s.headers[0]["accept-encoding"] == "identity"


async def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server((200, b"from the proxy")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        async with bounded_client() as client:
            assert (await client.post("http://model.example/v1", json={})).text == "from the proxy"
    assert proxy.paths == ["http://model.example/v1"]


def test_the_limits_error_is_found_below_others() -> None:
    below = AnswerTooLarge("big", request=httpx2.Request("GET", "http://x"))
    above = RuntimeError("failed")
    above.__cause__ = below
    assert too_large_in(above) is below
    assert too_large_in(RuntimeError("other")) is None


@pytest.mark.parametrize(
    ("url", "local"),
    [
        *((f"http://{host}", True) for host in ("localhost:11434/v1", "127.0.0.2/v1", "[::1]:80/v1", "10.1.2.3")),
        *((f"http://{host}", True) for host in ("192.168.1.7:11434/v1", "nas:8080/v1", "nas.local/v1")),
        *((f"https://{host}", False) for host in ("api.openai.com/v1", "8.8.8.8/v1", "127.0.0.1.example.org")),
        (None, False),
        ("", False),
    ],
)
def test_only_what_a_proxy_outside_cannot_reach_is_asked_directly(url: str | None, local: bool) -> None:
    assert is_local(url) is local
