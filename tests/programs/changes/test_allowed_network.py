"""The network for which this host makes requests of a program: of what it installed there, and while it installs it."""

from __future__ import annotations

from typing import Any

from microclaw.devices.registry.calls import AppInstall
from microclaw.network_use import NetworkUse
from microclaw.programs.changes.allowed_network import allowed_network

FIRST = NetworkUse(("api.example.org:443",))
SECOND = NetworkUse(("log.example.org",), (80,))


async def _yes(*_question: Any, **_more: Any) -> None:
    return None


async def hosts(lab: Any, app: str = "blink") -> tuple[str, ...] | None:
    network = await allowed_network(lab.change_log, lab.device_id, app)
    return None if network is None else network.hosts


async def test_both_versions_count_while_one_replaces_the_other_and_then_the_new_one(lab: Any) -> None:
    lab.networks.update(v1=FIRST, v2=SECOND)
    meanwhile: list[tuple[str, ...] | None] = []
    make_call = lab.transport.call

    async def watched(call: Any, *args: Any, **more: Any) -> Any:
        answer = await make_call(call, *args, **more)
        if isinstance(call, AppInstall):
            meanwhile.append(await hosts(lab))
        return answer

    lab.transport.call = watched
    assert await hosts(lab) is None
    for source, allowed in (("v1", FIRST), ("v2", SECOND)):
        await lab.deploy(source=source, approve=_yes)
        assert await hosts(lab) == allowed.hosts
    assert await hosts(lab, "other") is None
    assert meanwhile == [FIRST.hosts, (*FIRST.hosts, *SECOND.hosts)]
    await lab.take_back()
    assert await hosts(lab) == FIRST.hosts
