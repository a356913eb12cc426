"""The offline model's use of tools' answers, and its words about them."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from tests.offline.conftest import Ask, answered, kept

from microclaw.models.protocol import (
    AssistantReply,
    DeviceContext,
    KnownApp,
    UserText,
)


def proof(kind: str, text: str) -> list[dict[str, str]]:
    return [{"kind": kind, "text": text}]


APPS = [{"name": "blink", "state": "running", "pins": [2]}, {"name": "fade", "state": "running", "pins": [5]}]


async def test_an_accepted_deployment_is_not_said_to_work(ask: Ask) -> None:
    sentence = "blink pin 2"
    done = answered(await ask(sentence), appName="blink", verified=True, evidence=proof("accepted", "accepted only"))
    reply = await ask(sentence, *done)
    assert "no read-back" in reply.text
    assert "runs" not in reply.text


@pytest.mark.parametrize("kind", ["counted", "accepted"])
@pytest.mark.parametrize(("sentence", "again"), [("turn on pin 4 for 1 second", True), ("blink pin 2", False)])
async def test_an_answer_says_what_a_restart_of_the_board_runs_again(
    ask: Ask, sentence: str, again: bool, kind: str
) -> None:
    done = answered(await ask(sentence), appName="it", verified=True, evidence=proof(kind, "as tried"))
    assert ("runs again when the board restarts" in (await ask(sentence, *done)).text) == again


async def test_a_board_lost_before_it_was_verified_is_not_said_to_offer_no_read_back(ask: Ask) -> None:
    sentence = "blink pin 2"
    lost = "accepted, but the board could not be reached afterwards: no answer"
    done = answered(await ask(sentence), appName="blink", verified=False, evidence=proof("accepted", lost))
    assert (await ask(sentence, *done)).failed_code == "not_verified"


async def test_a_deployment_that_differs_from_its_trial_is_told_so(ask: Ask) -> None:
    sentence = "blink pin 2"
    done = answered(
        await ask(sentence), appName="blink", verified=False, evidence=proof("counted", "no edge on pin 2 in 3 s")
    )
    assert (await ask(sentence, *done)).failed_code == "not_verified"


@pytest.mark.parametrize("level", [0, 1])
async def test_toggling_reads_the_pin_and_sets_the_other_level(ask: Ask, level: int) -> None:
    read = answered(await ask("toggle pin 4"), pin=4, level=level)
    second = await ask("toggle pin 4", *read)
    assert json.loads(second.calls[0].arguments) == {"pin": 4, "level": 1 - level}


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("how warm is it in fahrenheit", "Temperature: 72.4 °F, read"),
        ("what is the temperature in degrees Celsius?", "Temperature: 22.5 °C, read"),
        ("what is the pressure in hPa", "Pressure: 1012.8 hPa, read"),
    ],
)
async def test_a_reading_is_told_in_the_unit_that_is_asked(ask: Ask, said: str, text: str) -> None:
    read = answered(await ask(said), sensor="bme280", values={"temperature_c": 22.46, "pressure_hpa": 1012.84})
    assert (await ask(said, *read)).text.startswith(text)


@pytest.mark.parametrize("said", ["включи свет", "enciende la luz del pin 4", "accendi la luce sul pin 4"])
async def test_another_language_changes_nothing(ask: Ask, said: str) -> None:
    reply = await ask(said)
    assert (reply.calls, reply.failed_code is not None or reply.question is not None) == ((), True)


async def test_a_sensor_that_lacks_the_value_is_no_reading(ask: Ask) -> None:
    read = answered(await ask("what is the humidity"), sensor="bme280", values={"temperature_c": 22.46})
    assert (await ask("what is the humidity", *read)).failed_code == "tool_failed"


@pytest.mark.parametrize(
    ("said", "stopped"),
    [("stop blink", "blink"), ("stop the blinker", "blink"), ("stop blinking", "blink"), ("kill the fade app", "fade")],
)
async def test_only_a_program_that_is_there_is_stopped_and_it_is_kept(ask: Ask, said: str, stopped: str) -> None:
    listed = answered(await ask(said), apps=APPS)
    second = await ask(said, *listed)
    assert second.calls[0].name == "switch-program"
    assert json.loads(second.calls[0].arguments) == {"appName": stopped, "switch": "stop"}


@pytest.mark.parametrize("said", ["remove blink", "delete the blink app", "uninstall blink", "get rid of blink"])
async def test_who_says_remove_has_the_program_taken_off(ask: Ask, said: str) -> None:
    listed = answered(await ask(said), apps=APPS)
    second = await ask(said, *listed)
    assert (second.calls[0].name, json.loads(second.calls[0].arguments)) == ("uninstall-wasm-app", {"appName": "blink"})


async def test_what_this_host_did_not_install_cannot_be_kept(ask: Ask) -> None:
    listed = answered(await ask("stop blink"), apps=[{"name": "blink", "state": "listed", "foreign": True}])
    second = await ask("stop blink", *listed)
    assert (second.calls[0].name, json.loads(second.calls[0].arguments)) == ("uninstall-wasm-app", {"appName": "blink"})


async def test_a_program_that_is_not_there_is_not_removed(ask: Ask) -> None:
    listed = answered(await ask("stop traffic light"), apps=APPS)
    reply = await ask("stop traffic light", *listed)
    assert not reply.calls
    assert reply.failed_code == "app_not_found"


async def test_a_program_that_the_board_lost_is_not_put_back_when_it_is_stopped(ask: Ask) -> None:
    listed = answered(await ask("stop blink"), apps=[], missing=["blink"])
    second = await ask("stop blink", *listed)
    assert json.loads(second.calls[0].arguments) == {"appName": "blink", "switch": "stop"}


async def test_removing_everything_includes_what_the_board_lost(ask: Ask) -> None:
    said = "stop everything"
    listed = answered(await ask(said), apps=APPS[:1], missing=["fade"])
    question = await ask(said, *listed)
    assert not question.calls
    assert f"stops {APPS[0]['name']}, fade on" in question.text


async def test_everything_on_a_pin_is_removed_and_nothing_else(ask: Ask) -> None:
    said = "stop everything on pin 2"
    listed = answered(await ask(said), apps=APPS)
    second = await ask(said, *listed)
    assert json.loads(second.calls[0].arguments) == {"appName": "blink", "switch": "stop"}
    gone = answered(second, appName="blink")
    assert not (await ask(said, *listed, *gone)).calls


async def test_removing_everything_asks_first(ask: Ask) -> None:
    said = "delete all programs"
    listed = answered(await ask(said), apps=APPS)
    question = await ask(said, *listed)
    assert not question.calls
    assert question.failed_code == "confirm"
    before = (UserText(said), kept(question))
    first = await ask("yes", before=before)
    listed = answered(first, apps=APPS)
    second = await ask("yes", *listed, before=before)
    gone = answered(second, appName="blink")
    third = await ask("yes", *listed, *gone, before=before)
    assert [json.loads(r.calls[0].arguments)["appName"] for r in (second, third)] == ["blink", "fade"]
    assert {r.calls[0].name for r in (second, third)} == {"uninstall-wasm-app"}


async def test_yes_without_a_question_does_nothing(ask: Ask) -> None:
    assert (await ask("yes")).failed_code == "nothing_waits"
    before = (UserText("stop blink"), AssistantReply("blink stopped"))
    assert (await ask("yes", before=before)).failed_code == "nothing_waits"


@pytest.mark.parametrize("answer", ["pin 4", "4", "on pin 4", "Pin four.", "gpio4", "the pin 4"])
async def test_a_pin_given_after_the_question_completes_the_sentence(ask: Ask, answer: str) -> None:
    question = await ask("turn it on")
    reply = await ask(answer, before=(UserText("turn it on"), kept(question)))
    assert json.loads(reply.calls[0].arguments) == {"pin": 4, "level": 1}


async def test_the_pin_of_a_button_is_asked_for_and_taken(ask: Ask) -> None:
    said = "turn on pin 4 when the button is pressed"
    question = await ask(said)
    reply = await ask("pin 7", before=(UserText(said), kept(question)))
    assert reply.intent == "turn on pin 4 when the button on pin 7 is pressed"


async def test_a_bare_pin_without_a_question_does_nothing(ask: Ask) -> None:
    assert not (await ask("4")).calls
    assert not (await ask("4", before=(UserText("set pin 2 on"), AssistantReply("Pin 2 is on")))).calls


@pytest.mark.parametrize(
    ("said", "state", "expected"),
    [
        ("is blink still running", "running", "Yes, blink runs on virtual-1"),
        ("is blink still running", "trapped", "No, blink is on virtual-1 but trapped"),
        ("is blink still running", "listed", "virtual-1 lists blink; whether it still does its work"),
        ("is my blinky thing still going", "running", "Yes, blink"),
        ("is waterfall still running", "running", "No program of that name runs. On virtual-1: blink"),
    ],
)
async def test_whether_a_program_runs_is_said_as_far_as_known(ask: Ask, said: str, state: str, expected: str) -> None:
    listed = answered(await ask(said), apps=[{"name": "blink", "state": state, "pins": [2]}])
    assert (await ask(said, *listed)).text.startswith(expected)


async def test_help_lists_every_kind_with_a_sentence_that_works(ask: Ask) -> None:
    reply = await ask("what can you do")
    first, *examples = reply.text.splitlines()
    assert str(len(examples)) in first
    for example in examples:
        assert (await ask(example.strip())).failed_code != "not_understood", example


async def test_a_pin_is_free_by_the_claims_of_the_programs(ask: Ask, device_context: DeviceContext) -> None:
    virtual = device_context.devices[0]
    apps = (KnownApp("blink", (2,)), KnownApp("button", (), (4,)), KnownApp("log", (), (), (7,)))
    context = DeviceContext((replace(virtual, apps=apps),), replace(virtual, apps=apps))
    told = {"blink": "running", "button": "running", "log": "running"}
    for pin, said in ((2, "driven by blink"), (4, "read by button"), (7, "used by log")):
        sentence = f"is pin {pin} free"
        looked = answered(
            await ask(sentence, device_context=context), apps=[{"name": n, "state": s} for n, s in told.items()]
        )
        assert f"Pin {pin} is {said}; " in (await ask(sentence, *looked, device_context=context)).text
    others = [{"name": "theirs", "state": "running", "pins": [14], "foreign": True}]

    async def told_of(sentence: str) -> str:
        looked = answered(await ask(sentence, device_context=context), apps=others)
        return (await ask(sentence, *looked, device_context=context)).text

    free = await told_of("which pins are free")
    assert "Pin 2 is driven by blink. Pin 4 is read by button. Pin 7 is used by log." in free
    assert ": 1, 5, 6, 10, " in free
    assert "Pin 14 is used by theirs." in free
    assert "Pin 6 is free" in await told_of("is pin 6 free")
    assert "Pin 14 is used by theirs" in await told_of("is pin 14 free")


async def test_a_pin_of_a_program_that_has_ended_is_not_called_driven(ask: Ask, device_context: DeviceContext) -> None:
    virtual = device_context.devices[0]
    known = replace(virtual, apps=(KnownApp("beep", (2,)),))
    context = DeviceContext((known,), known)
    look = await ask("is pin 2 free", device_context=context)
    ended = await ask(
        "is pin 2 free", *answered(look, apps=[{"name": "beep", "state": "ended"}]), device_context=context
    )
    assert "Pin 2 is not driven any more: beep has ended" in ended.text
    away = await ask("is pin 2 free", *answered(look, ok=False, message="no answer"), device_context=context)
    assert "Pin 2 is driven by beep; " in away.text
