"""A scripted device pairs, connects and is called, over real TLS on loopback: answers, waits, ends and limits."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import Any

import cbor2
import pytest

from microclaw.devices.link.limits import LinkLimits
from microclaw.devices.registry.calls import AppInstall, AppStates, AppUninstall, DeviceRestart, GpioGet, PinLevel
from microclaw.errors import DeployRejected, DeviceUnreachable, OutcomeUnknown, Overloaded, ProtocolError
from microclaw.events import DeviceLeft
from microclaw.network_use import NetworkUse
from microclaw.wire.link.messages import Bye, Call, Result
from microclaw.wire.link.values import Value


async def test_a_call_to_a_device_that_is_away_fails_and_one_with_an_effect_is_not_repeated_after_a_restart(
    plane: Any, paired: Any
) -> None:
    lamp = plane.registry.get("lamp")
    calls: list[str] = []
    paired.answer = lambda call: calls.append(call.method)  # no result: it restarts instead
    async with paired.online():
        waiting = asyncio.create_task(lamp.call(AppUninstall("x")))
        await paired.next(Call)
    await plane.published.until(DeviceLeft)
    paired.boot_id = secrets.token_bytes(16)
    async with paired.connected():
        with pytest.raises(OutcomeUnknown):
            await waiting
    await plane.published.until(DeviceLeft)
    for how in ({"wait": False}, {"timeout_s": 0.05}):
        with pytest.raises(DeviceUnreachable):
            await lamp.call(GpioGet(pin=4), **how)
    assert calls == ["apps.remove"]


async def test_a_call_waits_for_a_device_that_is_away_and_has_its_answer_when_it_reconnects(
    plane: Any, paired: Any
) -> None:
    lamp = plane.registry.get("lamp")
    paired.answer = lambda _: Result(ok=True, value={"pin": 4, "level": 1})
    # The host learns what it offers.
    async with paired.online():
        pass
    await plane.published.until(DeviceLeft)
    assert lamp.is_away
    waiting = asyncio.create_task(lamp.call(GpioGet(pin=4)))
    async with paired.connected():
        assert await waiting == PinLevel(4, 1)
        assert not lamp.is_away


async def test_a_restart_is_done_when_another_boot_is_here_and_unknown_when_nobody_saw_one(
    plane: Any, paired: Any
) -> None:
    lamp = plane.registry.get("lamp")
    for answer in (Result(ok=True), None):
        paired.answer = lambda _, answer=answer: answer
        async with paired.online():
            waiting = asyncio.create_task(lamp.call(DeviceRestart()))
            await paired.next(Call)
        paired.boot_id = secrets.token_bytes(16)
        async with paired.connected():
            assert 0 <= (await waiting).seconds < 45
    paired.answer = lambda call: Result(ok=True)
    async with paired.connected():  # it says so, and stays as it is
        await paired.until_ready()
        with pytest.raises(OutcomeUnknown):
            await lamp.call(DeviceRestart(), timeout_s=1)


async def test_a_program_and_its_times_go_on_where_they_were_and_older_firmware_is_sent_no_times(
    plane: Any, paired: Any
) -> None:
    lamp = plane.registry.get("lamp")
    image = b"M\x06\x00\x1f" + secrets.token_bytes(10_000)
    flash = bytearray(image[:4096])  # an upload that was broken off
    begun = list[dict[str, Any]]()
    told: Value = {
        "name": "fan", "kind": "py", "state": "waiting", "heap": 4096, "pins": [4], "every_ms": 600_000,
        "stop_after_ms": 30_000, "runs": 3, "missed": 1, "next_in_ms": 1_000,
        "last": {"ago_ms": 599_000, "took_ms": 30_000, "how": "stopped"},
    }  # fmt: skip

    def answer(call: Call) -> Result:
        match call.method:
            case "apps.begin":
                begun.append(call.params)
                kept = {key: call.params[key] for key in ("every_ms", "stop_after_ms", "hosts", "ports")}
                return Result(ok=True, value={"offset": len(flash), **kept})
            case "apps.write":
                assert call.params["offset"] == len(flash)
                data = call.params["data"]
                assert isinstance(data, bytes)
                assert len(data) <= 1024  # a board without PSRAM holds a piece three times
                flash.extend(data)
            case "apps.list":
                return Result(ok=True, value={"apps": [told]})
        return Result(ok=True, value={"name": "fan", "offset": len(flash)})

    def older(call: Call) -> Result:
        begun.append({"method": call.method})
        return Result(ok=True, value={"offset": 0})  # it does not know the fields, so it leaves them out

    paired.answer = answer
    async with paired.online():
        network = NetworkUse(hosts=("api.example.org:80",), ports=(80,))
        await lamp.call(AppInstall("fan", image, kind="py", every_ms=600_000, stop_after_ms=30_000, network=network))
        (state,) = await lamp.call(AppStates())
        paired.answer = older
        with pytest.raises(DeployRejected):
            await lamp.call(AppInstall("fan", image, kind="py", every_ms=600_000))
        with pytest.raises(DeployRejected):
            await lamp.call(AppInstall("fan", image, kind="py", network=network))
    assert bytes(flash) == image
    assert (begun[0]["hosts"], begun[0]["ports"]) == (["api.example.org:80"], [80])
    wanted = ("py", True, hashlib.sha256(image).digest(), 600_000, 30_000)
    assert tuple(begun[0][key] for key in ("kind", "autostart", "sha256", "every_ms", "stop_after_ms")) == wanted
    assert (state.state, state.runs.missed, state.runs.last_how) == ("waiting", 1, "stopped")
    assert begun[1:] == [{"method": "apps.begin"}] * 2


async def test_revoking_two_merged_devices_revokes_both(plane: Any, device: Any, scripted: Any) -> None:
    other = scripted(plane)
    await device.pair(lambda code: plane.plane.pair(code, name="lamp"))
    await other.pair(lambda code: plane.plane.pair(code, name="spot"))
    lamp = await plane.registry.merge("lamp", "spot")
    assert len(lamp.transports) == 2
    assert await plane.plane.revoke("lamp") == 2


@pytest.mark.parametrize("limits", [LinkLimits(retry_after_s=7, retry_spread_s=5)])
async def test_a_host_that_goes_asks_each_device_to_come_back_at_a_time_of_its_own_and_calls_that_wait_are_bounded(
    plane: Any, paired: Any
) -> None:
    link = plane.links.link("d-1")
    calls = [link.calls.call("gpio.get", {"pin": 4}, idempotent=True, timeout_s=60) for _ in range(65)]
    waiting = [asyncio.create_task(call) for call in calls[:64]]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await calls[64]
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    async with paired.online():
        going = asyncio.create_task(plane.plane.goodbye())
        bye = await paired.next(Bye)
        await going
    assert 7 <= bye.retry_after_s <= 12


async def test_a_call_to_a_revoked_device_ends_at_once(plane: Any, paired: Any) -> None:
    lamp = plane.registry.get("lamp")
    async with paired.online():  # so the host knows what it offers
        pass
    await plane.published.until(DeviceLeft)
    waiting = asyncio.create_task(lamp.call(GpioGet(pin=4), timeout_s=3_600))
    await asyncio.sleep(0)
    assert await plane.plane.revoke("lamp") == 1
    async with asyncio.timeout(60):
        with pytest.raises(DeviceUnreachable):
            await waiting
        with pytest.raises(DeviceUnreachable) as caught:
            await lamp.call(GpioGet(pin=4), timeout_s=3_600)
    assert caught.value.next_step is not None


def answer_with(value: object, re: bytes) -> bytes:
    envelope = {"v": 1, "type": "result", "id": bytes(16), "ts": 1, "re": re, "body": {"ok": True, "value": value}}
    return b"\x01" + cbor2.dumps(envelope)


async def test_an_answer_over_the_limits_fails_its_call_at_once(plane: Any, paired: Any) -> None:
    lamp = plane.registry.get("lamp")
    paired.answer = lambda call: None
    items = list(range(300))
    text = "j" * 20_000
    for call, value, error, code in (
        (GpioGet(4), items, ProtocolError, 4400),
        (GpioGet(4), text, ProtocolError, 4413),
        (DeviceRestart(), items, OutcomeUnknown, 4400),  # it is not idempotent
    ):
        async with paired.online():
            asked = asyncio.create_task(lamp.call(call, timeout_s=3_600))
            await paired.send_raw(answer_with(value, (await paired.next_envelope(Call)).id))
            with pytest.raises(error) as caught:
                async with asyncio.timeout(60):
                    await asked
            assert caught.value.next_step is not None
            assert await paired.until_closed() == code
    async with paired.online():
        asked = asyncio.create_task(lamp.call(GpioGet(5), timeout_s=60))
        envelope = await paired.next_envelope(Call)
        assert envelope.body.params == {"pin": 5}  # not one of before again
        await paired.send_raw(answer_with({"pin": 5, "level": 1}, envelope.id))
        assert await asked == PinLevel(5, 1)
