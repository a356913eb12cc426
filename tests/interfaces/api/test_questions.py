"""Acts over HTTP that wait for a yes: what is shown, to whom, what becomes of it, and of a client that leaves."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.interfaces.api.people_host import BLINK, PeopleHost, people_host

from microclaw.devices.registry.calls import GpioGet
from microclaw.events import ApprovalAsked, ApprovalSettled
from microclaw.host.audit.log_files import read_events
from microclaw.host.config.settings import AgentSettings
from microclaw.wire.host_api import StreamResult

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOARD = "/v1/devices/virtual-1"


@pytest_asyncio.fixture(loop_scope="module")
async def level(host: PeopleHost) -> Any:
    async def read(pin: int) -> int:
        return (await host.device.call(GpioGet(pin))).level

    return read


async def decide(host: PeopleHost, question: dict[str, Any], *, approved: bool) -> None:
    await host.socket("POST", f"/v1/approvals/{question['approval_id']}", {"approved": approved})


async def set_pin(host: PeopleHost, pin: int) -> None:
    order = {"method": "gpio.set", "arguments": {"pin": pin, "level": 1}}
    assert (await host.ask("ada", "POST", f"{BOARD}/call", order))[0] == 200


async def test_a_pin_that_needs_care_asks_once_with_the_reason(host: PeopleHost, level: Any) -> None:
    order = {"method": "gpio.set", "arguments": {"pin": 45, "level": 1}}
    call = asyncio.create_task(host.ask("ada", "POST", f"{BOARD}/call", order), name="drives 45")
    [question] = await host.waiting()
    assert "pin 45 needs care (strapping pin" in str(question["detail"])
    await decide(host, question, approved=True)
    assert ((await call)[0], await level(45)) == (200, 1)
    order = {"method": "gpio.set", "arguments": {"pin": 45, "level": 0}}
    assert (await host.ask("bob", "POST", f"{BOARD}/call", order))[0] == 200


def foreign(
    host: PeopleHost, who: str, tool: str, session: str | None = None, /, **arguments: Any
) -> asyncio.Task[list[Any]]:
    """Start a call of words from outside, which asks."""
    body: dict[str, Any] = {"arguments": arguments, "foreign": True}
    if session is not None:
        body["session"] = session
    return asyncio.create_task(host.stream(who, f"/v1/tools/{tool}", body), name=tool)


async def end_of(call: asyncio.Task[list[Any]]) -> tuple[bool, str | None]:
    end = (await call)[-1]
    assert isinstance(end, StreamResult), end
    return end.value["ok"], end.value.get("error")


async def test_a_question_is_seen_by_who_asked_and_by_owners(host: PeopleHost) -> None:
    forget = asyncio.create_task(host.ask("ada", "DELETE", BOARD), name="forget")
    (waiting,) = await host.waiting()
    assert (waiting["action"], waiting["person"], waiting["risky"]) == ("forget the device virtual-1", "ada", True)
    for who, seen in (("ada", [waiting["approval_id"]]), ("bob", []), ("owner", [waiting["approval_id"]])):
        listed = (await host.ask(who, "GET", "/v1/approvals"))[1]["approvals"]
        assert [one["approval_id"] for one in listed] == seen
    await decide(host, waiting, approved=False)
    assert (await forget)[0] == 403


async def test_a_foreign_deploy_shows_what_would_happen_and_only_a_yes_does_it(host: PeopleHost) -> None:
    deploying = foreign(host, "owner", "deploy-wasm-app", sourceCode=BLINK, appName="evil")
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
    await decide(host, waiting, approved=False)
    events = await deploying
    assert [event.text for event in events if isinstance(event, ApprovalAsked)] == ["put evil on virtual-1"]
    assert [event.outcome for event in events if isinstance(event, ApprovalSettled)] == ["declined"]
    assert await end_of(deploying) == (False, "permission_refused")
    assert "evil" not in await host.apps()
    deploying = foreign(host, "owner", "deploy-wasm-app", sourceCode=BLINK, appName="evil")
    (waiting,) = await host.waiting()
    await decide(host, waiting, approved=True)
    assert await end_of(deploying) == (True, None)
    assert (await host.socket("GET", f"{BOARD}/apps/evil"))["sha256"] == program["sha256"], "it is what was shown"
    await host.stream("owner", f"{BOARD}/apps/evil", {}, method="DELETE")


async def test_a_question_names_the_board_and_the_change_that_nobody_named(host: PeopleHost, level: Any) -> None:
    await set_pin(host, 7)
    on = f"on: virtual-1, virtual ESP32-S3 ({host.device.device_id})"
    for tool, arguments, line in (("gpio-set", {"pin": 7, "level": 0}, on), ("undo", {}, "reverts: ")):
        call = foreign(host, "ada", tool, **arguments)
        (waiting,) = await host.waiting()
        assert any(shown.startswith(line) for shown in waiting["detail"]), waiting
        await decide(host, waiting, approved=False)
        await call
    assert await level(7) == 1


async def test_what_is_another_by_the_time_of_the_yes_is_left_alone(host: PeopleHost, level: Any) -> None:
    await set_pin(host, 15)
    call = foreign(host, "ada", "undo")
    (waiting,) = await host.waiting()
    await set_pin(host, 16)  # the newest change by now
    await decide(host, waiting, approved=True)
    assert await end_of(call) == (False, "permission_refused")
    assert [await level(pin) for pin in (15, 16)] == [1, 1]

    install = {"name": "swap", "source": BLINK}
    await host.stream("owner", f"{BOARD}/apps", install)
    call = foreign(host, "ada", "deploy-wasm-app", sourceCode=BLINK.replace("100", "50"), appName="swap")
    (waiting,) = await host.waiting()
    assert waiting["action"] == "put swap on virtual-1, in place of the swap that is there"
    await host.stream("owner", f"{BOARD}/apps", {**install, "source": BLINK.replace("100", "200")})
    await decide(host, waiting, approved=True)
    assert await end_of(call) == (False, "deploy_rejected")
    assert "every(200" in (await host.socket("GET", f"{BOARD}/apps/swap"))["source"]
    await host.stream("owner", f"{BOARD}/apps/swap", {}, method="DELETE")


async def test_the_question_before_an_undo_lists_all_that_one_turn_did(host: PeopleHost, level: Any) -> None:
    await host.stream("ada", "/v1/chat", {"text": "turn on pins 10 and 11", "chat_id": "asked"})
    call = foreign(host, "ada", "undo", "asked")
    (waiting,) = await host.waiting()
    await decide(host, waiting, approved=True)
    assert await end_of(call) == (True, None)
    shown = [line.split(" (change")[0] for line in waiting["detail"] if line.startswith("reverts: ")]
    assert shown == [f"reverts: set pin {pin} of virtual-1 high" for pin in (11, 10)]
    assert [await level(pin) for pin in (10, 11)] == [0, 0]


NOT_THERE: list[tuple[str, dict[str, object]]] = [
    ("uninstall-wasm-app", {"appName": "nobody"}),
    ("uninstall-wasm-app", {"appName": "nobody", "device": "nowhere"}),
    ("undo", {"change": 999_999}),
    ("gpio-set", {"pin": 200, "level": 1}),
    ("pwm-set", {"pin": 200, "duty": 1}),
    ("deploy-wasm-app", {"sourceCode": "no C", "appName": "x"}),
    ("schedule-add", {"when": "2001-01-01 10:00", "do": "turn on pin 4"}),
    ("schedule-add", {"when": "in 2 hours", "tool": "nothing", "arguments": {}}),
    ("schedule-remove", {"schedule": 99}),
    ("remember", {"text": "x", "device": "nowhere"}),
    ("remember", {"text": "  "}),
    ("say", {"text": "x", "person": "nobody"}),
    ("say", {"text": "x", "person": "bob"}),
]


async def test_nobody_is_asked_for_what_is_refused_anyway(host: PeopleHost) -> None:
    for tool, arguments in NOT_THERE:
        events = await foreign(host, "ada", tool, **arguments)
        assert not [event for event in events if isinstance(event, ApprovalAsked)], tool
        assert (isinstance(events[-1], StreamResult), events[-1].value["ok"]) == (True, False), tool
    rollout = {"version": "9.9.9", "devices": ["virtual-1"]}
    for method, path, body in (
        ("DELETE", "/v1/firmware/keys/zz-none", None),
        ("POST", "/v1/rollouts", rollout),
        ("DELETE", "/v1/devices/zz-none", None),
    ):
        status, told = await host.ask("owner", method, path, body, waits=False)
        assert (status, told["error"]["code"]) == (404, "unknown_name"), path
    assert (await host.socket("GET", "/v1/approvals"))["approvals"] == []


@pytest.mark.parametrize(
    ("awaits", "state", "installed"), [("HTTP/1.1 200", "dropped", False), ('"stage":"deploy"', "done", True)]
)
async def test_a_client_that_leaves_ends_its_call_before_the_effect_and_not_in_it(
    host: PeopleHost, awaits: str, state: str, installed: bool
) -> None:
    """A call that has changed nothing ends, one that has begun is finished; both are in the journal."""
    app = f"left{installed:d}"
    body = {"arguments": {"sourceCode": f"{BLINK}// {app}", "appName": app}}
    reader, writer = await host.begun("owner", "/v1/tools/deploy-wasm-app", json.dumps(body).encode())
    async with asyncio.timeout(60):
        while awaits.encode() not in (line := await reader.readline()):
            assert line
        writer.close()
        await writer.wait_closed()
        query = "SELECT state FROM effects WHERE arguments LIKE ? AND state NOT IN ('planned', 'started')"
        with closing(sqlite3.connect(f"file:{host.settings.database}?mode=ro", uri=True)) as database:
            while not (rows := database.execute(query, (f'%"appName": "{app}"%',)).fetchall()):
                await host.waiting(0)  # the host goes on meanwhile
    assert ([found for (found,) in rows], app in await host.apps()) == ([state], installed)
    if installed:
        await host.stream("owner", f"{BOARD}/apps/{app}", {}, method="DELETE")


@pytest_asyncio.fixture(loop_scope="module")
async def own_host(tmp_path: Path) -> AsyncIterator[PeopleHost]:
    """Of one test, which asks for every act."""
    async with people_host(tmp_path / "home", agent=AgentSettings(approvals="always")) as running:
        yield running


async def test_who_says_yes_is_told_what_came_of_the_act_then(own_host: PeopleHost) -> None:
    host = own_host
    ids = []
    tool = foreign(host, "ada", "gpio-set", pin=5, level=1, device="virtual-1")
    (setting,) = await host.waiting()
    for _ in range(2):
        _, told = await host.ask("ada", "DELETE", BOARD, waits=False)
        ids.append(told["approval"]["approval_id"])
    place = f"/v1/approvals/{ids[1]}"
    assert (await host.ask("ada", "GET", place))[1]["outcome"] is None
    first = await host.ask("owner", "POST", f"/v1/approvals/{ids[0]}", {"approved": True})
    assert first[1]["end"] == {"state": "done"}
    status, told = await host.ask("owner", "POST", place, {"approved": True, "wait_s": 60})
    assert (status, told["outcome"]) == (200, "approved")
    assert (told["end"]["state"], told["end"]["code"]) == ("failed", "unknown_name")
    for somebody in ("owner", "ada"):
        assert (await host.ask(somebody, "GET", place))[1]["end"] == told["end"]
    assert (await host.ask("bob", "GET", place))[0] == 404
    decision = {"approved": True, "wait_s": 60}
    _, told = await host.ask("owner", "POST", f"/v1/approvals/{setting['approval_id']}", decision)
    assert (told["end"]["state"], "virtual-1" in told["end"]["why"]) == ("failed", True)
    await tool


async def test_a_question_goes_with_the_connection_that_waits_for_it_and_a_stop_answers_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with people_host(tmp_path / "home", agent=AgentSettings(approvals="always")) as host:
        _, told = await host.ask("ada", "DELETE", BOARD, waits=False)  # its client was answered and may go
        call = {"method": "gpio.set", "arguments": {"pin": 5, "level": 1}}
        tool = {"arguments": {"pin": 5, "level": 1, "device": "virtual-1"}}
        stop = f"{BOARD}/apps/blink/stop"  # a job, which goes on without its reader: its question does not
        for path, body in ((f"{BOARD}/call", call), (stop, None), ("/v1/tools/gpio-set", tool)):
            if body is None:
                content = b""
            else:
                content = json.dumps(body).encode()
            _, connection = await host.begun("ada", path, content, None, "Prefer: wait=60")
            assert len(await host.waiting(2)) == 2
            connection.transport.abort()
            async with asyncio.timeout(60):
                while len(left := await host.waiting()) > 1:
                    pass
            assert [one["approval_id"] for one in left] == [told["approval"]["approval_id"]]
        read = await host.socket("POST", f"{BOARD}/call", {"method": "gpio.get", "arguments": {"pin": 5}})
        assert read["result"] == {"pin": 5, "level": 0}
        waiting = asyncio.create_task(host.ask("ada", "POST", f"{BOARD}/call", call), name="waits")
        stream = asyncio.create_task(host.stream("ada", "/v1/tools/gpio-set", tool), name="streams")
        await host.waiting(3)
    assert (await waiting)[0] == 403
    await stream
    lines = [read.event.text for read in read_events(tmp_path / "home", kinds={"approval.decided"})]
    assert not [line for line in lines if line.startswith("approved")]
    faults = [one.getMessage() for one in caplog.records if one.exc_info or one.levelno >= logging.ERROR]
    assert faults == []
