"""Sentences for several boards: which are meant, one call for all, and what stays refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace
from tests.offline.conftest import Ask, called, kept

from microclaw.boards.reader import load_board
from microclaw.boards.voice import VOICE_BOARD
from microclaw.models.protocol import (
    AssistantReply,
    DeviceContext,
    KnownApp,
    KnownDevice,
    NamedPin,
    ToolReturn,
    UserText,
)


@pytest.fixture
def home() -> DeviceContext:
    """Lamp and fan are in the kitchen; desk is another board, with an addressable LED."""
    virtual = load_board("virtual")
    lamp = KnownDevice("lamp", virtual, (KnownApp("blink", (2,)),), labels=("room=kitchen",))
    fan = KnownDevice("fan", virtual, labels=("room=kitchen", "living-room"))
    apps = (KnownApp("blink", (4,)), KnownApp("fade", (5,)))
    desk = KnownDevice("desk", load_board("esp32-s3-devkitc-1-v1.1"), apps, labels=("living-room",))
    return DeviceContext((lamp, fan, desk))


def boards_of(arguments: dict[str, Any]) -> set[str]:
    return {name for group in arguments["each"] for name in group["devices"]}


@pytest.mark.parametrize(
    ("sentence", "boards"),
    [
        ("set pin 4 high everywhere", "lamp fan desk"),
        ("turn on pin 4 on every device", "lamp fan desk"),
        ("on all boards turn on pin 4", "lamp fan desk"),
        ("turn on pin 4 on all", "lamp fan desk"),
        ("turn on pin 4 in the kitchen", "lamp fan"),
        ("turn on pin 4 in the living room", "fan desk"),
        ("on lamp and fan set pin 4 high", "lamp fan"),
        ("set pin 4 high on the lamp, fan and desk", "lamp fan desk"),
        ("please turn pin 4 on on lamp and on desk", "lamp desk"),
        ("turn on pin 4 in the kitchen and the living room", "lamp fan desk"),
        ("turn on pin 4 in the kitchen and in the living room", "lamp fan desk"),
    ],
)
async def test_a_pin_is_set_on_the_boards_that_are_meant(
    ask: Ask, home: DeviceContext, sentence: str, boards: str
) -> None:
    tool, arguments = called(await ask(sentence, device_context=home))
    assert (tool, arguments["tool"]) == ("act-on-boards", "gpio-set")
    [group] = arguments["each"]
    assert group["arguments"] == {"pin": 4, "level": 1}
    assert boards_of(arguments) == set(boards.split())


@pytest.mark.parametrize(
    ("sentence", "tool", "boards"),
    [
        ("dim pin 5 to 30% everywhere", "pwm-set", "lamp fan desk"),
        ("read pin 4 on all boards", "gpio-get", "lamp fan desk"),
        ("is pin 4 high in the kitchen", "gpio-get", "lamp fan"),
        ("blink pin 2 on all the boards", "deploy-wasm-app", "lamp fan desk"),
        ("turn on pin 4 everywhere for 3 seconds", "deploy-wasm-app", "lamp fan desk"),
        ("stop blink everywhere", "switch-program", "lamp desk"),
        ("remove blink from all boards", "uninstall-wasm-app", "lamp desk"),
        ("stop everything everywhere", "switch-program", "lamp desk"),
    ],
)
async def test_what_many_boards_do(ask: Ask, home: DeviceContext, sentence: str, tool: str, boards: str) -> None:
    name, arguments = called(await ask(sentence, device_context=home))
    assert (name, arguments["tool"]) == ("act-on-boards", tool)
    assert boards_of(arguments) == set(boards.split())


@pytest.mark.parametrize(
    "sentence",
    [
        "what is running everywhere", "what runs on the boards?",
        "what is running on my boards", "which programs run on the boards", "show me what runs on the boards",
        "what is on the boards", "what do my boards do",
    ],
)  # fmt: skip
async def test_a_question_about_all_is_answered_as_without_the_boards(
    ask: Ask, home: DeviceContext, sentence: str
) -> None:
    assert called(await ask(sentence, device_context=home)) == ("query-wasm-apps", {"device": "lamp"})


@pytest.mark.parametrize("sentence", ["turn off all", "turn on everything", "turn off both"])
async def test_all_pins_are_not_all_boards(ask: Ask, home: DeviceContext, sentence: str) -> None:
    reply = await ask(sentence, device_context=home)
    assert (reply.calls, reply.failed_code is None) == ((), False)


async def test_a_place_with_one_board_is_that_board(ask: Ask, home: DeviceContext) -> None:
    lamp, fan, desk = home.devices
    alone = DeviceContext((replace(lamp, labels=("kitchen",)), replace(fan, labels=()), desk))
    expected = ("gpio-set", {"pin": 4, "level": 1, "device": "lamp"})
    assert called(await ask("turn on pin 4 in the kitchen", device_context=alone)) == expected
    named = DeviceContext((replace(lamp, name="kitchen", labels=()), replace(fan, labels=()), desk))
    assert (called(await ask("turn on pin 4 in the kitchen", device_context=named)))[1]["device"] == "kitchen"
    one = DeviceContext((lamp,), lamp)
    assert (called(await ask("turn on pin 4 everywhere", device_context=one)))[0] == "gpio-set"


async def test_a_place_that_is_a_label_and_a_device_is_asked_about(ask: Ask, home: DeviceContext) -> None:
    both = DeviceContext((*home.devices, KnownDevice("kitchen", VOICE_BOARD)))
    reply = await ask("turn on pin 4 in the kitchen", device_context=both)
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")


async def test_each_board_has_its_own_program(ask: Ask, home: DeviceContext) -> None:
    """Desk has a blink on another pin, which stays."""
    _, arguments = called(await ask("blink pin 2 on lamp and desk", device_context=home))
    names = {name: group["arguments"]["appName"] for group in arguments["each"] for name in group["devices"]}
    assert names == {"lamp": "blink", "desk": "blink-2"}


async def test_several_pins_are_several_calls_of_each_board(ask: Ask, home: DeviceContext) -> None:
    _, arguments = called(await ask("turn pins 4 and 5 on in the kitchen", device_context=home))
    assert [group["arguments"]["pin"] for group in arguments["each"]] == [4, 5]
    assert [group["devices"] for group in arguments["each"]] == [["lamp", "fan"]] * 2


async def test_a_board_that_cannot_is_left_out_and_told_unless_it_was_named(ask: Ask, home: DeviceContext) -> None:
    first = await ask("turn on the led everywhere", device_context=home)
    assert boards_of(json.loads(first.calls[0].arguments)) == {"lamp", "fan"}
    result = ToolReturn(
        first.calls[0].call_id, "act-on-boards", json.dumps({"success": True, "message": "done on both"})
    )
    after = (AssistantReply("", first.calls), result)
    assert "desk" in (await ask("turn on the led everywhere", *after, device_context=home)).text
    assert (await ask("turn on the led on lamp and desk", device_context=home)).calls == ()


async def test_what_no_board_can_is_asked_back(ask: Ask, home: DeviceContext) -> None:
    reply = await ask("turn on pin 77 everywhere", device_context=home)
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")
    nothing = await ask("stop rainbow everywhere", device_context=home)
    assert (nothing.calls, nothing.failed_code) == ((), "app_not_found")


@pytest.mark.parametrize(
    "sentence",
    [
        "toggle pin 4 everywhere", "at 8:00 turn on pin 4 everywhere", "turn off pin 4 in 5 minutes on all boards",
        "undo everywhere", "restart everywhere", "what is the temperature in the kitchen",
        "turn everything off everywhere", "turn it off everywhere", "stop it everywhere", "turn on lamp and fan",
        "don't turn on pin 4 everywhere", "turn on pin 4 on both", "stop fade on lamp and desk",
        "stop blink in the attic", "is blink running on all boards",
        # boards that are left out, or that there are not
        "set pin 4 high everywhere except lamp", "turn on pin 4 everywhere, except for lamp and fan",
        "turn on pin 4 everywhere apart from the kitchen.", "turn pin 4 on on all boards but not on the desk",
        "turn on pin 4 on both boards", "turn on pin 4 everywhere but don't do it on lamp",
        "turn on pin 4 in the kitchen and pin 6 in the living room", "blink pin 2 in the kitchen and pin 6 on desk",
        "turn on pin 4 on lamp and attic", "turn on pin 4 on attic and lamp", "stop blink on lamp and attic",
        "turn on pin 4 on lamp, fan and on the attic", "on lamp and virtual-9 turn on pin 4",
        "set pin 4 high on the lamp and the attic", "blink pin 4 on virtual-8 and virtual-9",
        "turn on pin 4 on lamp and wait", "blink pin 4 on d4 and d5",
    ],
)  # fmt: skip
async def test_what_stays_refused_says_why(ask: Ask, home: DeviceContext, sentence: str) -> None:
    reply = await ask(sentence, device_context=home)
    assert reply.calls == ()
    assert reply.failed_code is not None
    assert reply.next_step is not None


async def test_without_a_board_nothing_is_done(ask: Ask) -> None:
    reply = await ask("turn on pin 4 everywhere", device_context=DeviceContext())
    assert (reply.calls, reply.failed_code is None) == ((), False)


async def test_a_name_of_a_pin_of_one_board_is_no_pin_of_the_others(ask: Ask, home: DeviceContext) -> None:
    named = replace(home, names=(NamedPin("pump", 11, "lamp"),))
    reply = await ask("turn on the pump in the kitchen", device_context=named)
    assert reply.calls == ()
    everybodys = replace(home, names=(NamedPin("pump", 11),))
    _, arguments = called(await ask("turn on the pump in the kitchen", device_context=everybodys))
    assert arguments["each"][0]["arguments"] == {"pin": 11, "level": 1}


async def test_a_no_after_it_offers_to_take_all_of_it_back_and_it_is_no_pin(ask: Ask, home: DeviceContext) -> None:
    said = UserText("turn on pin 4 in the kitchen")
    first = await ask(said.text, device_context=home)
    fields = {"success": True, "message": "done on both boards, checked: lamp, fan", "changes": [7, 8]}
    after = (AssistantReply("", first.calls), ToolReturn(first.calls[0].call_id, "act-on-boards", json.dumps(fields)))
    done = await ask(said.text, *after, device_context=home)
    before = (said, *after, kept(done))
    question = await ask("no", device_context=home, before=before)
    assert question.calls == ()
    yes = await ask("yes", device_context=home, before=(*before, UserText("no"), kept(question)))
    assert json.loads(yes.calls[0].arguments) == {"undo": [8, 7]}
    assert (await ask("turn it off", device_context=home, before=before)).calls == ()
    assert (await ask("no, pin 5", device_context=home, before=before)).calls == ()


@pytest.mark.parametrize("sentence", ["restart the lamp", "Reboot lamp, please.", "please restart the board lamp"])
async def test_restart_names_its_device(ask: Ask, home: DeviceContext, sentence: str) -> None:
    assert called(await ask(sentence, device_context=home)) == ("restart-device", {"device": "lamp"})


async def test_restart_of_no_device_or_of_a_program_restarts_nothing(ask: Ask, home: DeviceContext) -> None:
    assert (await ask("restart the board", device_context=home)).failed_code == "ambiguous"
    lamp, *others = home.devices
    same = DeviceContext((replace(lamp, apps=(KnownApp("lamp", (2,)),)), *others))
    assert (await ask("restart the lamp", device_context=same)).calls == ()
    assert (await ask("restart the toaster", device_context=home)).calls == ()
