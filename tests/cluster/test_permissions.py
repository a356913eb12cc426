"""The rights that docs/cluster.md gives a NATS user: enough for all that hosts do, and nothing of another cluster."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.cluster.hosts_of_tests import TIMES, facts_of, until
from tests.cluster.nats_servers import NatsServer, one_server

from microclaw.cluster.connection import Cluster, connected
from microclaw.cluster.duties import Duties
from microclaw.cluster.files import ClusterFiles
from microclaw.cluster.hosts import Hosts
from microclaw.cluster.shared_store import delete_cluster, shared_store, take_snapshot
from microclaw.cluster.status import ClusterView
from microclaw.config.cluster_settings import ClusterSettings

PAGE: Final = Path(__file__).parents[2] / "docs/cluster.md"
TESTS_ACCOUNT: Final = "accounts {\n  TESTS { jetstream: enabled, users: [{ user: tests, password: tests }] }"


def rules() -> str:
    """The account of the page, and the same for the cluster `other` in an account of its own."""
    (one,) = re.findall(r"```text\n(accounts \{.*?)```", PAGE.read_text(), re.S)
    inside = one.removeprefix("accounts {").rpartition("}")[0]
    other = inside.replace("microclaw", "other").replace("FLEET", "OTHER").replace("user: other", "user: other")
    return f"{TESTS_ACCOUNT}{inside}{other}}}"


@pytest.fixture(scope="module")
def ruled_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MICROCLAW_NATS_PASSWORD", "word-of-tests")
        login = {"user": "tests", "pass": "tests"}
        with one_server(tmp_path_factory.mktemp("ruled"), extra=rules(), login=login) as server:
            yield server


def settings_of(
    server: NatsServer, folder: Path, *, name: str = "microclaw", user: str = "microclaw"
) -> ClusterSettings:
    password = folder / "password"
    password.write_text("word-of-tests\n")
    password.chmod(0o600)
    return ClusterSettings(nats=server.url, name=name, user=user, password_file=str(password), replicas=1)


async def do_everything(cluster: Cluster, folder: Path, host_id: str) -> None:
    async with (
        shared_store(cluster, folder / f"{host_id}.db", host=host_id) as (replica, log),
        Hosts.joined(cluster, facts_of(host_id), host_id=host_id, times=TIMES) as hosts,
        Duties.opened(cluster, hosts) as duties,
    ):
        await replica.write(lambda store: store.execute("CREATE TABLE IF NOT EXISTS one (a)").close())

        async def work(_fence: int) -> None:
            await take_snapshot(cluster, folder / f"{host_id}.db", kept=0)

        await duties.hold("telegram", work)
        payload = folder / "payload"
        payload.write_bytes(host_id.encode() * 1000)
        sha256 = hashlib.sha256(payload.read_bytes()).hexdigest()
        files = ClusterFiles(cluster)
        await files.put(sha256, payload)
        await files.fetch(sha256, folder / "fetched")
        found = await ClusterView(cluster, hosts, duties, replica, log).status()
        assert found["problems"] == []
        assert len(found["streams"]) == 5
        beats = hosts.renewed_at
        await until(lambda: hosts.renewed_at > beats and not hosts.stale, "the lease is not renewed")


async def test_the_rights_of_the_page_are_enough(
    ruled_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for host_id in "a-0001", "b-0001":  # the second fetches what the first made
        async with connected(settings_of(ruled_server, tmp_path), name=host_id) as cluster:
            await do_everything(cluster, tmp_path, host_id)
    async with connected(settings_of(ruled_server, tmp_path), name="c") as cluster:
        await delete_cluster(cluster)
    assert "ermissions" not in caplog.text


async def test_clusters_in_accounts_of_their_own_see_nothing_of_each_other(
    ruled_server: NatsServer, tmp_path: Path
) -> None:
    (tmp_path / "o").mkdir()
    async with (
        connected(settings_of(ruled_server, tmp_path), name="a") as mine,
        connected(settings_of(ruled_server, tmp_path / "o", name="other", user="other"), name="b") as others,
    ):
        await do_everything(mine, tmp_path, "a-0001")
        info = await others.jetstream.account_info()
        assert info.streams == 0
