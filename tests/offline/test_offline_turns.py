"""What the offline model does with tools' answers, and what it makes of them in words."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.offline.conftest import Ask, kept

from microclaw.models.protocol import (
    AssistantReply,
    DeviceContext,
    KnownApp,
    Message,
    ModelReply,
    ToolReturn,
    UserText,
)


def answered(reply: ModelReply, *, ok: bool = True, **fields: Any) -> tuple[Message, Message]:
    """A reply's call and the tool's answer to it, as the turn puts them into the conversation."""
    call = reply.calls[0]
    content = json.dumps({"success": ok, "device": "virtual-1", **fields})
    return AssistantReply("", reply.calls), ToolReturn(call.call_id, call.name, content, failed=not ok)


def proof(kind: str, text: str) -> list[dict[str, str]]:
    return [{"kind": kind, "text": text}]


APPS = [{"name": "blink", "state": "running", "pins": [2]}, {"name": "fade", "state": "running", "pins": [5]}]


async def test_a_deployment_is_told_with_its_evidence(ask: Ask) -> None:
    sentence = "blink pin 2 every half second"
    done = answered(
        await ask(sentence),
        appName="blink",
        verified=True,
        evidence=proof("counted", "counted on the board: first edge after 0.02 s"),
    )
    reply = await ask(sentence, *done)
    assert reply.text == "blink runs on virtual-1 by itself. Counted on the board: first edge after 0.02 s."
    assert reply.failed_code is None


async def test_a_board_that_tells_of_programs_is_not_said_to_have_no_read_back(ask: Ask) -> None:
    sentence = "blink pin 2 every hour"
    seen = "accepted only: first edge after 0.01 s, the next is due 1 h later; that is the start alone"
    done = answered(await ask(sentence), appName="blink", verified=True, evidence=proof("accepted", seen))
    assert (await ask(sentence, *done)).text == f"virtual-1 took blink. A{seen[1:]}."


async def test_an_accepted_deployment_is_not_said_to_work(ask: Ask) -> None:
    sentence = "blink pin 2"
    done = answered(await ask(sentence), appName="blink", verified=True, evidence=proof("accepted", "accepted only"))
    reply = await ask(sentence, *done)
    assert "no read-back" in reply.text
    assert "runs" not in reply.text


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        ("counted on the board: PWM on pin 4 at 440 Hz, duty 0, 128 of 255", "counted"),
        ("accepted only: the board reports it running with pin 4 open", "accepted"),
        ("accepted only", "accepted"),
    ],
)
@pytest.mark.parametrize("sentence", ["play 440 Hz on pin 4", "play 440 Hz on pin 4 for 2 s", "blink pin 4 at 440 Hz"])
async def test_the_answer_about_a_tone_names_its_frequency_once(sentence: str, seen: str, kind: str, ask: Ask) -> None:
    done = answered(await ask(sentence), appName="tone", verified=True, evidence=proof(kind, seen))
    assert (await ask(sentence, *done)).text.count("440 Hz") == 1


async def test_a_board_lost_before_it_was_verified_is_not_said_to_offer_no_read_back(ask: Ask) -> None:
    sentence = "blink pin 2"
    lost = "accepted, but the board could not be reached afterwards: no answer"
    done = answered(await ask(sentence), appName="blink", verified=False, evidence=proof("accepted", lost))
    reply = await ask(sentence, *done)
    assert (reply.text, reply.failed_code) == (f"blink is not verified on virtual-1: {lost}.", "not_verified")
    assert reply.next_step == "ask again: is blink running"


async def test_a_deployment_that_differs_from_its_trial_is_told_so(ask: Ask) -> None:
    sentence = "blink pin 2"
    done = answered(
        await ask(sentence), appName="blink", verified=False, evidence=proof("counted", "no edge on pin 2 in 3 s")
    )
    reply = await ask(sentence, *done)
    assert reply.failed_code == "not_verified"
    assert "no edge on pin 2" in reply.text


async def test_a_tools_failure_is_told_in_its_own_words(ask: Ask) -> None:
    sentence = "set pin 27 on"
    done = answered(
        await ask(sentence), ok=False, error="pin_refused", message="pin 27 cannot be switched", next="pins near it: 21"
    )
    reply = await ask(sentence, *done)
    assert reply.text == "pin 27 cannot be switched"
    assert (reply.failed_code, reply.next_step) == ("pin_refused", "pins near it: 21")


@pytest.mark.parametrize(("level", "word"), [(0, "on"), (1, "off")])
async def test_toggling_reads_the_pin_and_sets_the_other_level(ask: Ask, level: int, word: str) -> None:
    read = answered(await ask("toggle pin 4"), pin=4, level=level)
    second = await ask("toggle pin 4", *read)
    assert json.loads(second.calls[0].arguments) == {"pin": 4, "level": 1 - level}
    acted = answered(second, pin=4, level=1 - level, evidence=proof("counted", "read back"))
    assert (await ask("toggle pin 4", *read, *acted)).text == f"Pin 4 of virtual-1 is {word} now (read back)."


async def test_a_reading_is_told_with_unit_and_sensor(ask: Ask) -> None:
    read = answered(await ask("what is the temperature"), sensor="bme280", values={"temperature_c": 22.46})
    reply = await ask("what is the temperature", *read)
    assert reply.text == "Temperature: 22.5 °C, read from the BME280 of virtual-1."


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("how warm is it in fahrenheit", "Temperature: 72.4 °F, read"),
        ("what is the temperature in degrees Celsius?", "Temperature: 22.5 °C, read"),
        ("what is the temperature in kelvin", "Temperature: 295.6 K, read"),
        ("what is the pressure in psi", "Pressure: 14.690 psi, read"),
    ],
)
async def test_a_reading_is_told_in_the_unit_that_is_asked(ask: Ask, said: str, text: str) -> None:
    read = answered(await ask(said), sensor="bme280", values={"temperature_c": 22.46, "pressure_hpa": 1012.84})
    assert (await ask(said, *read)).text.startswith(text)


async def test_a_unit_of_another_quantity_is_asked_about(ask: Ask) -> None:
    reply = await ask("what is the temperature in psi")
    assert (reply.calls, reply.failed_code, reply.text) == ((), "ambiguous", "Temperature is not measured in psi.")


@pytest.mark.parametrize("said", ["can pin 4 be turned on?", "can I turn on pin 4?", "could pin 4 be used as an input"])
async def test_whether_a_pin_can_be_used_is_not_its_state(ask: Ask, said: str) -> None:
    reply = await ask(said, *answered(await ask(said), apps=[]))
    assert (reply.calls, reply.text.startswith("Pin 4 is free; it can be")) == ((), True)


async def test_a_language_that_is_not_understood_is_said(ask: Ask) -> None:
    reply = await ask("enciende la luz del pin 4")
    assert (reply.calls, reply.failed_code) == ((), "not_understood")
    assert reply.text == "Without a model I understand only English; this looks like Spanish."


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
    gone = answered(second, appName=stopped, evidence=proof("reported", "no longer listed"))
    third = await ask(said, *listed, *gone)
    back = f'undo or "start {stopped}" brings it back'
    assert third.text == f"{stopped} stopped on virtual-1 (no longer listed); {back}."


@pytest.mark.parametrize("said", ["remove blink", "delete the blink app", "uninstall blink", "get rid of blink"])
async def test_who_says_remove_has_the_program_taken_off(ask: Ask, said: str) -> None:
    listed = answered(await ask(said), apps=APPS)
    second = await ask(said, *listed)
    assert (second.calls[0].name, json.loads(second.calls[0].arguments)) == ("uninstall-wasm-app", {"appName": "blink"})
    gone = answered(second, appName="blink", evidence=proof("reported", "no longer listed"))
    third = await ask(said, *listed, *gone)
    assert third.text == "blink stopped and taken off virtual-1 (no longer listed)."


async def test_what_this_host_did_not_install_cannot_be_kept(ask: Ask) -> None:
    listed = answered(await ask("stop blink"), apps=[{"name": "blink", "state": "listed", "foreign": True}])
    second = await ask("stop blink", *listed)
    assert (second.calls[0].name, json.loads(second.calls[0].arguments)) == ("uninstall-wasm-app", {"appName": "blink"})


async def test_a_program_that_is_not_there_is_not_removed(ask: Ask) -> None:
    listed = answered(await ask("stop traffic light"), apps=APPS)
    reply = await ask("stop traffic light", *listed)
    assert not reply.calls
    assert reply.failed_code == "app_not_found"
    assert "blink" in reply.text


async def test_a_program_that_the_board_lost_is_not_put_back_when_it_is_stopped(ask: Ask) -> None:
    listed = answered(await ask("stop blink"), apps=[], missing=["blink"])
    second = await ask("stop blink", *listed)
    assert json.loads(second.calls[0].arguments) == {"appName": "blink", "switch": "stop"}
    gone = answered(second, appName="blink", evidence=proof("reported", "no longer listed"))
    assert "blink stopped" in (await ask("stop blink", *listed, *gone)).text


async def test_removing_everything_includes_what_the_board_lost(ask: Ask) -> None:
    said = "stop everything"
    listed = answered(await ask(said), apps=APPS[:1], missing=["fade"])
    question = await ask(said, *listed)
    assert not question.calls
    assert f"stops {APPS[0]['name']}, fade on" in question.text


@pytest.mark.parametrize(
    ("said", "text", "next_step"),
    [
        ("blink pin 2 every 0 ms", '"every 0 ms" is no rate: with it nothing would ever change.', None),
        ("blink pin 2 every zero seconds", '"every zero seconds" is no rate: with it nothing would ever change.', None),
        ("fade pin 5 every 0 seconds", '"every 0 seconds" is too short: the shortest is 200 ms.', None),
        ("pulse pin 4 for 0 ms", '"for 0 ms" is too short: the shortest is 1 ms.', "between 1 ms and 24 h"),
        ("read the temperature every 90000 seconds", '"every 90000 seconds" is too long: the longest is 24 h.', None),
        ("blink pin 2 0 times", "times cannot be 0", "between 1 and 1000000"),
    ],
)
async def test_a_time_that_is_not_possible_is_refused_in_the_persons_words(
    ask: Ask, said: str, text: str, next_step: str | None
) -> None:
    reply = await ask(said)
    assert (reply.text, bool(reply.calls), reply.failed_code) == (text, False, "ambiguous")
    assert next_step in (None, reply.next_step)


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
    last = await ask("yes", *listed, *gone, *answered(third, appName="fade"), before=before)
    assert last.text.startswith("blink, fade stopped")


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
    assert reply.intent == "button(pin=7) -> on(pin=4)"
    assert reply.plan is not None
    assert reply.plan.startswith('"when ..." waits')


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


async def test_unknown_sentence_names_near_ones_and_how_to_add_a_model(ask: Ask) -> None:
    reply = await ask("who fades curtains in a film")
    assert reply.failed_code == "not_understood"
    assert "kinds of sentence without a model, not this one. Nearest: fade pin 5" in reply.text
    assert reply.next_step is not None
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        assert name in reply.next_step


async def test_help_lists_every_kind_with_a_sentence_that_works(ask: Ask) -> None:
    reply = await ask("what can you do")
    first, *examples = reply.text.splitlines()
    assert str(len(examples)) in first
    for example in examples:
        assert (await ask(example.strip())).failed_code != "not_understood", example


async def test_free_and_reserved_pins_are_told_from_the_profile(ask: Ask) -> None:
    assert "4, 5" in (await ask("which pins are free", *answered(await ask("which pins are free"), apps=[]))).text
    assert "reserved" in (await ask("is pin 27 free")).text
    assert (await ask("which pin is the led on")).text.endswith("is on pin 2.")


async def test_programs_of_another_host_are_removed_with_the_one_question_of_the_tool(ask: Ask) -> None:
    said = "remove all programs"
    listed = answered(await ask(said), apps=[*APPS, {"name": "other", "state": "running", "foreign": True}])
    (call,) = (await ask(said, *listed)).calls
    assert call.name == "act-on-boards"
    asked = json.loads(call.arguments)
    assert [one["arguments"]["appName"] for one in asked["each"]] == ["blink", "fade", "other"]
    done = answered(await ask(said, *listed), message="done on virtual-1")
    reply = await ask(said, *listed, *done)
    assert (reply.calls, reply.text) == ((), "Removed: blink, fade, other. Done on virtual-1.")


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
