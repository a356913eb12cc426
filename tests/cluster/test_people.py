"""What people may do counts at every host of a cluster: tokens that ended, questions, what waits for an answer."""

from __future__ import annotations

import asyncio

from tests.cluster.hosts import WholeHost

LAMP = {"name": "lamp", "board": "virtual", "transports": ["wasmachine://10.9.9.9:1"]}


async def token_of(host: WholeHost, role: str) -> str:
    await host.ask("/v1/people", {"name": role, "role": role})
    return str((await host.ask("/v1/tokens", {"name": f"of-{role}", "person": role}))["secret"])


async def test_an_ended_token_changes_nothing_at_another_host(east: WholeHost, west: WholeHost) -> None:
    names = ("first", "second", "other")
    secrets = [(await east.ask("/v1/tokens", {"name": name, "person": "owner"}))["secret"] for name in names]
    first, second, other = secrets
    changed = ("PUT", "/v1/devices/lamp/labels", {"labels": ["x"]})
    await east.ask("/v1/devices", LAMP)
    for secret in secrets:
        assert (await west.asked(secret, *changed))[0] == 200, "one that was just made is good"
    await asyncio.to_thread(east.client.delete, "/v1/tokens/first")
    assert (await west.asked(first, *changed))[0] == 401, "at once, whatever came in of the news"
    west.wire.cut()
    await asyncio.to_thread(east.client.delete, "/v1/tokens/second")
    for secret in (second, other):
        assert (await west.asked(secret, *changed))[0] == 503
    await west.wire.mend()
    await west.until("/v1/cluster", lambda facts: facts["cluster"]["connected"])
    assert (await west.asked(second, *changed))[0] == 401
    assert (await west.asked(second, "GET", "/v1/devices"))[0] == 401
    assert (await west.asked(other, *changed))[0] == 200


async def test_what_waits_at_one_host_is_shown_and_decided_once_at_another_with_the_deciders_rights(
    east: WholeHost, west: WholeHost
) -> None:
    await east.ask("/v1/devices", LAMP)
    member, guest = await token_of(east, "member"), await token_of(east, "guest")
    duties = {"consolidation", "rollouts", "unconnected-devices"}
    await west.until("/v1/cluster", lambda facts: {one["name"] for one in facts["cluster"]["duties"]} >= duties)
    status, told = await east.asked(member, "DELETE", "/v1/devices/lamp")
    place, question = f"/v1/requests/{told['request']}", f"/v1/approvals/{told['approval']['approval_id']}"
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
    assert (await west.ask(question))["end"]["state"] == "done"
    assert (await west.ask("/v1/approvals"))["approvals"] == []
    status, end = await west.asked(member, "GET", place)
    assert (status, end["status"], end["result"]) == (200, 200, {"removed": "lamp"})
    assert (await west.asked(member, "GET", "/v1/requests/0123456789abcdef"))[0] == 404
    await east.ask("/v1/devices", LAMP)
    told = (await east.asked(member, "DELETE", "/v1/devices/lamp"))[1]
    question = f"/v1/approvals/{told['approval']['approval_id']}"
    assert (await west.asked(member, "POST", question, {"approved": False}))[0] == 200, "an own request is taken back"
