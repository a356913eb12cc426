"""A code that a device shows at one host is good at every host, once; hosts that join have the fleet's authority."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.hosts import WholeHost, copy_identity, whole_host
from tests.link_server.scripted import ScriptedDevice
from tests.store.two_hosts import until

from microclaw.auth.authority import AUTHORITY_FILE, BEGIN_ANEW_FILE, CONSENT
from microclaw.errors import StoreError
from microclaw.operations.connection import HostError
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import PairRequest


async def test_a_device_that_reached_one_host_is_paired_by_its_code_at_another_once(
    east: WholeHost, west: WholeHost, lamp: ScriptedDevice
) -> None:
    spot = ScriptedDevice(west.link, "")

    async def typed(code: str) -> None:
        await east.until("/v1/devices", lambda found: [one["board"] for one in found["pairings"]] == ["virtual"])
        with pytest.raises(HostError):
            await east.ask("/v1/devices/pair", {"code": code, "name": "lamp"})  # its code stays good
        typing = [(east, f"{code[:3]} {code[3:]}", "at-east"), (west, code, "at-west"), (east, code, "again")]
        pairing = [host.ask("/v1/devices/pair", {"code": words, "name": name}) for host, words, name in typing]
        outcomes: list[Any] = await asyncio.gather(*pairing, return_exceptions=True)
        (name,) = {"at-east", "at-west", "again"} & {one["name"] for one in outcomes if isinstance(one, dict)}
        errors = [one for one in outcomes if not isinstance(one, dict)]
        assert {type(one) for one in errors} == {HostError}
        for host in (east, west):
            await until(lambda host=host: {one.name for one in host.host.devices.list()} == {"lamp", name})  # type: ignore[misc]

    await spot.pair(typed)
    spot.address = east.link
    async with spot.connected():
        await spot.until_ready()
    await east.until("/v1/devices", lambda found: not found["pairings"])


async def test_while_the_database_is_away_a_device_gets_no_code_and_is_to_come_again(
    east: WholeHost, west: WholeHost
) -> None:
    spot = ScriptedDevice(west.link, "")
    west.wire.cut()
    async with spot.connected(PairRequest("virtual", token_wanted=True)):
        assert await spot.until_closed() == CloseCode.OVERLOADED
    await west.wire.mend()
    await spot.pair(lambda code: east.ask("/v1/devices/pair", {"code": code, "name": "spot"}))


async def refused(url: str, home: Path) -> StoreError:
    """Why a host on this home does not start: alone, or out of the groups of tasks that it had begun."""
    try:
        async with whole_host(url, home):
            found: BaseException = AssertionError("it started")
    except (StoreError, BaseExceptionGroup) as exc:
        found = exc
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    if not isinstance(found, StoreError):
        raise found
    return found


async def test_no_host_ends_the_fleets_authority_by_accident(database_url: str, tmp_path: Path) -> None:
    east, west, desk = tmp_path / "east", tmp_path / "west", tmp_path / "desk"
    begin_anew = west / "identity" / BEGIN_ANEW_FILE
    async with whole_host(database_url, east):
        trusted = (east / "identity" / AUTHORITY_FILE).read_bytes()
        await refused(database_url, west)
        for consent in ("", CONSENT):
            begin_anew.write_text(consent)
            assert "authority.pem" in ((await refused(database_url, west)).next_step or "")
            assert begin_anew.exists()
    begin_anew.write_text("\n")
    await refused(database_url, west)
    copy_identity(east, desk)
    begin_anew.write_text(f"{CONSENT}\n")
    async with whole_host(database_url, west) as host:
        assert (west / "identity" / AUTHORITY_FILE).read_bytes() != trusted
        assert not begin_anew.exists()
        await refused(database_url, east)
        await host.sees()
        await refused(database_url, desk)
