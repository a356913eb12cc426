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


async def test_an_answer_over_the_limits_fails_its_call_at_once(plane: Any, paired: Any) -> None:
    lamp = plane.registry.get("lamp")
    paired.answer = lambda call: None
    items, text = list(range(300)), "j" * 20_000
    for call, value, error, code in (
        (GpioGet(4), items, ProtocolError, 4400),
        (GpioGet(4), text, ProtocolError, 4413),
        (DeviceRestart(), items, OutcomeUnknown, 4400),  # it is not idempotent
    ):
        async with paired.connected():
            await paired.until_ready()
            asked = asyncio.create_task(lamp.call(call, timeout_s=60))
            await paired.send_raw(answer_with(value, (await paired.next_envelope(Call)).id))
            with pytest.raises(error) as caught:
                async with asyncio.timeout(20):
                    await asked
            assert caught.value.next_step is not None
            assert await paired.until_closed() == code
    async with paired.connected():
        await paired.until_ready()
        asked = asyncio.create_task(lamp.call(GpioGet(5), timeout_s=60))
        envelope = await paired.next_envelope(Call)
        assert envelope.body.params == {"pin": 5}  # not one of before again
        await paired.send_raw(answer_with({"pin": 5, "level": 1}, envelope.id))
        assert await asked == PinLevel(5, 1)
