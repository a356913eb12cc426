"""An https request of a Python program on the whole way: `microclaw run`, a board on the link, the host, a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.host.egress.proxying import HOST, Names, Server, loopback_is_public, page, server_tls, site
from tests.stories.conftest import Ran, microclaw, running_board, until

from microclaw.app import running_host
from microclaw.host.config.load import load_settings
from microclaw.host.config.settings import LinkSettings
from microclaw.host.egress.destinations import Egress
from microclaw.host.egress.proxy import DEFAULT_TLS

WEATHER = """from microclaw import fetch, sleep
while True:
    try:
        status, headers, body = fetch("GET", "https://{place}/x")
        print("got", status, headers["content-type"], body.decode())
    except OSError as exc:
        print("failed", exc.args[-1])
    sleep(1)
"""


@pytest.fixture
async def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """A server whose authority is in the system's list, as far as this host reads it."""
    async with site(lambda _: page('{"t": 21}', "application/json"), server_tls(tmp_path)) as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        DEFAULT_TLS.cache_clear()
        yield running
        DEFAULT_TLS.cache_clear()


async def test_the_host_asks_the_server_for_a_program_that_it_installed(web: Server, tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = replace(load_settings({}, home=home, http_port=None), link=LinkSettings(port=0))
    egress = Egress(resolve=Names(), is_public=loopback_is_public, own=tuple)
    source = tmp_path / "weather.py"
    place = f"{HOST}:{web.port}"
    source.write_text(WEATHER.format(place=place))

    def ask(*words: str) -> Ran:
        return microclaw(home, *words)

    def whole_way() -> None:
        with running_board(home, "--join", "--name", "desk", "--wasmachine", "0", "--serial", "none"):
            until(lambda: "desk" in ask("device", "list").out)
            installed = ask("run", str(source), "-d", "desk", "--yes")
            assert installed.code == 0, installed.out + installed.err
            until(lambda: 'got 200 application/json {"t": 21}' in ask("logs", "desk").out)

    async with running_host(settings, parts=(egress,)):
        await asyncio.to_thread(whole_way)
        log = await asyncio.to_thread(ask, "person", "log", "--kind", "egress")
    assert f"GET {place}" in log.out
    assert "weather on desk" in log.out
    assert set(web.targets) == {"/x"}
