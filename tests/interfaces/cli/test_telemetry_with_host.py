"""Telemetry and crashes on a host as a person runs it, also after kill -9: the commands, their files and documents."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.devices.link.real_host import RealHost, until_acked
from tests.devices.link.real_host import real_host as real_host
from tests.interfaces.cli.conftest import run_here
from tests.stories.conftest import until

from microclaw.host.operations.connection import HostError
from microclaw.wire.link import messages as link
from microclaw.wire.link.messages import Event, Log

TRACE = 'Traceback (most recent call last):\n  File "blink.py", line 7, in main\nZeroDivisionError: divide by zero'


def said(host: RealHost, *words: str) -> str:
    ran = run_here(host.home, *words)
    assert ran.code == 0, ran.err
    return ran.out


async def test_what_boards_measure_and_how_they_fail_is_kept_and_shown(real_host: RealHost) -> None:
    get = real_host.client.get
    device = await real_host.device("lamp")
    async with device.connected():
        await device.until_ready()
        await device.send(link.Telemetry(free_heap=180_224, uptime_s=3, apps=(), temperature=41.5))
        await device.send(Log("info", "blink", 1, "about to divide"))
        await device.send(Event("mqtt.publish", {"app": "blink", "topic": "room/temperature", "text": "21.5"}))
        await device.send(Event("app.crash", {"app": "blink", "reason": TRACE, "alive": False}))
        await until_acked(device)
        keys = {"free_heap", "temperature", "room/temperature"}
        for it_is in (
            lambda: {one["key"] for one in get("/v1/devices/lamp/telemetry")["series"]} == keys,
            lambda: bool(get("/v1/crashes")["crashes"]),
        ):
            await asyncio.to_thread(until, it_is)
    await asyncio.to_thread(real_host.kill)
    await asyncio.to_thread(real_host.start)
    await asyncio.to_thread(_look, real_host)


def _look(host: RealHost) -> None:
    """After the kill everything is there, once."""
    shown = json.loads(said(host, "--json", "device", "telemetry", "lamp", "--since", "1h"))
    assert shown["schema"] == "microclaw.telemetry/1"
    assert {(one["key"], one["unit"], *[point["mean"] for point in one["points"]]) for one in shown["series"]} == {
        ("free_heap", "B", 180224.0),
        ("temperature", "°C", 41.5),
        ("room/temperature", "", 21.5),
    }
    assert said(host, "device", "telemetry", "lamp", "free_heap").startswith("free_heap: 180,224 B, 180,224 to 180,224")
    for wrong in ({"key": "nope"}, {"since": 9, "until": 9}):
        with pytest.raises(HostError):
            host.client.get("/v1/devices/lamp/telemetry", wrong)
    years = host.client.get("/v1/devices/lamp/telemetry", {"since": 0})
    assert (years["source"], [len(one["points"]) for one in years["series"]]) == ("hours", [1, 1, 1])
    assert "about to divide" in said(host, "device", "crashes", "1")
    assert len(json.loads(said(host, "--json", "device", "crashes", "-d", "lamp", "--since", "1h"))["crashes"]) == 1
    said(host, "device", "forget-crashes", "1", "--yes")
    assert json.loads(said(host, "--json", "device", "crashes"))["crashes"] == []
