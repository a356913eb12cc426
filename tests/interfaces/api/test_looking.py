"""Every act that only reads is reached by a model: through a tool, or through `look`, with the rights of its route."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.interfaces.api.people_host import BLINK, PeopleHost, people_host

from microclaw.agent.turn.look_tool import BY_TOOL, FOR_NO_MODEL, OWN_WORDS, acts_to_look_at
from microclaw.app.rooms import ROOMS
from microclaw.host.operations.operation import Access, Permission, load
from microclaw.interfaces.api.custom_routes import load_by_hand
from microclaw.wire.host_api import StreamResult

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_DECLARED_ACT = {
    "caller.me": "who the token is; the prompt says with whom a model speaks",
    "chat.list": "session.list has it",
    "chat.show": "session.show has it",
    "chat.undelivered": "a client takes its answers there",
    "compile.compilers": "the form of an older service",
    "document.read": "the description of the API",
    "event.stream": "it has no end",
    "health.read": "host.status says more",
    "install.part": "bytes of a firmware",
    "job.end": "the end of a client's own request",
    "mcp.listen": "it has no end",
    "metrics.read": "for a collector of metrics; host.status and telemetry.show say it",
    "openai.model": "the form of another service",
    "openai.models": "the form of another service",
    "task.file": "bytes of a file, which the chat gets",
    "tool.list": "a model has the list",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PeopleHost]:
    async with people_host(tmp_path_factory.mktemp("people") / "home") as running:
        yield running


async def call(host: PeopleHost, who: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """The result of a tool: `ok`, `content`, `foreign`."""
    end = (await host.stream(who, f"/v1/tools/{tool}", {"arguments": arguments}))[-1]
    assert isinstance(end, StreamResult)
    result: dict[str, Any] = end.value
    return result


async def test_every_act_that_reads_has_a_tool_or_a_reason(host: PeopleHost) -> None:
    tools = {tool["name"] for tool in (await host.socket("GET", "/v1/tools"))["tools"]}
    reads = {act.name: act for act in load() if act.permission is Permission.READ and act.http is not None}
    reached = {name for name, act in reads.items() if act.tool is not None and act.tool.name in tools}
    reached |= acts_to_look_at(ROOMS).keys() | FOR_NO_MODEL.keys()
    reached |= {name for name, tool in BY_TOOL.items() if tool in tools}
    assert reads.keys() - reached == set()
    pages = {act.name for act in load_by_hand() if act.noun in ("page", "signin")}
    by_hand = {act.name for act in load_by_hand() if act.method == "GET"} - pages
    assert by_hand == NO_DECLARED_ACT.keys()


async def test_what_an_owner_may_look_at_is_shown_and_a_guest_sees_no_more_than_by_its_route(host: PeopleHost) -> None:
    for name, act in acts_to_look_at(ROOMS).items():
        needs = {"device": "virtual-1", "name": "virtual-1", "schedule": 99, "number": 99, "crash_id": 99}
        given = {one.name: needs.get(one.name, "0" * 8) for one in act.parameters if one.name in act.in_path}
        shown = await call(host, "owner", "look", what=name, **given)
        assert shown["ok"] or shown["error"] in ("unknown_name", "not_supported", "config_error"), (name, shown)
        for_guest = await call(host, "gus", "look", what=name, **given)
        assert (for_guest["error"] == "permission_refused") == (act.least > Access.ASK), (name, for_guest)


async def test_what_strangers_may_have_written_taints_and_only_the_listed_acts_do_not(host: PeopleHost) -> None:
    assert acts_to_look_at(ROOMS).keys() >= OWN_WORDS
    for name in ("person.list", "host.status", "firmware.status", "voice.trace"):
        assert (await call(host, "owner", "look", what=name))["foreign"], name
    assert not (await call(host, "owner", "look", what="usage"))["foreign"]
    assert not (await call(host, "owner", "look", what="telemetry.show", name="virtual-1"))["foreign"]


async def test_a_name_that_is_none_is_answered_with_those_near_and_a_wrong_argument_with_the_right_ones(
    host: PeopleHost,
) -> None:
    wrong = await call(host, "owner", "look", what="crashes")
    assert "crash.list" in wrong["next"]
    moved = await call(host, "owner", "look", what="app.show")
    assert moved["next"] == "read-program"
    for given in ({"schedule": 1}, {"since": "yesterday"}):
        wrong = await call(host, "owner", "look", what="crash.list", **given)
        assert wrong["error"] == "tool_retry"
        assert "device" in wrong["next"]
    assert (await call(host, "owner", "look", what="crash.list", since="7d"))["ok"]


async def test_a_program_is_read_with_all_that_is_known_and_a_long_source_in_parts(host: PeopleHost) -> None:
    long = BLINK + "".join(f"// line {number}: {'word' * 10}\n" for number in range(200))
    expect = "pin 2: period 200 ms"
    put = await call(host, "ada", "deploy-wasm-app", sourceCode=long, appName="blink", expect=expect)
    program = (await call(host, "ada", "read-program", appName="blink"))["content"]
    assert (program["condition"], program["change"]["change_id"]) == ("running", put["content"]["change"])
    assert "seen on the board" in program["proof"]
    assert program["expected"][0].startswith(expect)
    text = program["source"]
    while "next" in program:
        first_line = int(program["next"].rpartition(" ")[2])
        program = (await call(host, "ada", "read-program", appName="blink", firstLine=first_line))["content"]
        text += "\n" + program["source"]
    assert text == long
    gone = await call(host, "ada", "uninstall-wasm-app", appName="blink")
    removal, install = (await call(host, "ada", "list-changes"))["content"]["changes"][:2]
    assert (removal["change_id"], install["change_id"]) == (gone["content"]["change"], put["content"]["change"])
    assert (removal["undoable"], install["undoable"]) == (True, False)
    await call(host, "ada", "undo", change=removal["change_id"])
    undo = (await call(host, "ada", "list-changes"))["content"]["changes"][0]
    assert (undo["undoes"], undo["undoable"]) == (removal["change_id"], True)


async def test_an_analysis_without_values_is_not_run_and_told_what_there_is(host: PeopleHost) -> None:
    answer = await call(host, "ada", "run-code", code="print(1)", telemetry=[{"device": "virtual-1"}])
    assert not answer["ok"]
    assert "telemetry" in answer["next"]
