"""Acts asked at one host are asked at the other, count there, and are done once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.devices.link.scripted import ScriptedDevice
from tests.host.cluster.hosts import WholeHost, authority_of, copy_identity, whole_host
from tests.host.store.two_hosts import until

from microclaw.errors import StoreError
from microclaw.host.auth.authority import AUTHORITY_FILE, BEGIN_ANEW_FILE, CONSENT
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import PairRequest

DESK: dict[str, Any] = {"name": "desk", "board": "virtual", "transports": ["wasmachine://10.9.9.9:1"]}
LABELS = ("PUT", "/v1/devices/desk/labels", {"labels": ["x"]})
pytestmark = pytest.mark.asyncio(loop_scope="module")
ACTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("/v1/devices", DESK, "/v1/devices", "10.9.9.9"),
    ("/v1/people", {"name": "ann", "role": "member"}, "/v1/people", '"ann"'),
    ("/v1/tokens", {"name": "ci", "person": "ann"}, "/v1/tokens", '"ci"'),
    ("/v1/schedules", {"when": "every 5 minutes", "do": "turn on pin 4 on desk"}, "/v1/schedules", "every 5 minutes"),
]


async def test_what_is_done_at_one_host_is_at_the_other_and_a_host_that_is_gone_is_told(
    east: WholeHost, west: WholeHost
) -> None:
    for path, body, place, fact in ACTS:
        await east.ask(path, body)
        await west.until(place, lambda found, fact=fact: fact in json.dumps(found))  # type: ignore[misc]
    await asyncio.to_thread(east.client.say, "remember that the relay is on pin 4")
    await west.until("/v1/memory", lambda found: "relay" in found["text"])
    await asyncio.to_thread(east.client.delete, "/v1/devices/desk")
    await west.until("/v1/devices", lambda found: not found["devices"])
    west.way.cut()
    facts = await east.sees()
    assert [(one["facts"]["name"], one["ended"]) for one in facts["ended"]] == [("west", "gone")]
    assert "west" in facts["problems"][0]["text"]
    facts = (await west.until("/v1/cluster", lambda found: not found["cluster"]["member"]))["cluster"]
    assert not facts["connected"]
    assert "database" in facts["problems"][0]["text"]
    west.way.mend()
    await west.sees("east")
    await east.sees("west")


async def test_an_ended_token_changes_nothing_at_another_host(east: WholeHost, west: WholeHost) -> None:
    names = ("first", "second", "other")
    await east.ask("/v1/devices", DESK)
    secrets = [(await east.ask("/v1/tokens", {"name": name, "person": "owner"}))["secret"] for name in names]
    first, second, other = secrets
    for secret in secrets:
        assert (await west.asked(secret, *LABELS))[0] == 200, "one that was just made is good"
    await asyncio.to_thread(east.client.delete, "/v1/tokens/first")
    assert (await west.asked(first, *LABELS))[0] == 401, "at once, whatever came in of the news"
    west.way.cut()
    await asyncio.to_thread(east.client.delete, "/v1/tokens/second")
    for secret in (second, other):
        assert (await west.asked(secret, *LABELS))[0] == 503
    west.way.mend()
    await west.until("/v1/cluster", lambda facts: facts["cluster"]["connected"])
    assert (await west.asked(second, *LABELS))[0] == 401
    assert (await west.asked(second, "GET", "/v1/devices"))[0] == 401
    assert (await west.asked(other, *LABELS))[0] == 200
    await asyncio.to_thread(east.client.delete, "/v1/devices/desk")


async def test_what_waits_at_one_host_is_shown_and_decided_once_at_another_with_the_deciders_rights(
    east: WholeHost, west: WholeHost
) -> None:
    await east.ask("/v1/devices", DESK)
    tokens = []
    for role in ("member", "guest"):
        await east.ask("/v1/people", {"name": role, "role": role})
        tokens.append((await east.ask("/v1/tokens", {"name": role, "person": role}))["secret"])
    member, guest = tokens
    status, told = await east.asked(member, "DELETE", "/v1/devices/desk")
    place = f"/v1/requests/{told['request']}"
    question = f"/v1/approvals/{told['approval']['approval_id']}"
    assert status == 202
    assert (await west.asked(member, "GET", place))[1]["state"] == "waiting"
    (here,), (there,) = [(await host.ask("/v1/approvals"))["approvals"] for host in (east, west)]
    assert {**here, "expires_s": 0} == {**there, "expires_s": 0}
    for token in (guest, member):  # to remove a device is risky: an owner's
        assert (await west.asked(token, "POST", question, {"approved": True}))[0] == 403
    deciding = (west.ask(question, {"approved": True, "wait_s": 60}) for _ in range(3))
    outcomes = await asyncio.gather(*deciding, return_exceptions=True)
    (decided,) = [one for one in outcomes if not isinstance(one, BaseException)]
    assert decided["end"]["state"] == "done"
    assert (await west.ask("/v1/approvals"))["approvals"] == []
    status, end = await west.asked(member, "GET", place)
    assert (status, end["status"], end["result"]) == (200, 200, {"removed": "desk"})
    assert (await west.asked(member, "GET", "/v1/requests/0123456789abcdef"))[0] == 404


async def test_a_device_that_reached_one_host_is_paired_by_its_code_at_another_once(
    east: WholeHost, west: WholeHost
) -> None:
    spot = ScriptedDevice(west.link, authority_of(west.home))

    async def typed(code: str) -> None:
        await east.until("/v1/devices", lambda found: [one["board"] for one in found["pairings"]] == ["virtual"])
        typing = [(east, f"{code[:3]} {code[3:]}", "at-east"), (west, code, "at-west"), (east, code, "again")]
        pairing = [host.ask("/v1/devices/pair", {"code": words, "name": name}) for host, words, name in typing]
        outcomes: list[Any] = await asyncio.gather(*pairing, return_exceptions=True)
        (name,) = {one["name"] for one in outcomes if isinstance(one, dict)}
        for host in (east, west):
            await until(lambda host=host: name in [one.name for one in host.host.devices.list()])  # type: ignore[misc]

    await spot.pair(typed)
    spot.address = east.link
    async with spot.connected():
        await spot.until_ready()
    await east.until("/v1/devices", lambda found: not found["pairings"])


async def test_a_host_without_its_database_gives_a_device_no_code(east: WholeHost, west: WholeHost) -> None:
    spot = ScriptedDevice(west.link, authority_of(west.home))
    west.way.cut()
    async with spot.connected(PairRequest("virtual", token_wanted=True)):
        assert await spot.until_closed() == CloseCode.OVERLOADED
    west.way.mend()
    await west.sees("east")
    await spot.pair(lambda code: east.ask("/v1/devices/pair", {"code": code, "name": "spot"}))


async def refused(url: str, home: Path) -> str:
    """The next step that a host on this home names when it does not start."""
    with pytest.RaisesGroup(StoreError, allow_unwrapped=True, flatten_subgroups=True) as caught:
        async with whole_host(url, home):
            pytest.fail("it started")
    found: Any = caught.value
    while isinstance(found, ExceptionGroup):
        (found,) = found.exceptions
    return str(found.next_step)


async def test_no_host_ends_the_fleets_authority_by_accident(database_url: str, tmp_path: Path) -> None:
    east = tmp_path / "east"
    west = tmp_path / "west"
    desk = tmp_path / "desk"
    begin_anew = west / "identity" / BEGIN_ANEW_FILE
    async with whole_host(database_url, east):
        trusted = (east / "identity" / AUTHORITY_FILE).read_bytes()
        await refused(database_url, west)
        begin_anew.write_text(CONSENT)
        assert "authority.pem" in await refused(database_url, west)
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
