"""The API with tokens: the whole API as far as a role goes, and one gate for every act."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from tests.api.people_host import BLINK, PeopleHost, people_host

from microclaw.app import running_host
from microclaw.config.load import load_settings
from microclaw.devices.calls import GpioGet
from microclaw.errors import ConfigError
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled
from microclaw.host_client.client import HostClient
from microclaw.wire.host_api import Failure, Result


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PeopleHost]:
    async with people_host(tmp_path_factory.mktemp("people") / "home") as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")
SET = {"method": "gpio.set", "arguments": {"pin": 4, "level": 1}}


@pytest.mark.parametrize("path", ["/v1/status", "/v1/devices", "/v1/apps", "/v1/changes", "/v1/tools", "/v1/approvals"])
@pytest.mark.parametrize("who", ["owner", "ada", "gus"])
async def test_every_role_may_look(host: PeopleHost, who: str, path: str) -> None:
    assert (await host.ask(who, "GET", path))[0] == 200


@pytest.mark.parametrize("path", ["/v1/people", "/v1/tokens", "/v1/firmware/keys", "/v1/firmware/status"])
async def test_people_and_tokens_are_the_owners(host: PeopleHost, path: str) -> None:
    assert (await host.ask("owner", "GET", path))[0] == 200
    for who in ("ada", "gus"):
        status, body = await host.ask(who, "GET", path)
        assert (status, body["error"]["code"]) == (403, "permission_refused")


async def test_a_member_makes_no_token(host: PeopleHost) -> None:
    assert (await host.ask("ada", "POST", "/v1/tokens", {"name": "mine"}))[0] == 403
    assert "mine" not in [token["name"] for token in (await host.ask("owner", "GET", "/v1/tokens"))[1]["tokens"]]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/tokens", {"name": "heir"}),
        ("POST", "/v1/backup", {}),
        ("DELETE", "/v1/tokens/ada", None),
        ("POST", "/v1/people/pair", {"code": "123456", "role": "owner"}),
        ("DELETE", "/v1/people/ada", None),
        ("POST", "/v1/sessions/import", {"folder": "/etc"}),
        ("POST", "/v1/devices/provision", {"name": "heir"}),
        ("POST", "/v1/devices/pair", {"code": "123456"}),
    ],
)
async def test_no_token_makes_what_outlives_it_or_reads_any_folder(
    host: PeopleHost, method: str, path: str, body: Any
) -> None:
    status, answer = await host.ask("owner", method, path, body)
    assert (status, answer["error"]["code"]) == (403, "permission_refused")
    assert "no token may" in answer["error"]["message"]


async def test_a_member_points_the_host_at_no_address_or_file(host: PeopleHost) -> None:
    transports = {"transports": [f"virtual:{host.settings.control_socket}"]}
    for path, body in (
        ("/v1/devices", {"name": "inner", "board": "virtual", **transports}),
        ("/v1/devices/virtual-1/transports", transports),
    ):
        status, answer = await host.ask("ada", "POST", path, body)
        assert (status, answer["error"]["code"]) == (403, "permission_refused")


@pytest.mark.parametrize("secret", ["mc_wrong", "", "owner"])
async def test_a_wrong_token_is_401_and_not_the_open_api(host: PeopleHost, secret: str) -> None:
    status, body = await host.ask(f"{secret} ", "GET", "/healthz")
    assert (status, body["error"]["code"]) == (401, "unauthorized")


async def test_without_a_token_everything_below_v1_is_401(host: PeopleHost) -> None:
    for path in ("/v1/status", "/v1/tools", "/v1/approvals", "/v1/people", "/v1/tokens", "/v1/nothing"):
        assert (await host.ask(None, "GET", path))[0] == 401


@pytest.mark.parametrize("who", ["owner", "ada"])
async def test_an_ordinary_act_of_owner_and_member_is_not_asked_for(host: PeopleHost, who: str) -> None:
    status, body = await host.ask(who, "POST", "/v1/devices/virtual-1/call", SET)
    assert (status, body["evidence"]["kind"]) == (200, "counted")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/devices/virtual-1/call", {"method": "gpio.set", "arguments": {"pin": 5, "level": 1}}),
        ("POST", "/v1/devices/virtual-1/apps", {"name": "x", "source": BLINK}),
        ("DELETE", "/v1/devices/virtual-1/apps/x", None),
        ("POST", "/v1/undo", {}),
        ("POST", "/v1/devices", {"name": "x", "board": "virtual", "transports": ["virtual:/x"]}),
        ("PATCH", "/v1/devices/virtual-1", {"name": "mine"}),
        ("DELETE", "/v1/devices/virtual-1", None),
        ("PUT", "/v1/devices/virtual-1/labels", {"labels": ["mine"]}),
        ("POST", "/v1/devices/virtual-1/revoke", None),
        ("POST", "/v1/devices/provision", {"name": "x"}),
    ],
)
async def test_a_guest_changes_nothing(host: PeopleHost, method: str, path: str, body: Any) -> None:
    status, answer = await host.ask("gus", method, path, body)
    assert (status, answer["error"]["code"]) == (403, "permission_refused")
    assert (await host.device.call(GpioGet(5))).level == 0
    assert host.device.name == "virtual-1"


async def test_a_guests_tool_call_that_acts_is_refused(host: PeopleHost) -> None:
    body = {"arguments": {"pin": 5, "level": 1}}
    (refused,) = await host.stream("gus", "/v1/tools/gpio-set", body)
    assert isinstance(refused, Result)
    assert (refused.value["ok"], refused.value["error"]) == (False, "permission_refused")
    (end,) = (e for e in await host.stream("gus", "/v1/tools/gpio-get", {"arguments": {"pin": 5}}))
    assert isinstance(end, Result)
    assert end.value["content"]["level"] == 0


async def test_a_members_risky_act_waits_for_the_owner(host: PeopleHost) -> None:
    forget = asyncio.create_task(host.ask("ada", "DELETE", "/v1/devices/virtual-1"))
    (waiting,) = await host.waiting()
    assert (waiting["action"], waiting["person"], waiting["risky"]) == ("forget the device virtual-1", "ada", True)
    assert 0 < waiting["expires_s"] <= 300
    path = f"/v1/approvals/{waiting['approval_id']}"
    for who in ("ada", "bob", "gus"):
        assert (await host.ask(who, "POST", path, {"approved": True}))[0] == 403
    assert [a["approval_id"] for a in (await host.ask("ada", "GET", "/v1/approvals"))[1]["approvals"]] == [
        waiting["approval_id"]
    ]
    assert (await host.ask("bob", "GET", "/v1/approvals"))[1]["approvals"] == []
    assert (await host.ask("owner", "POST", path, {"approved": False}))[0] == 200
    status, body = await forget
    assert (status, body["error"]["code"]) == (403, "permission_refused")
    assert host.device.name == "virtual-1"
    status, body = await host.ask("owner", "POST", path, {"approved": True})
    assert (status, body["error"]["code"]) == (404, "unknown_name")


async def test_of_two_owners_hands_on_one_question_the_second_is_told(host: PeopleHost) -> None:
    merge = asyncio.create_task(host.ask("owner", "DELETE", "/v1/devices/virtual-1"))
    (waiting,) = await host.waiting()
    path = f"/v1/approvals/{waiting['approval_id']}"
    answers = await asyncio.gather(*(host.ask("owner", "POST", path, {"approved": False}) for _ in range(2)))
    assert sorted(status for status, _ in answers) == [200, 404]
    assert (await merge)[0] == 403


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


async def test_a_yes_lets_the_program_onto_the_board(host: PeopleHost) -> None:
    body = {"arguments": {"sourceCode": BLINK, "appName": "asked"}, "foreign": True}
    deploying = asyncio.create_task(host.stream("ada", "/v1/tools/deploy-wasm-app", body))
    (waiting,) = await host.waiting()
    assert (await host.ask("ada", "POST", f"/v1/approvals/{waiting['approval_id']}", {"approved": True}))[0] == 200
    end = (await deploying)[-1]
    assert isinstance(end, Result)
    assert end.value["ok"], end.value
    assert "asked" in await host.apps()
    events = await host.stream("ada", "/v1/undo", {})
    assert isinstance(events[-1], Result), events[-1]
    assert "asked" not in await host.apps()


async def test_a_question_names_the_board_and_the_change_that_nobody_named(host: PeopleHost) -> None:
    await host.ask(
        "ada", "POST", "/v1/devices/virtual-1/call", {"method": "gpio.set", "arguments": {"pin": 7, "level": 1}}
    )
    device_id = host.device.device_id
    for tool, arguments, line in (
        ("gpio-set", {"pin": 7, "level": 0}, f"on: virtual-1, virtual ESP32-S3 ({device_id})"),
        ("undo", {}, "takes back: "),
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


async def test_a_bad_line_at_the_end_of_a_long_program_is_shown(host: PeopleHost) -> None:
    source = BLINK + "\n" * 400 + "// the very last line\n"
    body = {"arguments": {"sourceCode": source, "appName": "long"}, "foreign": True}
    call = asyncio.create_task(host.stream("ada", "/v1/tools/deploy-wasm-app", body))
    (waiting,) = await host.waiting()
    assert "// the very last line" in [line.strip() for line in waiting["detail"]]
    await host.socket("POST", f"/v1/approvals/{waiting['approval_id']}", {"approved": False})
    await call


async def test_undo_that_works_in_chat(host: PeopleHost) -> None:
    for text, level in (("set pin 6 on", 1), ("undo that", 0)):
        answer = (await host.stream("ada", "/v1/chat", {"text": text, "chat_id": "u"}))[-1]
        assert isinstance(answer, Answer)
        assert answer.error_code is None, answer
        assert (await host.device.call(GpioGet(6))).level == level


async def test_one_undo_in_chat_takes_back_both_pins_of_one_sentence(host: PeopleHost) -> None:
    await host.socket("POST", "/v1/devices/virtual-1/call", {"method": "gpio.set", "arguments": {"pin": 6, "level": 1}})
    for text, level in (("turn on pins 10 and 11", 1), ("undo that", 0)):
        answer = (await host.stream("ada", "/v1/chat", {"text": text, "chat_id": "both"}))[-1]
        assert isinstance(answer, Answer)
        assert answer.error_code is None, answer
        assert [(await host.device.call(GpioGet(pin))).level for pin in (10, 11, 6)] == [level, level, 1], answer
        assert "10" in answer.text
        assert "11" in answer.text


async def test_the_question_before_an_undo_lists_all_that_one_turn_did(host: PeopleHost) -> None:
    await host.stream("ada", "/v1/chat", {"text": "turn on pins 10 and 11", "chat_id": "asked"})
    call = asyncio.create_task(host.stream("ada", "/v1/tools/undo", {"foreign": True}))
    (waiting,) = await host.waiting()
    await host.socket("POST", f"/v1/approvals/{waiting['approval_id']}", {"approved": True})
    end = (await call)[-1]
    assert isinstance(end, Result)
    assert end.value["ok"], end.value
    shown = [line.split(" (change")[0] for line in waiting["detail"] if line.startswith("takes back: ")]
    assert shown == [f"takes back: set pin {pin} of virtual-1 high" for pin in (11, 10)]
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
    files = {path.name for path in host.settings.sessions.glob("api_*same*")}
    assert len(files) == 2


async def test_a_guest_may_chat_and_their_acts_are_refused(host: PeopleHost) -> None:
    answer = (await host.stream("gus", "/v1/chat", {"text": "set pin 5 on"}))[-1]
    assert isinstance(answer, Answer)
    assert answer.error_code == "permission_refused"
    assert (await host.device.call(GpioGet(5))).level == 0


async def test_a_wrong_decision_or_argument_is_refused(host: PeopleHost) -> None:
    assert (await host.ask("owner", "POST", "/v1/approvals/nope", {"approved": True}))[0] == 404
    assert (await host.ask("owner", "POST", "/v1/approvals/nope", {"approved": "yes"}))[0] == 422
    assert (await host.ask("owner", "POST", "/v1/tools/nope", {}))[0] == 404
    assert (await host.ask("owner", "POST", "/v1/tools/gpio-set", {"device": "nope"}))[0] == 404


async def test_tools_are_listed_as_mcp_needs_them(host: PeopleHost) -> None:
    tools = {tool["name"]: tool for tool in (await host.ask("owner", "GET", "/v1/tools"))[1]["tools"]}
    assert tools["gpio-get"]["permission"] == "read"
    assert tools["deploy-wasm-app"]["permission"] == "act"
    assert tools["gpio-set"]["effect"] == "idempotent"
    assert tools["gpio-set"]["schema"]["properties"]["pin"]["type"] == "integer"


async def test_a_request_over_the_open_limit_is_read_with_a_token(host: PeopleHost) -> None:
    status, _ = await host.ask("owner", "POST", "/v1/undo", {"device": "x" * (2 << 20)})
    assert status == 404
    status, _ = await host.ask(None, "POST", "/api/compile-wasm", {"source": "x" * (2 << 20)})
    assert status == 413


async def test_off_loopback_without_tls_is_refused_before_anything_listens(tmp_path: Path) -> None:
    from dataclasses import replace

    settings = replace(load_settings({}, home=tmp_path / "home", http_port=0), http_host="0.0.0.0")
    with pytest.raises(ConfigError, match="loopback alone"):
        async with running_host(settings):
            raise AssertionError("it listened")


async def test_what_fails_in_a_stream_ends_it_in_the_one_form(host: PeopleHost) -> None:
    end = (await host.stream("ada", "/v1/undo", {"change_id": 999_999}))[-1]
    assert isinstance(end, Failure)
    assert end.code == "unknown_name"


@pytest.mark.parametrize("known_by", ["name", "token_id"])
async def test_a_removed_token_ends_its_stream_of_events(host: PeopleHost, known_by: str) -> None:
    made = await host.socket("POST", "/v1/tokens", {"name": "watcher", "person": "gus"})
    address = urlsplit(host.http)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {made['secret']}\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(60):
        await reader.readuntil(b"retry: 2000")
        await asyncio.to_thread(HostClient(host.settings.control_socket).delete, f"/v1/tokens/{made[known_by]}")
        await reader.readuntil(b"0\r\n\r\n")
    writer.close()


async def test_no_path_of_this_machine_is_told_to_who_is_not_at_it(host: PeopleHost) -> None:
    home = str(host.settings.home)
    for path in ("/v1/memory", "/v1/skills", "/v1/skills/plant-watering"):
        status, body = await host.ask("gus", "GET", path)
        assert status == 200
        assert home not in json.dumps(body)
    assert (await host.socket("GET", "/v1/skills"))["folder"] == str(host.settings.skills)
