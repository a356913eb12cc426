"""What a host is refused for when it joins: a name that another has, and an authority that is not the fleet's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.cluster.hosts_of_tests import host_in
from tests.cluster.nats_servers import NatsServer
from tests.cluster.whole_hosts import copy_authority, host_in_cluster

from microclaw.app.joining import check_name
from microclaw.audit import AuditKind, read_events
from microclaw.auth.authority import AUTHORITY_FILE, BEGIN_ANEW_FILE
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
        with pytest.raises(ConfigError) as refused:
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
        async with host_in_cluster(url, cluster, home):
            found: BaseException = AssertionError("it started")
    except (StoreError, BaseExceptionGroup) as exc:
        found = exc
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    if not isinstance(found, StoreError):
        raise found
    return found


async def told_by_the_command_line(home: Path, cluster: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the host running, whose NATS server no setting of the home names."""
    assert await asyncio.to_thread(main, ["--home", str(home), "cluster", "snapshot"]) == 0
    assert await asyncio.to_thread(main, ["--home", str(home), "cluster", "status"]) == 0
    told = capsys.readouterr().out
    assert f"cluster {cluster}, seen by {home.name};" in told


async def test_no_host_ends_the_fleets_authority_by_accident(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, east, west, desk = nats_server.url, tmp_path / "east", tmp_path / "west", tmp_path / "desk"
    async with host_in_cluster(url, cluster_name, east):
        trusted = (east / "identity" / AUTHORITY_FILE).read_bytes()
        await refused(url, cluster_name, west)
        begin_anew = west / "identity" / BEGIN_ANEW_FILE
        for consent in ("", cluster_name):
            begin_anew.write_text(consent)
            error = await refused(url, cluster_name, west)
            assert "authority.pem" in (error.next_step or "")
            assert begin_anew.exists()

    begin_anew.write_text("\n")
    await refused(url, cluster_name, west)
    copy_authority(east, desk)
    begin_anew.write_text(f"{cluster_name}\n")
    async with host_in_cluster(url, cluster_name, west):
        assert (west / "identity" / AUTHORITY_FILE).read_bytes() != trusted
        assert not begin_anew.exists()
        await refused(url, cluster_name, east)
        await told_by_the_command_line(west, cluster_name, capsys)
        await refused(url, cluster_name, desk)
    assert await asyncio.to_thread(main, ["--home", str(west), "cluster", "status"]) == NoHost.exit_code
    lines = [found.event for found in read_events(west) if found.event.kind is AuditKind.CREDENTIAL_REVOKED]
    assert [BEGIN_ANEW_FILE in line.text for line in lines] == [True]
