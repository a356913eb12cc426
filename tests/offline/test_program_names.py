"""Orders about a program by its name, also where that is the word of a part or of another order."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from tests.offline.conftest import Ask, answered, kept

from microclaw.boards.reader import load_board
from microclaw.models.protocol import (
    DeviceContext,
    KnownApp,
    KnownDevice,
    Message,
    ModelReply,
    UserText,
)

BOARDS = DeviceContext(
    (
        KnownDevice("virtual-1", load_board("virtual"), (KnownApp("lamp", (4,)), KnownApp("steps", (5,)))),
        KnownDevice("desk", load_board("virtual"), stopped=("btn",)),
    )
)


def listed(reply: ModelReply, *, stopped: tuple[str, ...] = ()) -> tuple[Message, ...]:
    assert reply.calls[0].name == "query-wasm-apps"
    here = next(one for one in BOARDS.devices if one.name == json.loads(reply.calls[0].arguments)["device"])
    apps = [{"name": app.name, "state": "running", "pins": list(app.pins)} for app in here.apps]
    return answered(reply, apps=apps, stopped=list(stopped))


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("restart steps on virtual-1", "steps"),
        ("restart steps", "steps"),
        ("restart lamp on virtual-1", "lamp"),
        ("please restart the lamp program", "lamp"),
    ],
)
async def test_restart_of_a_program_restarts_it(ask: Ask, said: str, name: str) -> None:
    after = listed(await ask(said, device_context=BOARDS))
    reply = await ask(said, *after, device_context=BOARDS)
    asked = json.loads(reply.calls[0].arguments)
    assert reply.calls[0].name == "switch-program"
    assert asked == {"appName": name, "switch": "restart", "device": "virtual-1"}


async def test_restart_of_what_is_no_program_is_never_an_undo(ask: Ask) -> None:
    said = "restart foo on virtual-1"
    after = listed(await ask(said, device_context=BOARDS))
    reply = await ask(said, *after, device_context=BOARDS)
    assert (reply.calls, reply.failed_code) == ((), "app_not_found")
    assert (await ask("restart steps everywhere", device_context=BOARDS)).calls == ()


async def test_stop_takes_a_program_that_is_called_like_a_part(ask: Ask) -> None:
    said = "stop lamp on virtual-1"
    after = listed(await ask(said, device_context=BOARDS))
    reply = await ask(said, *after, device_context=BOARDS)
    assert json.loads(reply.calls[0].arguments) == {"appName": "lamp", "switch": "stop", "device": "virtual-1"}


async def test_start_finds_a_stopped_program_and_its_board(ask: Ask) -> None:
    after = listed(await ask("start btn", device_context=BOARDS), stopped=("btn",))
    reply = await ask("start btn", *after, device_context=BOARDS)
    assert json.loads(reply.calls[0].arguments) == {"appName": "btn", "switch": "start", "device": "desk"}


@pytest.mark.parametrize("said", ["remove btn", "remove btn from desk", "uninstall the btn program"])
async def test_remove_takes_a_stopped_program_off(ask: Ask, said: str) -> None:
    after: tuple[Message, ...] = ()
    reply = await ask(said, device_context=BOARDS)
    while reply.calls and reply.calls[0].name == "query-wasm-apps":
        is_desk = json.loads(reply.calls[0].arguments)["device"] == "desk"
        after = (*after, *listed(reply, stopped=("btn",) if is_desk else ()))
        reply = await ask(said, *after, device_context=BOARDS)
    assert reply.calls[0].name == "uninstall-wasm-app"
    assert json.loads(reply.calls[0].arguments) == {"appName": "btn", "device": "desk"}


async def test_stop_of_a_stopped_program_says_so_and_acts_not(ask: Ask) -> None:
    after = listed(await ask("stop btn on desk", device_context=BOARDS), stopped=("btn",))
    reply = await ask("stop btn on desk", *after, device_context=BOARDS)
    assert reply.calls == ()


async def test_a_word_that_is_no_program_keeps_its_meaning(ask: Ask) -> None:
    none = DeviceContext(tuple(replace(one, apps=(), stopped=()) for one in BOARDS.devices))
    question = await ask("start blinking", device_context=none)
    before = (UserText("start blinking"), kept(question))
    assert question.failed_code == "ambiguous"
    assert (await ask("desk", device_context=none, before=before)).failed_code == "ambiguous"
    restart = await ask("restart desk", device_context=none)
    assert restart.calls[0].name == "restart-device"


@pytest.mark.parametrize(
    "said",
    [
        "run lamp every 10 minutes for 5 seconds",
        "every hour run lamp",
        "run lamp every half hour and stop it after a minute",
        "run lamp all the time",
        "run lamp for 3 minutes",
        "run steps 3 times a day",
        "run btn twice a week",
        "run nosuch every 5 minutes",
        "run nosuch for 3 minutes",
    ],
)
async def test_how_often_and_how_long_a_program_runs_is_no_sentence(ask: Ask, said: str) -> None:
    assert (await ask(said, device_context=BOARDS)).calls == ()


@pytest.mark.parametrize(
    ("said", "when", "do"),
    [
        ("run btn at 8 pm", {"clock": "20:00"}, "run btn"),
        ("every weekday at 7 run btn", {"clock": "07:00", "repeat": "weekdays"}, "run btn"),
        ("please start btn tomorrow at 7:30", {"clock": "07:30", "date": "tomorrow"}, "start btn"),
        ("start Btn on mondays and fridays at noon", {"clock": "12:00", "repeat": "monday and friday"}, "start Btn"),
        ("stop btn on desk after 30 seconds", {"delay_ms": 30_000}, "stop btn"),
        ("run btn on desk in 10 minutes", {"delay_ms": 600_000}, "run btn"),
        ("restart the btn program every day at 6", {"clock": "06:00", "repeat": "daily"}, "restart the btn program"),
    ],
)
async def test_a_program_is_run_at_a_time_of_day(ask: Ask, said: str, when: dict[str, object], do: str) -> None:
    reply = await ask(said, device_context=BOARDS)
    assert reply.calls[0].name == "schedule-add"
    assert json.loads(reply.calls[0].arguments) == {"when": when, "do": do, "device": "desk"}
    due = await ask(do, device_context=BOARDS)  # what the schedule says then
    assert due.calls[0].name == "query-wasm-apps"


@pytest.mark.parametrize(
    "said",
    [
        "run btn at 8",
        "run btn every weekday",
        "run btn at sunset",
        "run btn every 2nd tuesday at 7",
        "run btn at 8 pm except on sundays",
        "run btn between 8 and 9 pm",
        "run btn at 8 pm for 10 minutes",
        "run pump at 8 pm",
    ],
)
async def test_a_time_of_a_program_that_is_not_understood_is_told_with_an_example(ask: Ask, said: str) -> None:
    reply = await ask(said, device_context=BOARDS)
    assert reply.calls == ()
    assert reply.next_step
