"""Sentences with times become schedules; what is scheduled is told and cancelled; unclear times are asked back."""

from __future__ import annotations

import pytest
from tests.offline.conftest import Ask, answered, called, kept

from microclaw.language.times import When, when_text
from microclaw.models.protocol import (
    DeviceContext,
    ModelRequest,
    UserText,
)
from microclaw.offline.decision import Act, Say
from microclaw.offline.dialogue import one_call
from microclaw.offline.model import OfflineModel

COFFEE = {"schedule": 1, "when": "every weekday at 7", "what": "turn on pin 4", "state": "active"}
PLANTS = {"schedule": 2, "when": "in 20 minutes", "what": "remind me to water the plants", "state": "active"}
COFFEE["next"], PLANTS["next"] = "Monday, 2026-11-23 07:00 CET", "Friday, 2026-11-20 12:20 CET"


@pytest.mark.parametrize(
    ("sentence", "when", "do"),
    [
        ("turn off pin 4 at 22:00", "at 22:00", "turn off pin 4"),
        ("in 20 minutes turn on the led", "in 20 minutes", "turn on the led"),
        ("every weekday at 7 blink pin 2", "every weekday at 07:00", "blink pin 2"),
        ("in 10 minutes turn off pin 4", "in 10 minutes", "turn off pin 4"),
        ("remind me tomorrow at 10 to water the plants", "tomorrow at 10:00", "remind me to water the plants"),
        ("turn on pin 4 at 23:30 every day", "every day at 23:30", "turn on pin 4"),
        ("tomorrow at noon read the temperature", "tomorrow at 12:00", "read the temperature"),
        ("Turn on pin 5 at 7 am", "at 07:00", "Turn on pin 5"),
        ("every evening at 7 turn on pin 5", "every day at 19:00", "turn on pin 5"),
        ("on 3 December at 14:00 turn on pin 5", "on 3 december at 14:00", "turn on pin 5"),
        ("remind me in 20 minutes to water the plants", "in 20 minutes", "remind me to water the plants"),
        ("Please remind me at 10:00 tomorrow to call Ada", "tomorrow at 10:00", "remind me to call Ada"),
        (
            "every weekday at 6:45 run the coffee relay on pin 5 for 2 minutes",
            "every weekday at 06:45",
            "run the coffee relay on pin 5 for 2 minutes",
        ),
    ],
)
async def test_a_sentence_with_a_time_becomes_a_schedule(ask: Ask, sentence: str, when: str, do: str) -> None:
    reply = await ask(sentence)
    name, arguments = called(reply)
    assert name == "schedule-add"
    assert when_text(When(**arguments["when"])) == when
    assert arguments["do"] == do


async def test_it_is_resolved_when_the_sentence_is_said_and_not_when_it_is_due(ask: Ask) -> None:
    said = "stop it in 3 seconds"
    first = await ask(said)
    assert called(first) == ("query-wasm-apps", {})
    one = answered(first, apps=[{"name": "blink", "state": "running"}])
    assert called(await ask(said, *one)) == ("schedule-add", {"when": {"delay_ms": 3000}, "do": "stop blink"})
    two = answered(first, apps=[{"name": "blink"}, {"name": "fade"}])
    assert (await ask(said, *two)).failed_code == "ambiguous"
    none = answered(first, apps=[])
    assert (await ask(said, *none)).failed_code == "app_not_found"


async def test_a_pin_said_when_it_was_asked_for_is_part_of_the_schedule(ask: Ask) -> None:
    first = await ask("turn on the pump at 22:00")
    before = (UserText("turn on the pump at 22:00"), kept(first))
    name, arguments = called(await ask("pin 4", before=before))
    assert (name, arguments) == ("schedule-add", {"when": {"clock": "22:00"}, "do": "turn on the pump on pin 4"})


@pytest.mark.parametrize(
    "sentence",
    ["read the temperature every 10 seconds", "blink pin 2 every second", "every 2 minutes toggle pin 4"],
)
async def test_what_repeats_on_the_board_is_no_schedule(ask: Ask, sentence: str) -> None:
    reply = await ask(sentence)
    assert "schedule-add" not in [call.name for call in reply.calls]


@pytest.mark.parametrize(
    "sentence",
    ["what is scheduled", "What's scheduled?", "list schedules", "show my schedules", "which schedules are there",
     "schedules", "what reminders do i have", "is anything planned"],
)  # fmt: skip
async def test_what_is_scheduled_is_told(ask: Ask, sentence: str) -> None:
    first = await ask(sentence)
    assert called(first) == ("schedule-list", {})
    reply = await ask(sentence, *answered(first, schedules=[COFFEE, PLANTS]))
    assert "turn on pin 4" in reply.text
    over = await ask(sentence, *answered(first, schedules=[{**COFFEE, "state": "over"}]))
    assert "pin 4" not in over.text


@pytest.mark.parametrize(
    ("sentence", "number"),
    [
        ("cancel the 7 o'clock schedule", None),
        ("cancel schedule 2", 2),
        ("delete schedule number 1", 1),
        ("cancel my reminder", None),
        ("please cancel the reminder to water the plants", None),
    ],
)
async def test_the_schedule_that_is_meant_is_cancelled(ask: Ask, sentence: str, number: int | None) -> None:
    first = await ask(sentence)
    assert called(first) == ("schedule-list", {})
    listed = answered(first, schedules=[COFFEE, PLANTS])
    second = await ask(sentence, *listed)
    if number is None:
        assert second.failed_code == "ambiguous"
        assert not second.calls
        return
    assert called(second) == ("schedule-remove", {"schedule": number})
    assert (await ask(sentence, *listed, *answered(second, schedule=number))).failed_code is None


async def test_the_time_of_an_alarm_is_not_when_to_stop_a_program(ask: Ask) -> None:
    assert (await ask("stop the 7 o'clock alarm")).calls == ()
    assert called(await ask("tomorrow at 7 cancel schedule 2"))[0] == "schedule-list"


async def test_stopping_a_timer_is_said_of_a_program(ask: Ask) -> None:
    assert called(await ask("stop timer"))[0] == "query-wasm-apps"
    assert called(await ask("cancel the alarm"))[0] == "schedule-list"


async def test_none_that_fits_cancels_nothing(ask: Ask) -> None:
    listed = answered(await ask("cancel schedule 9"), schedules=[COFFEE, PLANTS])
    reply = await ask("cancel schedule 9", *listed)
    assert (reply.calls, reply.failed_code) == ((), "unknown_name")


async def test_the_only_one_is_not_cancelled_by_words_that_may_be_of_another(ask: Ask) -> None:
    said = "cancel the reminder to feed the cat"
    reply = await ask(said, *answered(await ask(said), schedules=[PLANTS]))
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")


@pytest.mark.parametrize("said", ["every day at 19:00 cancel all schedules", "in 10 minutes cancel schedule 2"])
async def test_what_is_cancelled_at_a_time_is_asked_about_as_done_now(ask: Ask, said: str) -> None:
    reply = await ask(said, *answered(await ask(said), schedules=[COFFEE, PLANTS]))
    assert not reply.calls
    assert "now, not at the time that you said" in reply.text


@pytest.mark.parametrize("said", ["was schedule 8 cancelled?", "if it rains cancel schedule 8"])
async def test_no_schedule_that_nobody_named_is_suggested_to_go(ask: Ask, said: str) -> None:
    reply = await ask(said)
    assert not reply.calls
    assert "cancel schedule" not in reply.text


async def test_all_are_cancelled_only_after_a_yes(ask: Ask) -> None:
    said = "cancel all schedules"
    first = await ask(said)
    listed = answered(first, schedules=[COFFEE, PLANTS])
    question = await ask(said, *listed)
    assert question.failed_code == "confirm"
    assert not question.calls
    before = (UserText(said), kept(question))
    begin = await ask("yes", before=before)
    one = await ask("yes", *answered(begin, schedules=[COFFEE, PLANTS]), before=before)
    assert called(one) == ("schedule-remove", {"schedule": 1})


@pytest.mark.parametrize(
    ("sentence", "tool", "arguments"),
    [
        ("turn on pin 4", "gpio-set", {"pin": 4, "level": 1}),
        ("read the temperature", "i2c-read", {"sensor": "bme280"}),
        ("remind me to water the plants", "say", {"text": "Reminder: water the plants"}),
    ],
)
def test_what_one_call_does_needs_no_model_later(
    device_context: DeviceContext, sentence: str, tool: str, arguments: dict[str, object]
) -> None:
    decided = one_call(sentence, device_context)
    assert isinstance(decided, Act)
    assert (decided.tool, dict(decided.arguments)) == (tool, arguments)


@pytest.mark.parametrize("sentence", ["turn on pins 4 and 5", "blink pin 2", "toggle pin 4", "stop blink", "undo"])
def test_what_takes_several_steps_is_a_turn_later(device_context: DeviceContext, sentence: str) -> None:
    assert one_call(sentence, device_context) is None


@pytest.mark.parametrize(("sentence", "code"), [("turn on the pump", "ambiguous"), ("order a pizza", "not_understood")])
def test_what_cannot_be_done_is_told_before_it_is_kept(device_context: DeviceContext, sentence: str, code: str) -> None:
    decided = one_call(sentence, device_context)
    assert isinstance(decided, Say)
    assert decided.code == code


def test_a_schedule_is_made_without_a_better_model(device_context: DeviceContext) -> None:
    request = ModelRequest("", (UserText("turn off pin 4 at 22:00"),), (), device_context=device_context)
    assert OfflineModel().is_sure(request)
