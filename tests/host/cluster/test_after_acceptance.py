"""The database goes away between the acceptance of an act and its answer: the act goes on, and is not called failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any, TypeAlias

import pytest
from aiohttp import ClientSession, WSServerHandshakeError
from tests.devices.link.scripted import ScriptedDevice
from tests.host.cluster.hosts import PATIENCE_S, WholeHost, paired
from tests.host.store.two_hosts import until

from microclaw.errors import MicroclawError
from microclaw.wire.link.messages import Call, Result

Act: TypeAlias = Callable[[WholeHost, str], Awaitable[str | None]]
pytestmark = pytest.mark.asyncio(loop_scope="module")
PIN = {"method": "gpio.set", "arguments": {"pin": 4, "level": 1}}
PROGRAM = {"name": "still", "source": "void on_init(void) {}"}


def cut_at(east: WholeHost, device: ScriptedDevice, method: str) -> None:
    """Cut the host off from its database when it first asks for `method`; the device does what it is asked for."""
    methods: list[str] = []

    def answer(call: Call) -> Result:
        methods.append(call.method)
        params: dict[str, Any] = dict(call.params)
        if call.method == method and methods.count(method) == 1:
            east.way.cut()
        if "apps.commit" in methods:
            installed = [{"name": PROGRAM["name"], "state": "running"}]
        else:
            installed = []
        values: dict[str, Any] = {
            "apps.list": {"apps": installed},
            "apps.begin": {"offset": 0},
            "apps.write": {"offset": params.get("offset", 0) + len(params.get("data", b""))},
            "apps.commit": {"name": PROGRAM["name"]},
            "gpio.get": {"pin": 4, "level": int("gpio.set" in methods)},
        }
        return Result(ok=True, value=values.get(call.method, params))

    device.answer = answer


async def chat(east: WholeHost, name: str) -> str | None:
    answer = await asyncio.to_thread(east.client.say, f"turn on pin 4 of {name}", chat_id=name)
    east.way.mend()
    (kept,) = (await east.until(f"/v1/chat/{name}/undelivered", lambda found: found["messages"]))["messages"]
    assert (kept["answer"]["error"], kept["answer"]["actions"][0]["outcome"]) == (None, "done")
    return answer.error_code


async def call(east: WholeHost, name: str) -> str | None:
    with pytest.raises(MicroclawError) as caught:
        await east.ask(f"/v1/devices/{name}/call", PIN)
    east.way.mend()
    return caught.value.code


async def install(east: WholeHost, name: str) -> str | None:
    events = await asyncio.to_thread(lambda: list(east.client.stream(f"/v1/devices/{name}/apps", PROGRAM)))
    east.way.mend()
    return getattr(events[-1], "code", None)


async def schedule(east: WholeHost, name: str) -> str | None:
    made = await east.ask("/v1/schedules", {"when": "every day at 7", "do": f"turn on pin 4 on {name}"})
    place = f"/v1/schedules/{made['schedule']}"
    with follow_warnings("microclaw.agent.schedules.runner") as warned:
        await east.ask(f"{place}/run", {})
        await until(warned.is_set)
    east.way.mend()
    ended = await east.until(place, lambda found: found["runs"][0]["state"] != "started")
    return "outcome_unknown" if ended["runs"][0]["state"] == "unknown" else None


@contextmanager
def follow_warnings(name: str) -> Iterator[Event]:
    """Set the event when the part of that name logs a warning: here that the store does not take the end."""
    warned = Event()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                warned.set()

    handler = Handler()
    logging.getLogger(name).addHandler(handler)
    try:
        yield warned
    finally:
        logging.getLogger(name).removeHandler(handler)


@pytest.mark.parametrize(
    ("act", "method"), [(chat, "gpio.set"), (call, "gpio.set"), (install, "apps.commit"), (schedule, "gpio.set")]
)
async def test_an_accepted_act_is_unknown_without_the_database_and_ends_with_it(
    east: WholeHost, act: Act, method: str
) -> None:
    name = act.__name__
    device = await paired(east, name)
    async with device.connected():
        await until(lambda: east.knows(name))
        cut_at(east, device, method)
        assert await act(east, name) == "outcome_unknown"
        changes = f"/v1/changes?device={name}"
        await east.until(changes, lambda found: {one["state"] for one in found["changes"]} == {"done"})


async def test_without_its_database_a_host_answers_503_to_who_looks_after_it_and_to_devices(east: WholeHost) -> None:
    device = await paired(east, "spot")
    async with ClientSession(base_url=east.host.http) as session:

        async def health() -> int:
            async with session.get("/healthz") as answer:
                return answer.status

        assert await health() == 200
        east.way.cut()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while await health() == 200:  # noqa: ASYNC110  until the host has noticed
                    await asyncio.sleep(0.02)
            with pytest.raises(WSServerHandshakeError) as caught:
                async with device.connected():
                    pytest.fail("it is connected")
            assert caught.value.status == 503
        finally:
            east.way.mend()
        async with asyncio.timeout(PATIENCE_S):
            while await health() != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    async with device.online():
        pass
