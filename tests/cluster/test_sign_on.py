"""Who a host is to NATS: passwords, tokens and keys from files, also when they change, and no secret is told."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from tests.cluster.hosts_of_tests import until
from tests.cluster.nats_servers import one_server

from microclaw.cli.main import main
from microclaw.cluster.connection import Cluster, connected
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.errors import ConfigError

SECRET: Final = "word-of-tests"


@asynccontextmanager
async def signed_on(settings: ClusterSettings) -> AsyncIterator[Cluster]:
    async with connected(settings, name="h") as cluster:
        assert await cluster.jetstream.account_info() is not None
        yield cluster


def file_with(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


async def refused(settings: ClusterSettings) -> ConfigError:
    with pytest.raises(ConfigError) as found:
        async with connected(settings, name="h"):
            pass
    assert SECRET not in f"{found.value.message} {found.value.next_step}"
    return found.value


async def test_a_password_that_changes_does_not_end_a_host(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server that reads its users anew ends the connections of those that are not the same."""
    caplog.set_level(logging.DEBUG)
    file = file_with(tmp_path, f"{SECRET}\n")
    users = "authorization {{ users: [{{ user: fleet, password: {} }}] }}"
    login = {"user": "fleet", "pass": SECRET}
    with one_server(tmp_path / "nats", extra=users.format(SECRET), login=login) as server:
        settings = ClusterSettings(nats=server.url, user="fleet", password_file=file)
        async with signed_on(settings) as cluster:
            server.extra = users.format("another-word")
            server.reload()
            await until(lambda: "check cluster.user" in caplog.text, "the host does not see that it is refused")
            file_with(tmp_path, "another-word")
            await until(lambda: cluster.connected, "the host is not back")
            assert await cluster.jetstream.account_info() is not None
        assert "cluster.password_file" in ((await refused(_with(settings, user="other"))).next_step or "")
    assert SECRET not in caplog.text
    assert "another-word" not in caplog.text


@pytest.mark.parametrize(
    "words",
    [
        ("up", "--nats", "nats://u:{}@h:4222"),
        ("up", "--nats", "nats://{}@h:4222"),
        ("migrate", "--to", "nats://u:{}@h"),
        ("migrate", "--back", "--nats", "tls://u:{}@h"),
        ("cluster", "snapshot", "--nats", "nats://u:{}@h"),
        ("config", "set", "cluster.nats", "nats://u:{}@h"),
    ],
)
def test_a_password_in_an_address_is_refused_and_not_shown(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "home"
    assert main(["--home", str(home), *(word.format(SECRET) for word in words)]) != 0
    told = capsys.readouterr()
    assert "cluster.password_file" in told.err
    assert SECRET not in told.out + told.err + caplog.text
    assert all(SECRET not in path.read_text(errors="replace") for path in home.rglob("*") if path.is_file())


def _with(settings: ClusterSettings, **more: Any) -> ClusterSettings:
    return replace(settings, **more)
