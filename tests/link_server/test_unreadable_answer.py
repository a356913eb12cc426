"""A call whose answer the link does not allow: its caller knows at once, and the device is not asked it again."""

from __future__ import annotations

import asyncio
from typing import Any

import cbor2
import pytest

from microclaw.devices.calls import DeviceRestart, GpioGet, PinLevel
from microclaw.errors import OutcomeUnknown, ProtocolError
from microclaw.wire.link.messages import Call


def answer_with(value: object, re: bytes) -> bytes:
    envelope = {"v": 1, "type": "result", "id": bytes(16), "ts": 1, "re": re, "body": {"ok": True, "value": value}}
    return b"\x01" + cbor2.dumps(envelope)


@pytest.mark.parametrize(
    ("value", "code"), [(list(range(300)), 4400), ("j" * 20_000, 4413)], ids=["over 256 items", "over 16 KiB"]
)
async def test_an_answer_over_the_limits_fails_its_call_at_once(
    plane: Any, paired: Any, value: object, code: int
) -> None:
    lamp = plane.registry.get("lamp")
    paired.answer = lambda call: None
    async with paired.connected():
        await paired.until_ready()
        asked = asyncio.create_task(lamp.call(GpioGet(4), timeout_s=60))
        call = await paired.next_envelope(Call)
        await paired.send_raw(answer_with(value, call.id))
        with pytest.raises(ProtocolError) as caught:
            async with asyncio.timeout(20):
                await asked
        assert caught.value.next_step is not None
        assert await paired.until_closed() == code
    async with paired.connected():
        await paired.until_ready()
        asked = asyncio.create_task(lamp.call(GpioGet(5), timeout_s=60))
        call = await paired.next_envelope(Call)
        assert call.body.params == {"pin": 5}  # not the call before again
        await paired.send_raw(answer_with({"pin": 5, "level": 1}, call.id))
        assert await asked == PinLevel(5, 1)


async def test_a_call_that_is_not_idempotent_is_of_unknown_outcome(plane: Any, paired: Any) -> None:
    lamp = plane.registry.get("lamp")
    paired.answer = lambda call: None
    async with paired.connected():
        await paired.until_ready()
        asked = asyncio.create_task(lamp.call(DeviceRestart(), timeout_s=60))
        call = await paired.next_envelope(Call)
        await paired.send_raw(answer_with(list(range(300)), call.id))
        with pytest.raises(OutcomeUnknown):
            async with asyncio.timeout(20):
                await asked
