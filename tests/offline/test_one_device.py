"""With one device nobody is asked which; "everything" is no pin; "faster" is of what was done before."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from tests.offline.conftest import Ask, answered, kept
from tests.offline.test_offline_turns import proof

from microclaw.boards.voice import VOICE_BOARD
from microclaw.models.protocol import DeviceContext, KnownDevice, Message, UserText


async def blinking(ask: Ask) -> tuple[Message, ...]:
    done = answered(await ask("blink pin 2"), appName="blink", verified=True, evidence=proof("counted", "2 edges"))
    return UserText("blink pin 2"), kept(await ask("blink pin 2", *done))


@pytest.mark.parametrize("after_an_act", [False, True])
@pytest.mark.parametrize("said", ["turn off everything", "everything off", "switch all the lights off", "all off"])
async def test_everything_off_is_told_what_can_be_done(ask: Ask, said: str, after_an_act: bool) -> None:
    reply = await ask(said, before=await blinking(ask) if after_an_act else ())
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")
    assert reply.next_step


async def test_a_list_of_one_is_never_asked_about(ask: Ask, device_context: DeviceContext) -> None:
    nobody_named = replace(device_context, meant=None)
    reply = await ask("turn on pin 4", device_context=nobody_named)
    assert [call.name for call in reply.calls] == ["gpio-set"]


async def test_what_was_done_on_a_device_that_is_gone_is_not_done_on_another(
    ask: Ask, device_context: DeviceContext
) -> None:
    before = await blinking(ask)
    other = replace(device_context.devices[0], name="desk")
    reply = await ask("faster", before=before, device_context=DeviceContext((other,), other))
    assert not reply.calls


@pytest.mark.parametrize(
    ("said", "half_ms"),
    [
        ("faster", 250),
        ("blink faster", 250),
        ("make it blink faster", 250),
        ("blink slower", 1000),
        ("blink pin 2 faster", 250),
        ("make pin 2 blink slower", 1000),
    ],
)
async def test_blink_faster_is_faster(ask: Ask, said: str, half_ms: int) -> None:
    reply = await ask(said, before=await blinking(ask))
    assert f"high for {half_ms} ms" in json.loads(reply.calls[0].arguments)["expect"]


@pytest.mark.parametrize("said", ["blink pin 4 faster", "blink pin 25 faster"])
async def test_another_pin_is_not_what_blinks(ask: Ask, said: str) -> None:
    assert not (await ask(said, before=await blinking(ask))).calls


@pytest.mark.parametrize("said", ["turn on pin 4", "which pins are free", "what is running"])
async def test_a_voice_device_beside_one_board_leaves_nothing_to_ask(
    ask: Ask, device_context: DeviceContext, said: str
) -> None:
    board = device_context.devices[0]
    both = DeviceContext((KnownDevice("kitchen", VOICE_BOARD), board), board)
    for meant in (board, None):
        reply = await ask(said, device_context=replace(both, meant=meant))
        assert reply.failed_code is None
        assert all(json.loads(call.arguments).get("device") in (None, board.name) for call in reply.calls)


async def test_a_voice_device_has_no_pins_to_switch(ask: Ask, device_context: DeviceContext) -> None:
    kitchen = KnownDevice("kitchen", VOICE_BOARD)
    both = DeviceContext((kitchen, *device_context.devices), device_context.meant)
    assert not (await ask("turn on pin 4 on kitchen", device_context=both)).calls
