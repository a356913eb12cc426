"""/v1/fleet for programs and people with a token: who may apply, and what is refused whole."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.people_host import BLINK, PeopleHost

from microclaw.wire.host_api import Failure, Result

pytestmark = pytest.mark.asyncio(loop_scope="module")


def fleet(**more: Any) -> dict[str, Any]:
    program = {"name": "blink", "source": BLINK, "devices": ["virtual-1"], **more}
    return {"programs": [program], "devices": ["virtual-1"]}


@pytest.mark.parametrize("risky", ["force", "replace"])
async def test_a_fleet_forces_nothing(host: PeopleHost, risky: str) -> None:
    assert (await host.ask("owner", "POST", "/v1/fleet/apply", fleet(**{risky: True})))[0] == 422


async def test_a_change_between_look_and_act_is_refused(host: PeopleHost) -> None:
    (told,) = await host.stream("ada", "/v1/fleet/diff", fleet())
    assert isinstance(told, Result)
    other = {"name": "blink", "source": BLINK.replace("100", "300")}
    await host.stream("owner", "/v1/devices/virtual-1/apps", other)
    try:
        (end,) = await host.stream("ada", "/v1/fleet/apply", {**fleet(), "digest": told.value["digest"]})
        assert isinstance(end, Failure)
        assert "every(300" in (await host.socket("GET", "/v1/devices/virtual-1/apps/blink"))["source"]
    finally:
        await host.stream("owner", "/v1/devices/virtual-1/apps/blink", {}, method="DELETE")


@pytest.mark.parametrize(
    "body",
    [
        {**fleet(), "devices": []},
        {**fleet(), "programs": fleet()["programs"] * 2},
        fleet(name="-x"),
        fleet(source="int main(void) { return x; }"),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_done(host: PeopleHost, body: dict[str, Any]) -> None:
    end = (await host.stream("owner", "/v1/fleet/apply", body))[-1]
    assert isinstance(end, Failure)
    assert await host.apps() == []
