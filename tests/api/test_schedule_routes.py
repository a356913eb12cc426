"""Schedules and subagents with tokens: what each may see, make, run and remove; what is risky asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.people_host import PeopleHost, people_host

from microclaw.devices.calls import GpioGet


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[PeopleHost]:
    async with people_host(tmp_path / "home") as served:
        yield served


async def ended(served: PeopleHost, number: int) -> dict[str, Any]:
    """The latest run of a schedule, once it has an end."""
    async with asyncio.timeout(60):
        while True:
            found = await served.socket("GET", f"/v1/schedules/{number}")
            if found["runs"] and found["runs"][0]["state"] not in ("claimed", "started"):
                return dict(found["runs"][0])


async def test_a_schedule_acts_on_the_board_and_its_owner_hears_of_it(served: PeopleHost) -> None:
    made = await served.socket("POST", "/v1/schedules", {"when": "every weekday at 7", "do": "turn on pin 4"})
    assert (made["tool"], made["asks_model"], made["state"]) == ("gpio-set", False, "active")
    await served.socket("POST", f"/v1/schedules/{made['schedule']}/run")
    run = await ended(served, made["schedule"])
    assert (run["state"], run["result"]) == ("done", "read back on the board: pin 4 is at 1")
    assert (await served.device.call(GpioGet(4))).level == 1
    listed = await served.socket("GET", "/v1/schedules")
    assert [(one["what"], one["by"]) for one in listed["schedules"]] == [("turn on pin 4", "owner")]


async def test_a_schedule_follows_its_board_to_a_new_name_and_fails_clearly_without_it(served: PeopleHost) -> None:
    call = {"tool": "gpio-set", "arguments": {"pin": 4, "level": 1, "device": "virtual-1"}}
    made = await served.socket("POST", "/v1/schedules", {"when": "every weekday at 7", **call})
    assert (await served.ask("owner", "PATCH", "/v1/devices/virtual-1", {"name": "kitchen"}))[0] == 200
    found = await served.socket("GET", f"/v1/schedules/{made['schedule']}")
    assert (found["what"], found["device"]) == ('gpio-set {"pin": 4, "level": 1, "device": "kitchen"}', "kitchen")
    await served.socket("POST", f"/v1/schedules/{made['schedule']}/run")
    assert (await ended(served, made["schedule"]))["state"] == "done"
    assert (await served.devices.get("kitchen").call(GpioGet(4))).level == 1
    await served.devices.remove("kitchen")
    await served.socket("POST", f"/v1/schedules/{made['schedule']}/run")
    run = await ended(served, made["schedule"])
    assert run["state"] == "failed"
    assert run["result"].startswith("its device is gone from this host (virtual-1 when the schedule was made) (next: ")


async def test_a_one_off_comes_due_by_itself(served: PeopleHost) -> None:
    made = await served.socket("POST", "/v1/schedules", {"when": "in 1 second", "do": "turn on pin 5"})
    assert (await ended(served, made["schedule"]))["state"] == "done"
    assert (await served.device.call(GpioGet(5))).level == 1
    assert (await served.socket("GET", f"/v1/schedules/{made['schedule']}"))["state"] == "over"


async def test_words_that_take_a_turn_become_one(served: PeopleHost) -> None:
    made = await served.socket("POST", "/v1/schedules", {"when": "every day at 9:00", "do": "turn on pins 4 and 5"})
    assert made["asks_model"]
    await served.socket("POST", f"/v1/schedules/{made['schedule']}/run")
    run = await ended(served, made["schedule"])
    assert run["state"] == "done"
    assert not run["asked_model"]  # the offline intents were sure of it
    assert (await served.device.call(GpioGet(5))).level == 1


async def test_the_past_is_a_clear_refusal(served: PeopleHost) -> None:
    status, body = await served.ask(
        "owner", "POST", "/v1/schedules", {"when": "2020-01-01 8:00", "do": "turn on pin 4"}
    )
    assert status == 400
    assert body["error"]["code"] == "schedule_refused"
    assert "is in the past" in body["error"]["message"]


async def test_each_sees_their_own_and_the_owner_all(served: PeopleHost) -> None:
    body = {"when": "every day at 9:00", "do": "turn on pin 4"}
    status, ada = await served.ask("ada", "POST", "/v1/schedules", body)
    assert status == 201
    assert (await served.ask("bob", "GET", "/v1/schedules"))[1]["schedules"] == []
    assert (await served.ask("bob", "DELETE", f"/v1/schedules/{ada['schedule']}"))[0] == 403
    assert (await served.ask("gus", "POST", "/v1/schedules", body))[0] == 403
    assert (await served.ask("owner", "GET", "/v1/schedules"))[1]["schedules"][0]["person"] == "p-ada"
    assert (await served.ask("ada", "DELETE", f"/v1/schedules/{ada['schedule']}"))[0] == 200
    assert (await served.ask("ada", "GET", f"/v1/schedules/{ada['schedule']}"))[0] == 404


async def test_jobs_of_a_device_are_imported_on_the_command_line_alone(served: PeopleHost, tmp_path: Path) -> None:
    file = tmp_path / "cron.json"
    file.write_text('{"jobs": [{"name": "a", "kind": "every", "interval_s": 600, "message": "turn on pin 4"}]}')
    status, _ = await served.ask("owner", "POST", "/v1/schedules/import", {"file": str(file)})
    assert status == 400
    found = await served.socket("POST", "/v1/schedules/import", {"file": str(file)})
    assert found["jobs"] == [{"name": "a", "schedule": 1, "known": False, "refused": ""}]


async def test_there_are_no_subagents_until_one_is_started(served: PeopleHost) -> None:
    assert (await served.ask("ada", "GET", "/v1/subagents"))[1] == {"subagents": []}
    status, body = await served.ask("ada", "DELETE", "/v1/subagents/nobody")
    assert (status, body["error"]["code"]) == (404, "unknown_name")
