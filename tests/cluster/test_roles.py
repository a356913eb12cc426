"""Hosts with some of the roles: what is another's is done there, or refused with its name. Two hosts in a process."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.nats_servers import NatsServer
from tests.link_server.scripted import ScriptedDevice

from microclaw.app import Host, running_host
from microclaw.app.cluster import with_roles
from microclaw.client import Client
from microclaw.client.request import HostError
from microclaw.config.cluster_settings import ROLES, ClusterSettings, check_roles
from microclaw.config.load import load_settings, read_roles
from microclaw.config.mqtt_settings import MqttSettings
from microclaw.config.settings import LinkSettings, TelegramSettings
from microclaw.errors import ConfigError
from microclaw.wire.link.messages import Call, Result
from microclaw.wire.link.values import Value

LIMIT_S = 60.0
PROGRAM = '#include "microclaw.h"\nint main(void) { int led = gpio_open(2, GPIO_OUT); gpio_set(led, 1); return 0; }\n'


@dataclass(frozen=True)
class RoleHost:
    host: Host
    client: Client

    @property
    def identity(self) -> Path:
        return self.host.settings.identity

    async def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST with a body, else GET, on its control socket."""
        if body is None:
            return await asyncio.to_thread(self.client.get, path)
        return await asyncio.to_thread(self.client.post, path, body)

    async def until(self, path: str, condition: Callable[[Any], object]) -> Any:
        async with asyncio.timeout(LIMIT_S):
            while not condition(found := await self.ask(path)):  # noqa: ASYNC110  another host sets no event here
                await asyncio.sleep(0.05)
        return found


@asynccontextmanager
async def host_with(url: str, cluster: str, home: Path, roles: str) -> AsyncIterator[RoleHost]:
    """Its name is that of its home."""
    settings = load_settings({}, home=home, http_port=0, link=LinkSettings(port=0))
    member = ClusterSettings(nats=url, name=cluster, host=home.name, roles=read_roles(roles))
    async with running_host(replace(settings, cluster=member)) as host:
        yield RoleHost(host, Client(settings.control_socket))


async def test_devices_and_builds_of_another_host_without_its_roles(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    url = nats_server.url
    async with (
        host_with(url, cluster_name, tmp_path / "cellar", "link,agent,compile") as cellar,
        host_with(url, cluster_name, tmp_path / "desk", "agent,api") as desk,
    ):
        assert (cellar.host.http, desk.host.link) == (None, None)
        assert cellar.host.link is not None
        assert desk.host.http is not None
        found = await desk.until("/v1/cluster", lambda answer: len(answer["cluster"]["hosts"]) == 2)
        told = {one["name"]: (one["roles"], one["api"], one["link"]) for one in found["cluster"]["hosts"]}
        assert told["cellar"][0] == ["link", "agent", "compile"]
        assert told["desk"][0] == ["agent", "api"]
        assert not [one for one in found["cluster"]["problems"] if "role" in one["text"]]

        built = await desk.ask("/api/compile-wasm", {"source": PROGRAM, "name": "lamp"})
        assert base64.b64decode(built["wasm"])[:4] == b"\0asm"
        assert built["flags"] == []
        assert (await desk.ask("/api/compile-wasm"))["available"] is True
        with pytest.raises(HostError, match="each with the compiler that it has"):
            await desk.ask("/api/compile-wasm", {"source": PROGRAM, "name": "lamp", "compiler": "zig"})
        with pytest.raises(HostError, match="gpio_opn"):
            await desk.ask("/api/compile-wasm", {"source": PROGRAM.replace("gpio_open", "gpio_opn"), "name": "lamp"})

        for path, body in (
            ("/v1/devices/provision", {"name": "lamp"}),
            ("/v1/devices/provision-batch", {"count": 2}),
        ):
            with pytest.raises(HostError, match=r"does not have the role link; these have it: cellar$"):
                await desk.ask(path, body)

        ca = (cellar.identity / "authority.pem").read_text()
        lamp = ScriptedDevice(cellar.host.link, ca[ca.index("-----BEGIN CERTIFICATE") :], folder=tmp_path)
        lamp.answer = _answer
        await lamp.pair(partial(_pair_elsewhere, desk))
        async with lamp.connected():
            await lamp.until_ready()
            await desk.until("/v1/devices", lambda _: desk.host.devices.get("lamp").supports("gpio.get"))
            link = (await desk.ask("/v1/devices"))["devices"][0]["link"]
            assert link["online"]
            assert link["host"].startswith("cellar-")
            answer = await desk.ask("/v1/devices/lamp/call", {"method": "gpio.get", "arguments": {"pin": 4}})
            assert answer["result"] == {"pin": 4, "level": 1}
            assert (await desk.ask("/v1/devices/lamp/notify", {"text": "hello"}))["state"] in ("delivered", "waiting")
            assert (await desk.ask("/v1/devices/lamp/revoke", {}))["revoked"] == 1
            assert await lamp.until_closed() == 4403
        assert (await desk.ask("/v1/devices"))["devices"][0]["revoked"] is True


async def _pair_elsewhere(desk: RoleHost, code: str) -> None:
    """At a host that lets no devices connect."""
    found = await desk.until("/v1/pairings", lambda answer: answer["pairings"])
    assert [one["board"] for one in found["pairings"]] == ["virtual"]
    with pytest.raises(HostError, match="no device waits with that code"):
        await desk.ask("/v1/devices/pair", {"code": code[::-1] + "0", "name": "lamp"})
    assert (await desk.ask("/v1/devices/pair", {"code": code, "name": "lamp"}))["name"] == "lamp"


def _answer(call: Call) -> Result:
    value: Value = {**call.params, "level": 1} if call.method == "gpio.get" else {"apps": []}
    return Result(ok=True, value=value)


async def test_what_no_live_host_does_is_said(nats_server: NatsServer, cluster_name: str, tmp_path: Path) -> None:
    async with host_with(nats_server.url, cluster_name, tmp_path / "lone", "agent") as lone:
        assert (lone.host.http, lone.host.link) == (None, None)
        problems = [one["text"] for one in (await lone.ask("/v1/cluster"))["cluster"]["problems"]]
        assert [text for text in problems if text.startswith("no live host has the role")] == [
            "no live host has the role link: no device can connect",
            "no live host has the role api: people reach no page, only the control sockets",
            "no live host has the role compile: no program can be built",
        ]
        with pytest.raises(HostError, match="no live host of the cluster builds programs"):
            await lone.ask("/api/compile-wasm", {"source": PROGRAM, "name": "lamp"})
        assert (await lone.ask("/api/compile-wasm"))["available"] is False
        with pytest.raises(HostError, match="role link, and no live host of the cluster has it"):
            await lone.ask("/v1/devices/provision", {"name": "lamp"})


@pytest.mark.parametrize("text", ["", "link,agents", "all"])
def test_a_role_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no role; there are link, agent, api, compile"):
        read_roles(text)


def test_roles_are_read_in_one_order() -> None:
    assert read_roles("compile, link,agent,api") == ROLES
    assert read_roles("api,agent") == ("agent", "api")


def test_a_host_alone_has_all_roles() -> None:
    with pytest.raises(ConfigError, match="a host that is alone has all roles, not only agent, api"):
        check_roles(ClusterSettings(roles=("agent", "api")))
    check_roles(ClusterSettings())


def test_a_role_that_is_not_there_takes_its_addresses_along(tmp_path: Path) -> None:
    settings = load_settings({}, home=tmp_path, http_port=0, link=LinkSettings(port=0))
    member = ClusterSettings(nats="nats://127.0.0.1:4222", roles=("agent",))
    without = with_roles(replace(settings, cluster=member))
    assert (without.link, without.http_port, without.host.ingress) == (None, None, "off")
    assert with_roles(settings) == settings
    door = ClusterSettings(nats="nats://127.0.0.1:4222", roles=("api",))
    settings = replace(settings, telegram=TelegramSettings("1:a"), mqtt=MqttSettings(url="mqtt://127.0.0.1"))
    without = with_roles(replace(settings, cluster=door))
    assert (without.telegram, without.mqtt.url) == (None, None)
