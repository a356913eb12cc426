"""Acts of people with a token at a real host: tools, programs, fleets, chats, undo; nobody reaches another's things."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message
from tests.interfaces.api.people_host import BLINK, PeopleHost

from microclaw.devices.registry.calls import GpioGet
from microclaw.events import Answer, Step
from microclaw.interfaces.api.custom_routes import cancel_if_client_leaves
from microclaw.wire.host_api import StreamFailure, StreamResult

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOARD = "/v1/devices/virtual-1"
OF_OWNERS = {"pid", "home", "problems", "alarms", "gateway_open", "failing", "mqtt", "model_outages"}
SECRET = "the spare key lies under the blue pot"
OF_ADA: dict[str, dict[str, Any]] = {
    "write-file": {"path": "keys.txt", "text": SECRET},
    "remember": {"text": SECRET},
    "schedule-add": {"when": "in 2 hours", "do": "turn on pin 4"},
}


async def levels(host: PeopleHost, *pins: int) -> list[int]:
    return [(await host.device.call(GpioGet(pin))).level for pin in pins]


async def called(host: PeopleHost, who: str, tool: str, session: str = "", **arguments: Any) -> dict[str, Any]:
    """The tool's answer, the last of its stream."""
    body = {"arguments": arguments, **({"session": session} if session else {})}
    last = (await host.stream(who, f"/v1/tools/{tool}", body))[-1]
    assert isinstance(last, StreamResult), last
    return dict(last.value)


async def test_others_than_owners_see_neither_what_concerns_other_people_nor_a_path_of_this_machine(
    host: PeopleHost,
) -> None:
    (_, owners), (_, members) = [await host.ask(who, "GET", "/v1/status") for who in ("owner", "ada")]
    assert {name for name in OF_OWNERS if owners[name] is None} == set()
    assert {name for name in OF_OWNERS if members[name] is not None} == set()
    abouts = [{row["about"] for row in found["screen"]} for found in (owners, members)]
    assert abouts[0] - abouts[1] >= {"telegram", "gateway"}
    assert abouts[1] <= {"host", "api", "link", "pairing", "model", "context", "deferred", "crash", "telemetry"}
    for path in ("/v1/memory", "/v1/skills", "/v1/skills/plant-watering"):
        status, body = await host.ask("gus", "GET", path)
        assert (status, str(host.settings.home) in json.dumps(body)) == (200, False)
    assert (await host.socket("GET", "/v1/skills"))["folder"] == str(host.settings.skills)


@pytest.mark.parametrize("who", ["bob", "gus", "owner"])
async def test_no_role_reaches_what_is_somebody_elses(host: PeopleHost, who: str) -> None:
    """Files, memory, schedules, conversations."""
    for tool, arguments in OF_ADA.items():
        assert (made := await called(host, "ada", tool, **arguments))["ok"], made
    await host.stream("ada", "/v1/chat", {"text": f"remember that {SECRET}", "chat_id": "c1"})
    files = await called(host, who, "list-files")
    assert not files["ok"] or files["content"]["files"] == []
    for path in ("keys.txt", ".people/keys.txt", "../keys.txt"):
        assert not (await called(host, who, "read-file", path=path))["ok"]
    for tool in ("recall", "forget"):
        assert SECRET not in str(await called(host, who, tool, text="spare key"))
    (kept,) = {number["schedule"] for number in (await host.ask("ada", "GET", "/v1/schedules"))[1]["schedules"]}
    if who != "owner":  # who sees and ends all schedules (docs/people.md)
        assert "turn on pin 4" not in str(await called(host, who, "schedule-list"))
        assert not (await called(host, who, "schedule-remove", schedule=kept))["ok"]
        assert (await host.ask(who, "GET", "/v1/sessions"))[0] == 403
    if who != "gus":
        assert (await called(host, who, "write-file", path="keys.txt", text="none"))["ok"]
    assert SECRET in str(await called(host, "ada", "read-file", path="keys.txt")), "nobody else has written it"
    assert SECRET in str(await called(host, "ada", "recall", text="spare key"))
    await called(host, "ada", "schedule-remove", schedule=kept)


async def test_chats_of_two_tokens_with_one_name_are_two_and_their_answers_are_their_own(host: PeopleHost) -> None:
    for who in ("owner", "ada"):
        told = (await host.stream(who, "/v1/chat", {"text": "what can you do", "chat_id": "same"}))[-1]
    assert len([name for name in await host.kept("api") if "same" in name]) == 2
    assert isinstance(told, Answer)
    body = {"outbound_ids": [told.outbound_id, 10_000]}
    assert (await host.ask("ada", "POST", "/v1/chat/other/delivered", body))[1] == {"delivered": []}
    await host.stream("ada", "/v1/chat", {"text": "what is running", "chat_id": "same"})
    _, left = await host.ask("ada", "GET", "/v1/chat/same/undelivered")
    assert len(left["messages"]) <= 1, "only the newest may still be being noted"


async def test_undo_leaves_what_another_client_of_the_person_did(host: PeopleHost) -> None:
    """The meaning of "undo" in a conversation, with clients of one person beside each other."""

    async def say(text: str, conversation: str) -> str:
        """A sentence in a stored conversation of an OpenAI client of ada's."""
        messages = [{"role": "user", "content": text}]
        body = {"model": "microclaw", "messages": messages, "metadata": {"conversation": conversation}}
        status, answer = await host.ask("ada", "POST", "/v1/chat/completions", body)
        assert status == 200, answer
        return str(answer["choices"][0]["message"]["content"])

    async def tool(session: str, name: str, **arguments: Any) -> dict[str, Any]:
        """A tool's result in an MCP session of ada's."""
        return dict((await called(host, "ada", name, session, **arguments))["content"])

    await say("set pin 6 on", "mine")
    await tool("one", "gpio-set", pin=4, level=1)
    await tool("two", "gpio-set", pin=5, level=1)
    for level in (0, 1):
        call = {"method": "gpio.set", "arguments": {"pin": 7, "level": level}}
        assert (await host.ask("ada", "POST", f"{BOARD}/call", call))[0] == 200
    await say("undo that", "mine")
    assert await levels(host, 4, 5, 6, 7) == [1, 1, 0, 1]
    await say("set pin 4 off", "mine")
    taken = await tool("one", "undo")
    assert (taken["error"], await levels(host, 4)) == ("undo_elsewhere", [0]), "the same pin was set elsewhere since"
    await say("undo", "mine")
    assert await levels(host, 4) == [1]
    await tool("one", "undo")
    assert await levels(host, 4, 5, 6, 7) == [0, 1, 0, 1]
    refused = await tool("one", "undo")
    assert (refused["error"], refused["next"]) == ("undo_elsewhere", f"microclaw app undo {refused['changes'][0]}")
    answer = await say("undo", "never used")
    assert "set pin 7 of" in answer
    assert await levels(host, 5, 7) == [1, 1]
    assert (await called(host, "bob", "undo"))["content"]["error"] == "unknown_name"
    answer = await say("yes", "never used")
    assert await levels(host, 5, 7) == [1, 0], answer


async def test_each_tool_call_of_a_program_is_undone_alone(host: PeopleHost) -> None:
    for pin in (10, 11):
        await called(host, "ada", "gpio-set", "one", pin=pin, level=1)
    newest, before = (await host.socket("GET", "/v1/changes?limit=2"))["changes"]
    assert newest["turn"] != before["turn"]
    end = (await host.stream("ada", "/v1/undo", {}))[-1]
    assert isinstance(end, StreamResult)
    assert [taken["undone"] for taken in end.value["taken"]] == [newest["change_id"]]
    assert await levels(host, 10, 11) == [1, 0]
    end = (await host.stream("ada", "/v1/undo", {"change_id": 999_999}))[-1]  # fails in the one form
    assert isinstance(end, StreamFailure)
    assert end.code == "unknown_name"


async def test_a_program_that_is_being_written_is_checked_and_tried_and_no_device_changes(host: PeopleHost) -> None:
    wrong = '#include "microclaw.h"\nvoid on_init(void) {\n    gpio_opn(2, GPIO_OUT);\n}\n'
    for source, place in ((wrong, (3, 5)), (BLINK.replace("gpio_open(2,", "gpio_open(26,"), (5, None)), (BLINK, None)):
        body = {"source": source, "device": "virtual-1", "language": "c"}
        status, found = await host.ask("gus", "POST", "/v1/programs/check", body)
        assert (status, found["ok"]) == (200, place is None)
        if place is not None:
            first = next(one for one in found["findings"] if one["severity"] == "error")
            assert (first["line"], place[1] is None or first["column"] == place[1]) == (place[0], True)
    tried = {"source": BLINK, "device": "virtual-1", "expect": "pin 2: period 200 ms +- 5 %", "for_ms": 2000}
    events = await host.stream("gus", "/v1/programs/try", tried)
    assert [one.stage for one in events if isinstance(one, Step)] == ["compile", "check", "try", "try"]
    assert isinstance(events[-1], StreamResult)
    made = events[-1].value
    assert (made["ok"], {edge[1] for edge in made["edges"]}) == (True, {2})
    assert made["edge_count"] >= len(made["edges"]) >= 10
    assert made["expected"][0]["trial"] == "met in the trial"
    assert made["evidence"]["kind"] == "counted"
    assert await host.apps() == []


SENDS = """#include <mqtt_client.h>
void on_init(void) {
    esp_mqtt_client_config_t config = {.broker.address.uri = "mqtt://broker.example.org"};
    esp_mqtt_client_start(esp_mqtt_client_init(&config));
}
"""


async def test_a_trial_tells_the_hosts_that_a_program_may_ask_and_what_it_asked(host: PeopleHost) -> None:
    tried = {"source": SENDS, "device": "virtual-1", "for_ms": 1000}
    end = (await host.stream("gus", "/v1/programs/try", tried))[-1]
    assert isinstance(end, StreamResult)
    assert end.value["network"] == {"hosts": ["broker.example.org:1883"], "ports": []}
    assert end.value["traffic"][0][1:3] == ["unknown", "broker.example.org:1883"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"sourceCode": "void on_init(void) { x = 1; }"}, "build_error"),
        ({"expect": "pwm 10: nonsense"}, "config_error"),
        ({"expect": "pin 2: period 5 s"}, "expectation_not_met"),
    ],
)
async def test_a_program_for_later_is_tried_when_its_schedule_is_made_and_a_wrong_one_is_not_kept(
    host: PeopleHost, changed: dict[str, str], code: str
) -> None:
    program = {"appName": "later", "sourceCode": BLINK, "device": "virtual-1", **changed}
    body = {"when": "every weekday at 7", "tool": "deploy-wasm-app", "arguments": program}
    before = (await host.ask("ada", "GET", "/v1/schedules"))[1]
    assert (await host.ask("ada", "POST", "/v1/schedules", body))[1]["error"]["code"] == code
    end = (await host.stream("ada", "/v1/tools/schedule-add", {"arguments": body}))[-1]
    assert isinstance(end, StreamResult)
    assert end.value["content"]["error"] == code
    assert (await host.ask("ada", "GET", "/v1/schedules"))[1] == before
    assert await host.apps() == []


async def test_a_schedule_says_what_was_not_tried(host: PeopleHost) -> None:
    program = {"appName": "later", "sourceCode": BLINK, "device": "virtual-1", "expect": "pin 2: period 200 ms"}
    stop = {"appName": "later", "switch": "stop", "device": "virtual-1"}
    for tool, arguments, warning in (
        ("deploy-wasm-app", program, None),
        ("switch-program", stop, "not tried: this host has no later on virtual-1 now"),
    ):
        body = {"when": "every weekday at 7", "tool": tool, "arguments": arguments}
        status, kept = await host.ask("ada", "POST", "/v1/schedules", body)
        assert (status, kept["warning"]) == (201, warning)
        assert (await host.ask("ada", "DELETE", f"/v1/schedules/{kept['schedule']}"))[0] == 200


def fleet(**more: Any) -> dict[str, Any]:
    program = {"name": "blink", "source": BLINK, "devices": ["virtual-1"], **more}
    return {"programs": [program], "devices": ["virtual-1"]}


async def test_a_fleet_forces_nothing_and_what_cannot_be_is_refused_whole(host: PeopleHost) -> None:
    for risky in ("force", "replace"):
        assert (await host.ask("owner", "POST", "/v1/fleet/apply", fleet(**{risky: True})))[0] == 422
    for body in (
        {**fleet(), "devices": []},
        {**fleet(), "programs": fleet()["programs"] * 2},
        fleet(name="-x"),
        fleet(source="int main(void) { return x; }"),
    ):
        assert isinstance((await host.stream("owner", "/v1/fleet/apply", body))[-1], StreamFailure)
    assert await host.apps() == []


async def test_a_change_between_look_and_act_is_refused(host: PeopleHost) -> None:
    (told,) = await host.stream("ada", "/v1/fleet/diff", fleet())
    assert isinstance(told, StreamResult)
    other = {"name": "blink", "source": BLINK.replace("100", "300")}
    await host.stream("owner", f"{BOARD}/apps", other)
    try:
        (end,) = await host.stream("ada", "/v1/fleet/apply", {**fleet(), "digest": told.value["digest"]})
        assert isinstance(end, StreamFailure)
        assert "every(300" in (await host.socket("GET", f"{BOARD}/apps/blink"))["source"]
    finally:
        await host.stream("owner", f"{BOARD}/apps/blink", {}, method="DELETE")


async def test_a_request_over_the_open_limit_is_read_with_a_token(host: PeopleHost) -> None:
    for who, path, body, status in (
        ("owner", "/v1/undo", {"device": "x" * (2 << 20)}, 404),
        (None, "/api/compile-wasm", {"source": "x" * (2 << 20)}, 413),
    ):
        assert (await host.ask(who, "POST", path, body))[0] == status


async def test_a_client_that_leaves_ends_its_check() -> None:
    def request(leaving: asyncio.Event) -> Request:
        async def receive() -> Message:
            await leaving.wait()
            return {"type": "http.disconnect"}

        return Request({"type": "http", "path": "/", "headers": [], "query_string": b""}, receive)

    leaving = asyncio.Event()
    begun = asyncio.Event()
    ended = asyncio.Event()

    async def work() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    async def quick() -> str:
        return "there"

    async with asyncio.timeout(60):
        asking = asyncio.create_task(cancel_if_client_leaves(request(leaving), work()), name="asking")
        await begun.wait()
        leaving.set()
        with pytest.raises(HTTPException):
            await asking
        assert ended.is_set()
    assert await cancel_if_client_leaves(request(asyncio.Event()), quick()) == "there"
