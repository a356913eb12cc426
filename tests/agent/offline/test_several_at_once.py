"""A sentence about several programs or schedules: which ones are meant, and not more rounds than a turn has."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace
from tests.agent.offline.turns import Chat, Turn, World, one

from microclaw.agent.models.protocol import DeviceContext, KnownApp
from microclaw.agent.turn.model_requests import TurnLimits
from microclaw.hardware.parts.named_parts import NamedPin

BOARD = one("virtual").context.devices[0]
SCHEDULED = [f"turn on pin {pin} at {hour}:00 every day" for hour, pin in enumerate((4, 5, 12, 5, 10), start=6)]


async def last_turn(world: World, sentences: list[str]) -> Turn:
    chat = Chat(world)
    turns = [await chat.say(sentence) for sentence in sentences]
    return turns[-1]


@pytest.fixture
def world() -> World:
    names = (NamedPin("pump", 12), NamedPin("fan", 7))
    return World(DeviceContext((BOARD,), BOARD, names))


def test_many_programs_are_removed_within_the_rounds_of_a_turn() -> None:
    apps = tuple(KnownApp(f"app-{number}") for number in range(3))
    stopped = tuple(f"app-{number}" for number in range(3, 20))
    board = replace(BOARD, apps=apps, stopped=stopped)
    turn = asyncio.run(last_turn(World(DeviceContext((board,), board)), ["delete all programs", "yes"]))
    assert len(turn.acts) == 20
    assert turn.rounds < TurnLimits().iterations
    assert turn.reply.failed_code is None


@pytest.mark.parametrize(
    ("sentences", "outcome"),
    [
        (["delete schedules 2 and 4"], "confirm"),
        (["delete schedules 2 and 4", "yes"], "schedule-remove schedule=2; schedule-remove schedule=4"),
        (["cancel schedule 1, schedule 2 and 5", "yes, cancel 1, 2, 5"], [1, 2, 5]),
        (["delete schedules 2 and 9", "yes"], "schedule-remove schedule=2"),
        (["delete schedules 8 and 9"], "unknown_name"),
        (["remove the schedule for pin 12", "yes"], "schedule-remove schedule=3"),
        (["cancel the pump schedule", "yes"], "schedule-remove schedule=3"),
        (["remove the schedule for pin 5"], "ambiguous"),
        (["remove the schedule for pin 5", "4"], "schedule-remove schedule=4"),
        (["delete all schedules for pin 5", "yes"], [2, 4]),
        (["cancel the schedule of the fan"], "unknown_name"),
        (["delete all schedules at 8"], "ambiguous"),
        (["delete all schedules", "yes"], [1, 2, 3, 4, 5]),
    ],
)
def test_schedules_are_chosen_by_numbers_pins_and_names(
    world: World, sentences: list[str], outcome: str | list[int]
) -> None:
    turn = asyncio.run(last_turn(world, [*SCHEDULED, *sentences]))
    if isinstance(outcome, list):
        outcome = "; ".join(f"schedule-remove schedule={number}" for number in outcome)
    assert turn.outcome == outcome, turn.reply.text


def test_a_question_names_only_the_schedules_of_the_pin(world: World) -> None:
    turn = asyncio.run(last_turn(world, [*SCHEDULED, "remove the schedule for pin 5"]))
    assert [choice.say for choice in turn.reply.choices] == ["cancel schedule 2", "cancel schedule 4"]
    turn = asyncio.run(last_turn(world, [*SCHEDULED, "cancel the schedule of the fan"]))
    assert turn.reply.text.startswith("No schedule names pin 7.")


def test_of_a_pin_its_program_and_all_its_schedules_are_named() -> None:
    board = replace(BOARD, apps=(KnownApp("blink", (5,)),))
    turn = asyncio.run(last_turn(World(DeviceContext((board,), board)), [*SCHEDULED, "what is on pin 5"]))
    assert "driven by blink, and named by schedules 2, 4;" in turn.reply.text
