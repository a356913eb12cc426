"""Open tasks, played by a capable model over HTTP that may use only what it was sent: each is done, or refused for a
reason that it read. A fact that is nowhere in its requests is a guess, and fails the test (capable_model.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.stories import task_policies as policies
from tests.stories.open_tasks import C_BOARD, PYTHON_BOARD, House, open_house

from microclaw.wire import board_control as control

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest_asyncio.fixture(loop_scope="module")
async def house(one_house: House) -> AsyncIterator[House]:
    """The house without programs; `chat` of each test is its own."""
    yield one_house
    await one_house.clear()


async def test_a_traffic_light_answers_its_button(house: House) -> None:
    sentence = (
        f"On {C_BOARD}: a traffic light with red on pin 10, yellow on 11 and green on 12, and a button on pin 13 to "
        "ground. It is green; after a press it is yellow for 200 ms, red for 300 ms, and green again."
    )
    answer = await house.say(sentence, policies.traffic_light, chat="light")
    assert answer.error_code is None
    before = len(house.edges(10, 11, 12))
    house.drive(13, 0, for_ms=100)
    await house.until(lambda: len(house.edges(10, 11, 12)) >= before + 6)
    after_press = house.edges(10, 11, 12)[before:]
    assert after_press == [(12, 0), (11, 1), (11, 0), (10, 1), (10, 0), (12, 1)]


async def test_a_pump_runs_once_an_hour(house: House) -> None:
    sentence = (
        f"On {C_BOARD}: a soil sensor on pin 14 reads 0 when the soil is dry, and the pump is on pin 15. When it gets "
        "dry, run the pump for 300 ms, once an hour at most."
    )
    answer = await house.say(sentence, policies.pump, chat="pump")
    assert answer.error_code is None
    house.drive(14, 0)
    await house.until(lambda: house.edges(15)[-2:] == [(15, 1), (15, 0)])
    house.drive(14, 1, for_ms=200)
    await house.until(lambda: any(row.text == "too early" for row in house.home.ask(control.Log()).rows))
    assert [level for _, level in house.edges(15)].count(1) == 1


async def test_what_is_connected_is_looked_up(house: House) -> None:
    answer = await house.say("What is connected?", policies.connected, chat="connected")
    assert answer.error_code is None
    for name in (C_BOARD, PYTHON_BOARD, "0x76"):
        assert name in answer.text
    assert {action.effect for action in answer.actions} == {"read"}


async def test_every_weekday_at_7_is_kept_as_a_schedule(house: House) -> None:
    sentence = f"Switch pin 6 of {C_BOARD} on every weekday at 7."
    await house.say(sentence, policies.weekdays, chat="weekdays")
    [schedule] = (await house.get("/v1/schedules"))["schedules"]
    assert (schedule["kind"], schedule["device"], schedule["state"]) == ("cron", C_BOARD, "active")


async def test_what_a_person_said_once_is_known_in_the_next_conversation(house: House) -> None:
    await house.say(f"Remember: the fish tank light is pin 17 of {C_BOARD}", policies.remember, chat="today")
    answer = await house.say("switch the fish tank light on", policies.switch_by_name, chat="tomorrow")
    assert answer.error_code is None
    assert house.home.level(17) == 1
