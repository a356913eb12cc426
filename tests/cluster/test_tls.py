"""TLS to NATS with real certificates: what is wrong is said, and nothing goes to a server in clear text instead."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from tests.cluster.hosts_of_tests import TIMES, facts_of, until
from tests.cluster.nats_certificates import Authority, tls_block
from tests.cluster.nats_servers import NatsServer, one_server

from microclaw.cluster.connection import Cluster, connected
from microclaw.cluster.duties import Duties
from microclaw.cluster.hosts import Hosts
from microclaw.cluster.shared_store import shared_store
from microclaw.cluster.status import ClusterView
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.errors import ConfigError

SECRET: Final = "the-word-of-tests"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def trusted(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.pem)
    context.check_hostname = False
    return context


@pytest.fixture(scope="module")
def server(
    authority: Authority, trusted: ssl.SSLContext, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NatsServer]:
    block = tls_block(authority.certificate("server", "127.0.0.1", "localhost"))
    with one_server(tmp_path_factory.mktemp("nats"), extra=block, tls=trusted) as server:
        yield server


@pytest.fixture
def settings(server: NatsServer, authority: Authority, cluster_name: str) -> Callable[..., ClusterSettings]:
    def made(**more: Any) -> ClusterSettings:
        return ClusterSettings(**{"nats": server.url, "name": cluster_name, "ca_file": str(authority.pem), **more})

    return made


async def refused(settings: ClusterSettings) -> ConfigError:
    with pytest.raises(ConfigError) as found:
        async with connected(settings, name="h"):
            pass
    return found.value


@asynccontextmanager
async def viewing(cluster: Cluster, folder: Path) -> AsyncIterator[ClusterView]:
    async with (
        shared_store(cluster, folder / "cluster.db", host="a-0001") as (replica, log),
        Hosts.joined(cluster, facts_of("a-0001"), host_id="a-0001", times=TIMES) as hosts,
        Duties.opened(cluster, hosts) as duties,
    ):
        yield ClusterView(cluster, hosts, duties, replica, log)


async def test_a_host_works_over_tls(settings: Callable[..., ClusterSettings], tmp_path: Path) -> None:
    async with connected(settings(), name="h") as cluster, viewing(cluster, tmp_path) as view:
        assert (await view.status())["problems"] == []
        assert is_tls(cluster)


async def test_what_is_wrong_with_a_certificate_is_said(
    settings: Callable[..., ClusterSettings], tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    found = await refused(settings(ca_file=str(other.pem)))
    assert "cluster.ca_file" in (found.next_step or "")
    found = await refused(settings(ca_file=None))  # the system's


async def test_tls_on_one_side_alone_is_refused(
    settings: Callable[..., ClusterSettings], server: NatsServer, authority: Authority, tmp_path: Path
) -> None:
    found = await refused(settings(nats=server.url.replace("tls://", "nats://"), ca_file=None))
    assert "tls://" in (found.next_step or "")
    found = await refused(settings(nats=server.url.replace("tls://", "nats://")))
    async with clear_text_server() as (url, heard):
        found = await refused(settings(nats=url, user="u", password_file=secret_file(tmp_path)))
        assert heard == b""


async def test_a_connection_that_comes_back_stays_with_tls(
    authority: Authority, trusted: ssl.SSLContext, cluster_name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server is gone, and another without TLS takes its port; the one after it has an expired certificate."""
    good = tls_block(authority.certificate("back", "127.0.0.1"))
    with one_server(tmp_path / "nats", extra=good, tls=trusted) as server:
        settings = ClusterSettings(
            nats=server.url,
            name=cluster_name,
            ca_file=str(authority.pem),
            user="u",
            password_file=secret_file(tmp_path),
        )
        async with connected(settings, name="h") as cluster, viewing(cluster, tmp_path) as view:
            server.kill()
            async with clear_text_server(server.port) as (_, heard):
                await until(lambda: "it offers no TLS" in caplog.text, "the other server is not seen")
                problem = (await view.status())["problems"][0]
                assert "certificate" in problem["next"]
                assert heard == b""
            server.extra = tls_block(authority.certificate("late", "127.0.0.1", past=True))
            server.tls = careless()
            server.start()
            await until(lambda: "expired" in caplog.text, "the expired certificate is not seen")
            server.kill()
            server.extra, server.tls = good, trusted
            server.start()
            await until(lambda: cluster.connected and not view.hosts.lost, "the host is not back")
            assert is_tls(cluster)
            assert (await view.status())["connected"] is True
    assert SECRET not in caplog.text


async def test_a_server_that_wants_certificates_gets_the_hosts(
    authority: Authority, cluster_name: str, tmp_path: Path
) -> None:
    certificate, key = authority.certificate("host")
    own = ssl.create_default_context(cafile=authority.pem)
    own.load_cert_chain(certificate, key)
    block = tls_block(authority.certificate("strict", "127.0.0.1"), clients_of=authority)
    with one_server(tmp_path / "nats", extra=block, tls=own) as server:
        settings = ClusterSettings(nats=server.url, name=cluster_name, ca_file=str(authority.pem))
        found = await refused(settings)
        assert "cluster.cert_file" in (found.next_step or ""), found.message
        both = ClusterSettings(
            nats=server.url,
            name=cluster_name,
            ca_file=str(authority.pem),
            cert_file=str(certificate),
            key_file=str(key),
        )
        async with connected(both, name="h") as cluster:
            assert is_tls(cluster)


def is_tls(cluster: Cluster) -> bool:
    """Whether what goes over the wire is TLS: asked of the connection itself."""
    writer = cluster.client._transport._io_writer  # type: ignore[union-attr]
    return writer.get_extra_info("ssl_object") is not None


def careless() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def secret_file(folder: Path) -> str:
    path = folder / "password"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return str(path)


@asynccontextmanager
async def clear_text_server(port: int = 0) -> AsyncIterator[tuple[str, bytearray]]:
    """It greets as a NATS server without TLS, and keeps what it hears."""
    heard = bytearray()
    info = b'INFO {"server_id":"X","version":"2.9.10","headers":true,"auth_required":true,"max_payload":1048576}\r\n'

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(info)
            while data := await reader.read(4096):
                heard.extend(data)
                if b"PING" in data:
                    writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", port)
    async with server:
        yield f"tls://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard
