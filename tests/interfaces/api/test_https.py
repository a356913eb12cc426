"""HTTPS for people: the host's own certificate, the names that it answers to, and cookies that never leave it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import nullcontext
from http.client import HTTPMessage, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from tests.interfaces.api.conftest import answer_of
from tests.interfaces.cli.conftest import run_here

from microclaw.app import running_host
from microclaw.errors import ConfigError
from microclaw.host.auth.certificates import lan_names
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import AsyncClient, Client
from microclaw.interfaces.api.access import OPEN_HERE
from microclaw.interfaces.api.host import HostInfo


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostInfo]:
    home = tmp_path_factory.mktemp("https") / "home"
    home.mkdir(mode=0o700)
    text = '[host]\nhttp_host = "0.0.0.0"\nhttp_tls = "own"\nhttp_names = ["claw.example"]\n'
    (home / "config.toml").write_text(text)
    async with running_host(load_settings({}, home=home, http_port=0)) as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


def port_of(host: HostInfo) -> int:
    assert host.plane is not None
    return int(host.plane.socket.getsockname()[1])


def trusting(host: HostInfo) -> ssl.SSLContext:
    made = run_here(host.settings.home, "person", "ca", "-")
    assert made.code == 0, made.err
    assert "PRIVATE" not in made.out
    return ssl.create_default_context(cadata=made.out)


async def ask(
    host: HostInfo, context: ssl.SSLContext, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, HTTPMessage]:
    connection = HTTPSConnection("127.0.0.1", port_of(host), timeout=60, context=context)
    answer = await asyncio.to_thread(answer_of, connection, method, path, body, headers)
    return answer.status, answer.headers


async def test_a_session_over_https_has_a_cookie_of_this_host_alone(host: HostInfo) -> None:
    context = await asyncio.to_thread(trusting, host)
    code = await host.admission.sign_ins.new_code()
    status, headers = await ask(host, context, "POST", "/v1/signin/code", {"code": code})
    assert status == 200
    name, *rest = headers["Set-Cookie"].split("; ")
    assert name.startswith(f"__Host-microclaw-{port_of(host)}=")
    assert set(rest) == {"Path=/", "Max-Age=2592000", "HttpOnly", "SameSite=Strict", "Secure"}
    assert headers["Strict-Transport-Security"] is None  # it would bind every port of this name
    assert (await ask(host, context, "GET", "/v1/me", Cookie=name))[0] == 200
    bare = name.removeprefix("__Host-")
    assert (await ask(host, context, "GET", "/v1/me", Cookie=bare))[0] == 401


async def test_it_answers_to_its_own_names_and_addresses_alone(host: HostInfo) -> None:
    context = await asyncio.to_thread(trusting, host)
    port = port_of(host)

    async def status(name: str, **headers: str) -> int:
        return (await ask(host, context, "GET", "/healthz", Host=f"{name}:{port}", **headers))[0]

    for name in (*lan_names().names[:2], "claw.example", "127.0.0.1", "192.0.2.99", "[2001:db8::1]"):
        assert await status(name) == 200
        assert await status(name, Origin=f"https://{name}:{port}") == 200
        assert await status(name, Origin=f"http://{name}:{port}") == 403
    for name in ("evil.example", "claw.example.evil.example", "xclaw.example", ""):
        assert await status(name) == 403


async def test_a_stranger_on_the_network_gets_the_pages_and_the_sign_in_alone(host: HostInfo) -> None:
    context = await asyncio.to_thread(trusting, host)
    for path in ("/", "/signin", "/healthz"):
        assert (await ask(host, context, "GET", path))[0] == 200
    body = {"name": "x.c", "source": "void on_init(void) {}"}
    for method, path in (("POST", "/api/compile-wasm"), *(("GET", path) for path in sorted(OPEN_HERE))):
        assert (await ask(host, context, method, path, body if method == "POST" else None))[0] == 401
    secret = await host.admission.tokens.create("screen", "owner", scope="read")
    for path in sorted(OPEN_HERE):
        assert (await ask(host, context, "GET", path, Authorization=f"Bearer {secret}"))[0] == 200


async def test_old_tls_and_plain_http_get_nothing(host: HostInfo) -> None:
    context = await asyncio.to_thread(trusting, host)
    assert host.plane is not None
    assert host.plane.tls is not None
    assert host.plane.tls.minimum_version is ssl.TLSVersion.TLSv1_2
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(host))
    async with asyncio.timeout(60):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP" not in await reader.read()
        writer.close()
    assert (await ask(host, context, "GET", "/healthz"))[0] == 200


async def test_clients_trust_the_exported_authority_and_no_other(host: HostInfo, tmp_path: Path) -> None:
    """From another home: refused without the authority's certificate, then by each way to give it."""
    secret = await host.admission.tokens.create("laptop", "owner")
    exported = tmp_path / "ca.pem"
    other = tmp_path / "elsewhere"
    other.mkdir(mode=0o700)

    def code(name: str = "127.0.0.1", **variables: str) -> int:
        place = f"https://{name}:{port_of(host)}"
        return run_here(other, "--host", place, "device", "list", environ={"MICROCLAW_TOKEN": secret, **variables}).code

    def check() -> None:
        assert code() == 1
        assert run_here(host.settings.home, "person", "ca", str(exported)).code == 0
        assert code(MICROCLAW_CA=str(exported)) == 0
        assert code("127.0.0.3", MICROCLAW_CA=str(exported)) == 1  # no name of its certificate
        (other / "host-ca.pem").write_bytes(exported.read_bytes())
        assert code() == 0
        (other / "host-ca.pem").write_text("nothing")
        assert code() == 1

    await asyncio.to_thread(check)
    address = f"https://127.0.0.1:{port_of(host)}"
    for kind in (Client, AsyncClient):  # and so do programs
        for ca_file, is_good in ((exported, True), (None, False)):
            client: Any = kind(address, token=secret, ca_file=ca_file, home=tmp_path)
            if kind is AsyncClient:
                call = client.get("/v1/me")
            else:
                call = asyncio.to_thread(client.get, "/v1/me")
            with nullcontext() if is_good else pytest.raises(ConfigError):
                assert (await call)["name"] == "owner"


async def test_each_address_that_it_says_is_among_the_names_of_its_certificate(tmp_path: Path) -> None:
    """127.0.0.2 can be bound and is no address of an interface."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text('[host]\nhttp_host = "127.0.0.2"\nhttp_tls = "own"\n')
    async with running_host(load_settings({}, home=home, http_port=0)) as running:
        context = await asyncio.to_thread(trusting, running)
        assert running.plane is not None
        assert running.plane.local_url == f"https://127.0.0.2:{port_of(running)}"
        for url in running.plane.urls:
            place = urlsplit(url)
            async with asyncio.timeout(60):
                _, writer = await asyncio.open_connection(place.hostname, place.port, ssl=context)
                writer.close()
