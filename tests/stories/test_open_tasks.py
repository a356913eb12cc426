"""Open tasks, played by a capable model over HTTP that may use only what it was sent: each is done, or refused for a
reason that it read. A fact that is nowhere in its requests is a guess, and fails the test (capable_model.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.stories import task_policies as policies
from tests.stories.conftest import blinking
from tests.stories.open_tasks import C_BOARD, PYTHON_BOARD, House, open_house

BLINK = blinking(5)
CRASHING_C = r"""#include "microclaw.h"
static int button, presses, was = 1;
static void look(void) {
    int level = gpio_get(button);
    if (was && !level) {
        presses++;
        int left = 6 - presses;
        printf("press %d: %d\n", presses, 100 / left);
    }
    was = level;
}
void on_init(void) { button = gpio_open(16, GPIO_IN | GPIO_PULLUP); every(20, look); }
"""
CRASHING_PYTHON = """from machine import Pin
import time
button = Pin(16, Pin.IN, Pin.PULL_UP)
presses, was = 0, 1
while True:
    level = button.value()
    if was and not level:
        presses += 1
        left = 6 - presses
        print("press %d: %d" % (presses, 100 // left))
    was = level
    time.sleep_ms(20)
"""
LAMP = """from machine import Pin
import time
lamp = Pin(5, Pin.OUT)
while True:
    lamp.value(1)
    time.sleep_ms(250)
    lamp.value(0)
    time.sleep_ms(250)
"""

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
    house.press(13)
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
    house.drive(14, 1)
    await house.until(lambda: "wet" in house.logged(C_BOARD))
    house.drive(14, 0)
    await house.until(lambda: "too early" in house.logged(C_BOARD))
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


async def test_undo_that_undoes_what_this_conversation_changed(house: House) -> None:
    await house.install(C_BOARD, "blink", BLINK)
    sentence = f"Change the blink on {C_BOARD} to a heartbeat: two short pulses each second."
    await house.say(sentence, policies.made_heartbeat, chat="heart")
    assert (await house.program(C_BOARD, "blink")).source != BLINK
    await house.install(PYTHON_BOARD, "lamp", LAMP)
    answer = await house.say("undo that", policies.undo_that, chat="heart")
    assert answer.error_code is None
    assert (await house.program(C_BOARD, "blink")).source == BLINK
    assert await house.conditions(PYTHON_BOARD) == {"lamp": "running"}


@pytest.mark.parametrize(("board", "source"), [(C_BOARD, CRASHING_C), (PYTHON_BOARD, CRASHING_PYTHON)])
async def test_a_crash_is_explained_and_mended_without_a_question(house: House, board: str, source: str) -> None:
    await house.install(board, "counter", source)

    def has_crashed() -> bool:
        [app] = house.home.client.get("/v1/apps", {"device": board})["apps"]
        return bool(app["error"])

    await house.press_until(16, has_crashed, board)
    answer = await house.say(
        f"Why did counter crash on {board}? Mend it.", policies.mend_a_division, chat=f"why-{board}"
    )
    assert answer.error_code is None
    await house.press_until(16, lambda: any("press 7" in line for line in house.logged(board)), board)


async def test_an_analysis_knows_the_series_and_runs_twice_without_a_question(house: House) -> None:
    sentence = f"What was the mean of the free memory of {PYTHON_BOARD} in the last hour?"
    last = (await house.get(f"/v1/devices/{PYTHON_BOARD}/telemetry"))["last"]
    series = next(one for one in last if one["key"] == "free_heap")
    answer = await house.say(sentence, policies.analysis, chat="analysis")
    assert answer.error_code is None
    assert f"{series['value']:.1f}" in answer.text


async def test_an_installed_program_is_put_in_order_and_does_the_same(house: House) -> None:
    await house.install(PYTHON_BOARD, "lamp", LAMP, expect="pin 5: period 500 ms, duty 50 %\nsoak 0 s\n")
    sentence = f"Put the program lamp of {PYTHON_BOARD} in order: give its pause a name."
    answer = await house.say(sentence, policies.refactoring, chat="order")
    assert answer.error_code is None
    program = await house.program(PYTHON_BOARD, "lamp")
    assert "sleep_ms(PAUSE_MS)" in program.source
    assert program.proof["expected"][0]["text"] == "pin 5: period 500 ms, duty 50 %"
    assert program.proof["verified"] is True


async def test_where_the_host_publishes_is_looked_up(house: House) -> None:
    answer = await house.say(
        "Publish the state of my boards by MQTT: where do I find it?", policies.published, chat="mqtt"
    )
    topic = answer.text.partition("topic ")[2].split()[0].rstrip("/")
    assert [message for message in house.heard.heard if message.topic.startswith(topic)]


async def test_what_a_page_says_is_done_after_a_yes(house: House) -> None:
    house.page_words = "The station is open."
    sentence = f"Look at {house.page_url} and switch pin 7 of {C_BOARD} on if it says open."
    answer = await house.say(sentence, policies.watched_page, True, chat="page")
    assert answer.error_code is None
    assert house.home.level(7) == 1


async def test_a_schedule_that_would_wait_for_a_yes_says_so_when_it_is_made(house: House) -> None:
    sentence = f"Every 2 hours: look at {house.page_url}, and switch pin 7 of {C_BOARD} on if it says open"
    answer = await house.say(sentence, policies.kept_watch, chat="watch")
    assert answer.error_code is None


async def test_a_press_on_one_board_for_a_lamp_on_another_is_refused_after_looking(house: House) -> None:
    sentence = f"When the button on pin 4 of {PYTHON_BOARD} is pressed, switch the LED of {C_BOARD} on."
    answer = await house.say(sentence, policies.button_of_another_board, chat="two-boards")
    assert answer.error_code is None
    assert {action.effect for action in answer.actions} <= {"read"}
    assert [await house.conditions(board) for board in (C_BOARD, PYTHON_BOARD)] == [{}, {}]
