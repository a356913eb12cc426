"""The security logs of a cluster's hosts, over a real NATS server: read at every host, nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from nats.js.errors import NotFoundError
from tests.cluster.nats_servers import NatsServer
from tests.cluster.test_roles import host_with

from microclaw.audit import AuditEvent, AuditKind, append_events
from microclaw.audit.shared import lines_after, shared_as
from microclaw.cli.audit_cluster import AuditOfHosts, HostEvent
from microclaw.cli.main import main
from microclaw.cluster import audit_stream
from microclaw.cluster.audit_stream import AuditSender
from microclaw.cluster.connection import Cluster, connected
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.config.load import load_settings

Home = Callable[[str], Path]
Audit = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def home(nats_server: NatsServer, cluster_name: str, tmp_path: Path) -> Home:
    """Of the host of that name."""

    def made(host: str) -> Path:
        folder = tmp_path / host
        folder.mkdir(mode=0o700)
        lines = ["[cluster]", f'nats = "{nats_server.url}"', f'name = "{cluster_name}"', f'host = "{host}"']
        (folder / "config.toml").write_text("\n".join(lines) + "\n")
        return folder

    return made


@pytest.fixture
def audit(capsys: pytest.CaptureFixture[str]) -> Audit:
    """`microclaw audit` with the home: its events."""

    def events(home: Path, *words: str) -> list[dict[str, Any]]:
        assert main(["--home", str(home), "--json", "audit", *words]) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["events"]
        return found

    return events


@pytest.fixture
def settings(nats_server: NatsServer, cluster_name: str) -> ClusterSettings:
    return ClusterSettings(nats=nats_server.url, name=cluster_name, replicas=1)


def note(home: Path, *texts: str) -> None:
    for text in texts:
        append_events(home, [AuditEvent(AuditKind.ROLE_CHANGED, text, about="Ada")])


def send(settings: ClusterSettings, *homes: Path) -> None:
    """As hosts do that start, once."""

    async def sent() -> None:
        for home in homes:
            async with connected(settings, name=home.name) as cluster:
                await AuditSender(cluster, home, home.name).send()

    asyncio.run(sent())


def texts(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["host"], one["text"]) for one in events]


def test_every_host_reads_all_also_those_of_a_host_that_is_lost(
    home: Home, audit: Audit, settings: ClusterSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    east, west = home("east"), home("west")
    note(east, "one")
    note(west, "two")
    note(east, "three")
    append_events(west, [AuditEvent(AuditKind.TOKEN_WRONG, "opens nothing", address="192.0.2.9")])
    send(settings, east, west)
    everything = [("east", "one"), ("west", "two"), ("east", "three"), ("west", "opens nothing")]
    for place in (east, west):
        assert texts(audit(place)) == everything
    assert texts(audit(east, "--from", "west", "--kind", "role")) == [("west", "two")]
    assert texts(audit(east, "--from", "west-8824", "--kind", "role")) == [("west", "two")]
    assert main(["--home", str(east), "audit", "--from", "zz"]) != 0
    assert re.search(r"no host 'zz' .*these have: east, west", capsys.readouterr().err)
    assert texts(audit(east, "--tail", "2")) == everything[-2:]
    shutil.rmtree(west)
    assert texts(audit(east)) == everything
    assert main(["--home", str(east), "audit", "verify"]) == 0
    assert "west, in NATS: acts      whole: 1 line" in capsys.readouterr().out
    assert main(["--home", str(east), "audit"]) == 0
    assert re.search(r"west  token\.wrong +opens nothing, from 192\.0\.2\.9\n$", capsys.readouterr().out)


def test_what_was_written_while_nats_was_away_follows_once_in_messages_of_bounded_size(
    home: Home, audit: Audit, settings: ClusterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    east, west = home("east"), home("west")
    monkeypatch.setattr(audit_stream, "MAX_MESSAGE", 400)
    said = [f"number {number}" for number in range(12)]
    note(east, *said[:3])
    send(settings, east)
    note(east, *said[3:])
    send(settings, east, east)
    assert texts(audit(west)) == [("east", text) for text in said]
    assert main(["--home", str(west), "audit", "verify"]) == 0


def test_a_stream_that_was_deleted_is_filled_again_from_the_files(
    home: Home, audit: Audit, settings: ClusterSettings
) -> None:
    east, west = home("east"), home("west")
    note(east, "one", "two")

    async def lost() -> None:
        async with connected(settings, name="east") as cluster:
            sender = AuditSender(cluster, east, "east")
            await sender.send()
            await cluster.jetstream.delete_stream(cluster.stream("AUDIT"))
            note(east, "three")
            async with sender.serving(), asyncio.timeout(60):
                while not await is_there(cluster):  # noqa: ASYNC110  the sender sets no event here
                    await asyncio.sleep(0.05)

    asyncio.run(lost())
    assert texts(audit(west)) == [("east", "one"), ("east", "two"), ("east", "three")]


async def is_there(cluster: Cluster) -> bool:
    try:
        info = await cluster.jetstream.stream_info(cluster.stream("AUDIT"))
    except NotFoundError:
        return False
    return info.state.messages > 0


def test_a_log_that_was_written_anew_is_told_by_what_the_others_have(
    home: Home, audit: Audit, settings: ClusterSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    east = home("east")
    note(east, "what is to be hidden")
    send(settings, east)
    before = shared_as(east)
    shutil.rmtree(east / "audit")
    (east / "audit.begun").unlink()
    note(east, "nothing happened")
    assert main(["--home", str(east), "audit", "verify"]) == 1
    assert "NOT FOUND acts:1:" in capsys.readouterr().out
    send(settings, east)  # another log from now on: the old one stays
    assert shared_as(east) != before
    assert texts(audit(east)) == [("east", "what is to be hidden"), ("east", "nothing happened")]


def test_a_line_that_another_wrote_in_a_hosts_name_breaks_its_chain(
    home: Home, settings: ClusterSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    east, west = home("east"), home("west")
    note(west, "one", "two")
    send(settings, west)
    known = shared_as(west)
    assert known is not None
    (_, line), *_ = lines_after(west, "acts", 1, most_bytes=1)

    async def forge() -> None:
        async with connected(settings, name="forger") as cluster:
            subject = f"{cluster.prefix}.audit.west.{known.log}.acts"
            await cluster.jetstream.publish(subject, line.replace(b'"n":2', b'"n":3') + b"\n")

    asyncio.run(forge())
    assert main(["--home", str(east), "audit", "verify"]) == 1
    assert "west, in NATS: acts      BROKEN" in capsys.readouterr().out


def test_without_nats_the_own_lines_are_read_and_it_is_said(
    tmp_path: Path, home: Home, settings: ClusterSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    east = home("east")
    note(east, "one")
    send(settings, east)
    (east / "config.toml").write_text("")
    assert main(["--home", str(east), "audit"]) == 0
    shown = capsys.readouterr()
    assert "role.changed" in shown.out
    assert f"this home is of the cluster {settings.name}" in shown.err
    (east / "config.toml").write_text('[cluster]\nnats = "nats://127.0.0.1:1"\n')
    assert main(["--home", str(east), "audit"]) == 0
    shown = capsys.readouterr()
    assert "role.changed" in shown.out
    assert "these are this host's own lines alone" in shown.err


class _EnoughError(Exception):
    pass


def test_follow_shows_what_was_there_and_what_comes_of_every_host(home: Home, settings: ClusterSettings) -> None:
    east, west = home("east"), home("west")
    note(west, "before")
    send(settings, west)
    seen: list[tuple[str, str]] = []
    with ThreadPoolExecutor(1) as other:

        def write() -> None:
            note(east, "here")
            note(west, "there")
            send(settings, west)

        def show(events: list[HostEvent]) -> None:
            if not seen:
                other.submit(write)
            seen.extend((one.host, one.found.event.text) for one in events)
            if len(seen) == 3:
                raise _EnoughError

        with pytest.raises(_EnoughError):
            AuditOfHosts(load_settings({}, home=east), lambda _: True, 100).follow(show)
    assert seen[0] == ("west", "before")
    assert sorted(seen[1:]) == [("east", "here"), ("west", "there")]


async def test_what_a_host_writes_down_is_read_at_another_also_after_its_end(
    nats_server: NatsServer, cluster_name: str, home: Home, audit: Audit, tmp_path: Path
) -> None:
    east = home("east")

    def seen() -> set[tuple[str, str]]:
        return {(one["host"], one["kind"]) for one in audit(east)}

    async with host_with(nats_server.url, cluster_name, tmp_path / "west", "agent,api") as west:
        await west.ask("/v1/signin/links", {"person": "owner"})
        async with asyncio.timeout(60):
            while ("west", "signin.link") not in await asyncio.to_thread(seen):  # noqa: ASYNC110  it sets no event here
                await asyncio.sleep(0.05)
        await west.ask("/v1/people", {"name": "Ada", "role": "guest"})
    assert ("west", "role.changed") in await asyncio.to_thread(seen)
