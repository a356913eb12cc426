"""The API with tokens: the whole API as far as a role goes, and one gate for every act."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.api.people_host import BLINK, PeopleHost

from microclaw.devices.calls import GpioGet
from microclaw.events import ApprovalAsked, ApprovalSettled
from microclaw.wire.host_api import Failure, Result

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_question_is_seen_by_who_asked_and_by_owners(host: PeopleHost) -> None:
    forget = asyncio.create_task(host.ask("ada", "DELETE", "/v1/devices/virtual-1"))
    (waiting,) = await host.waiting()
    assert (waiting["action"], waiting["person"], waiting["risky"]) == ("forget the device virtual-1", "ada", True)
    for who, seen in (("ada", [waiting["approval_id"]]), ("bob", []), ("owner", [waiting["approval_id"]])):
        listed = (await host.ask(who, "GET", "/v1/approvals"))[1]["approvals"]
        assert [one["approval_id"] for one in listed] == seen
    await host.socket("POST", f"/v1/approvals/{waiting['approval_id']}", {"approved": False})
    assert (await forget)[0] == 403


async def test_a_foreign_deploy_shows_what_would_happen_and_a_no_leaves_the_board_alone(host: PeopleHost) -> None:
    body = {"arguments": {"sourceCode": BLINK, "appName": "evil"}, "foreign": True}
    deploying = asyncio.create_task(host.stream("owner", "/v1/tools/deploy-wasm-app", body))
    (waiting,) = await host.waiting()
    shown = "\n".join(waiting["detail"])
    assert waiting["action"] == "put evil on virtual-1"
    for part in ("board: virtual-1, virtual ESP32-S3", "pins: 2", "trial: 10 s of board time", "pin 2: ", "every(100"):
        assert part in shown
    path = f"/v1/approvals/{waiting['approval_id']}"
    question = await host.socket("GET", path)
    program = question["program"]
    assert question["detail"] == waiting["detail"]
    assert (program["device"], program["name"], program["pins"], program["diff"]) == ("virtual-1", "evil", [2], [])
    assert f"sha256 {program['sha256'][:12]}" in shown
    assert {pin for _, pin, _ in program["edges"]} == {2}
    assert (await host.ask("bob", "GET", path))[0] == 404, "it is not theirs"
    await host.socket("POST", path, {"approved": False})
    events = await deploying
    asked = [event for event in events if isinstance(event, ApprovalAsked)]
    assert [event.text for event in asked] == ["put evil on virtual-1"]
    assert [event.outcome for event in events if isinstance(event, ApprovalSettled)] == ["declined"]
    assert isinstance(events[-1], Result)
    assert events[-1].value["error"] == "permission_refused"
    assert "evil" not in await host.apps()


async def test_a_question_names_the_board_and_the_change_that_nobody_named(host: PeopleHost) -> None:
    await host.ask(
        "ada", "POST", "/v1/devices/virtual-1/call", {"method": "gpio.set", "arguments": {"pin": 7, "level": 1}}
    )
    device_id = host.device.device_id
    for tool, arguments, line in (
        ("gpio-set", {"pin": 7, "level": 0}, f"on: virtual-1, virtual ESP32-S3 ({device_id})"),
        ("undo", {}, "reverts: "),
    ):
        call = asyncio.create_task(host.stream("ada", f"/v1/tools/{tool}", {"arguments": arguments, "foreign": True}))
        (waiting,) = await host.waiting()
        assert any(shown.startswith(line) for shown in waiting["detail"]), waiting
        await host.socket("POST", f"/v1/approvals/{waiting['approval_id']}", {"approved": False})
        await call
    assert (await host.device.call(GpioGet(7))).level == 1


async def test_an_undo_whose_newest_change_is_another_by_now_takes_nothing_back(host: PeopleHost) -> None:
    def drive(pin: int) -> dict[str, Any]:
        return {"method": "gpio.set", "arguments": {"pin": pin, "level": 1}}

    await host.ask("ada", "POST", "/v1/devices/virtual-1/call", drive(15))
    call = asyncio.create_task(host.stream("ada", "/v1/tools/undo", {"foreign": True}))
    (waiting,) = await host.waiting()
    await host.ask("ada", "POST", "/v1/devices/virtual-1/call", drive(16))
    await host.socket("POST", f"/v1/approvals/{waiting['approval_id']}", {"approved": True})
    end = (await call)[-1]
    assert isinstance(end, Result)
    assert (end.value["ok"], end.value["error"]) == (False, "permission_refused")
    assert [(await host.device.call(GpioGet(pin))).level for pin in (15, 16)] == [1, 1]


async def test_a_program_that_was_replaced_while_somebody_was_asked_is_left_alone(host: PeopleHost) -> None:
    install = {"name": "swap", "source": BLINK}
    await host.stream("owner", "/v1/devices/virtual-1/apps", install)
    body = {"arguments": {"sourceCode": BLINK.replace("100", "50"), "appName": "swap"}, "foreign": True}
    call = asyncio.create_task(host.stream("ada", "/v1/tools/deploy-wasm-app", body))
    (waiting,) = await host.waiting()
    assert waiting["action"] == "put swap on virtual-1, in place of the swap that is there"
    await host.stream("owner", "/v1/devices/virtual-1/apps", {**install, "source": BLINK.replace("100", "200")})
    await host.socket("POST", f"/v1/approvals/{waiting['approval_id']}", {"approved": True})
    end = (await call)[-1]
    assert isinstance(end, Result)
    assert (end.value["ok"], end.value["error"]) == (False, "deploy_rejected")
    assert "every(200" in (await host.socket("GET", "/v1/devices/virtual-1/apps/swap"))["source"]
    await host.stream("owner", "/v1/devices/virtual-1/apps/swap", {}, method="DELETE")


async def test_the_question_before_an_undo_lists_all_that_one_turn_did(host: PeopleHost) -> None:
    await host.stream("ada", "/v1/chat", {"text": "turn on pins 10 and 11", "chat_id": "asked"})
    call = asyncio.create_task(host.stream("ada", "/v1/tools/undo", {"foreign": True}))
    (waiting,) = await host.waiting()
    await host.socket("POST", f"/v1/approvals/{waiting['approval_id']}", {"approved": True})
    end = (await call)[-1]
    assert isinstance(end, Result)
    assert end.value["ok"], end.value
    shown = [line.split(" (change")[0] for line in waiting["detail"] if line.startswith("reverts: ")]
    assert shown == [f"reverts: set pin {pin} of virtual-1 high" for pin in (11, 10)]
    assert [(await host.device.call(GpioGet(pin))).level for pin in (10, 11)] == [0, 0]


async def test_each_tool_call_of_a_program_is_undone_alone(host: PeopleHost) -> None:
    for pin in (8, 9):
        body = {"arguments": {"pin": pin, "level": 1}, "session": "one"}
        await host.stream("ada", "/v1/tools/gpio-set", body)
    newest, before = (await host.socket("GET", "/v1/changes?limit=2"))["changes"]
    assert newest["turn"] != before["turn"]
    end = (await host.stream("ada", "/v1/undo", {}))[-1]
    assert isinstance(end, Result)
    assert [taken["undone"] for taken in end.value["taken"]] == [end.value["undone"]] == [newest["change_id"]]
    assert [(await host.device.call(GpioGet(pin))).level for pin in (8, 9)] == [1, 0]


async def test_chats_of_two_tokens_with_one_name_are_two_chats(host: PeopleHost) -> None:
    for who in ("owner", "ada"):
        await host.stream(who, "/v1/chat", {"text": "what can you do", "chat_id": "same"})
    assert len([name for name in await host.kept("api") if "same" in name]) == 2


async def test_a_request_over_the_open_limit_is_read_with_a_token(host: PeopleHost) -> None:
    status, _ = await host.ask("owner", "POST", "/v1/undo", {"device": "x" * (2 << 20)})
    assert status == 404
    status, _ = await host.ask(None, "POST", "/api/compile-wasm", {"source": "x" * (2 << 20)})
    assert status == 413


async def test_what_fails_in_a_stream_ends_it_in_the_one_form(host: PeopleHost) -> None:
    end = (await host.stream("ada", "/v1/undo", {"change_id": 999_999}))[-1]
    assert isinstance(end, Failure)
    assert end.code == "unknown_name"


async def test_no_path_of_this_machine_is_told_to_who_is_not_at_it(host: PeopleHost) -> None:
    home = str(host.settings.home)
    for path in ("/v1/memory", "/v1/skills", "/v1/skills/plant-watering"):
        status, body = await host.ask("gus", "GET", path)
        assert status == 200
        assert home not in json.dumps(body)
    assert (await host.socket("GET", "/v1/skills"))["folder"] == str(host.settings.skills)
