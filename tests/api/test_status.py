"""The host's status, as each role sees it."""

from __future__ import annotations

from pathlib import Path

from tests.api.people_host import people_host

OF_OWNERS = {"pid", "home", "problems", "alarms", "gateway_open", "failing", "mqtt", "model_outages"}


async def test_others_than_owners_do_not_see_what_concerns_other_people(tmp_path: Path) -> None:
    async with people_host(tmp_path / "home") as host:
        (_, owners), (_, members) = [await host.ask(who, "GET", "/v1/status") for who in ("owner", "ada")]
    assert {name for name in OF_OWNERS if owners[name] is None} == set()
    assert {name for name in OF_OWNERS if members[name] is not None} == set()
    abouts = [{row["about"] for row in found["screen"]} for found in (owners, members)]
    assert abouts[0] - abouts[1] >= {"telegram", "gateway"}
    assert abouts[1] <= {"host", "api", "link", "pairing", "model", "context", "deferred", "crash", "telemetry"}
