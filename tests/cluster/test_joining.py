"""What a host is refused for when it joins: a name that another has, and an authority that is not the fleet's."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.cluster.hosts_of_tests import host_in
from tests.cluster.nats_servers import NatsServer
from tests.cluster.test_roles import RoleHost, host_with

from microclaw.app.joining import check_name
from microclaw.audit import AuditKind, read_events
from microclaw.auth.authority import AUTHORITY_FILE, BEGIN_ANEW_FILE, authority_in
from microclaw.cli.main import main
from microclaw.errors import ConfigError, NoHost, StoreError


async def test_a_second_live_host_of_a_name_is_refused_and_the_first_is_not(
    nats_server: NatsServer, cluster_name: str
) -> None:
    url = nats_server.url
    async with (
        host_in(url, cluster_name, "c-0001", home="one") as (_, first),
        host_in(url, cluster_name, "c-0002", home="two") as (_, second),
    ):
        with pytest.raises(ConfigError, match="another host of the cluster is called c, and runs") as refused:
            await check_name(second, "c", "two")
        assert "cluster.host" in (refused.value.next_step or "")
        await check_name(first, "c", "one")
        await check_name(second, "d", "two")


async def test_a_host_that_was_killed_may_start_again_while_its_lease_is_there(
    nats_server: NatsServer, cluster_name: str
) -> None:
    url = nats_server.url
    async with host_in(url, cluster_name, "c-0001", home="one") as (cluster, _):
        async with host_in(url, cluster_name, "c-0002", home="one") as (_, again):
            await check_name(again, "c", "one")
        await cluster.client.close()  # no renewal comes from now on
        async with host_in(url, cluster_name, "c-0003", home="elsewhere") as (_, moved):
            await check_name(moved, "c", "elsewhere")


async def refused(url: str, cluster: str, home: Path) -> StoreError:
    """Why a host on this home does not start: alone, or out of the groups of tasks that it had begun."""
    try:
        async with host_with(url, cluster, home, "link,agent"):
            found: BaseException = AssertionError("it started")
    except (StoreError, BaseExceptionGroup) as exc:
        found = exc
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    if not isinstance(found, StoreError):
        raise found
    return found


async def problems(host: RoleHost) -> list[str]:
    found = await host.until("/v1/cluster", lambda answer: answer["cluster"]["hosts"])
    return [one["text"] for one in found["cluster"]["problems"]]


async def told_by_the_command_line(home: Path, cluster: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the host running, whose NATS server no setting of the home names."""
    assert await asyncio.to_thread(main, ["--home", str(home), "cluster", "snapshot"]) == 0
    assert "has the store up to entry" in capsys.readouterr().out
    assert await asyncio.to_thread(main, ["--home", str(home), "cluster", "status"]) == 0
    told = capsys.readouterr().out
    assert f"cluster {cluster}, seen by {home.name};" in told
    assert "this host's copy is at entry" in told


async def test_no_host_ends_the_fleets_authority_by_accident(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, east, west, desk = nats_server.url, tmp_path / "east", tmp_path / "west", tmp_path / "desk"
    async with host_with(url, cluster_name, east, "link,agent"):
        trusted = authority_in(east / "identity")
        assert "copy identity/authority.pem" in ((await refused(url, cluster_name, west)).next_step or "")
        begin_anew = west / "identity" / BEGIN_ANEW_FILE
        for consent in ("", cluster_name):
            begin_anew.write_text(consent)
            error = await refused(url, cluster_name, west)
            assert "other hosts run: east" in error.message
            assert "authority.pem" in (error.next_step or "")
            assert begin_anew.exists()

    begin_anew.write_text("\n")
    assert "would end the authority of all hosts" in (await refused(url, cluster_name, west)).message
    desk.mkdir(mode=0o700)
    (desk / "identity").mkdir(mode=0o700)
    shutil.copy(east / "identity" / AUTHORITY_FILE, desk / "identity")
    begin_anew.write_text(f"{cluster_name}\n")
    async with host_with(url, cluster_name, west, "link,agent") as host:
        assert authority_in(west / "identity") not in (None, trusted)
        assert not begin_anew.exists()
        assert "copy identity/authority.pem" in ((await refused(url, cluster_name, east)).next_step or "")
        assert not [text for text in await problems(host) if "authority" in text]
        await told_by_the_command_line(west, cluster_name, capsys)
        async with host_with(url, cluster_name, desk, "agent") as other:
            await other.until("/v1/cluster", lambda answer: answer["cluster"]["hosts"][0]["authority"])
            (named,) = [text for text in await problems(other) if "authority" in text]
            assert named.startswith("desk has another authority")
    assert await asyncio.to_thread(main, ["--home", str(west), "cluster", "status"]) == NoHost.exit_code
    assert "its copy of the cluster's store is at entry" in capsys.readouterr().out
    lines = [found.event for found in read_events(west) if found.event.kind is AuditKind.CREDENTIAL_REVOKED]
    assert [BEGIN_ANEW_FILE in line.text for line in lines] == [True]
