"""Acts that wait for a yes: told with 202, decided by another client, once, and by who may."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.stories.conftest import Host, until
from tests.stories.doors import Answer, Door, blink, level, member_of, running

CALL = "/v1/devices/virtual-1/call"


@pytest.fixture(scope="module")
def owner(host: Host) -> Door:
    return member_of(host, "owner", "owner")


@pytest.fixture(scope="module")
def ada(host: Host) -> Door:
    return member_of(host, "ada")


@pytest.fixture
def driven(host: Host, owner: Door) -> Iterator[int]:
    """A pin that a program drives: setting it all the same is risky."""
    source = blink(2).replace("gpio_toggle(led)", "(void)led")
    assert owner.post("/v1/devices/virtual-1/apps", {"name": "holds", "source": source}).last["type"] == "result"
    yield 2
    assert owner.ask("DELETE", "/v1/devices/virtual-1/apps/holds").last["type"] == "result"


def ask_to_set(someone: Door, pin: int) -> Answer:
    return someone.post(CALL, {"method": "gpio.set", "arguments": {"pin": pin, "level": 1}, "force": True})


def ended(someone: Door, waiting: dict[str, Any]) -> dict[str, Any]:
    def end() -> dict[str, Any]:
        found = someone.get(f"/v1/requests/{waiting['request']}").json
        return found if found["state"] == "ended" else {}

    return until(end)


def test_a_risky_act_waits_until_another_client_says_yes(host: Host, owner: Door, ada: Door, driven: int) -> None:
    asked = ask_to_set(ada, driven)
    assert (asked.status, asked.json["state"]) == (202, "waiting")
    assert owner.get(f"/v1/requests/{asked.json['request']}").status == 404  # it is another token's
    question = asked.json["approval"]
    assert question["may_decide"] is False
    assert level(host, driven) == 0
    [waiting] = owner.get("/v1/approvals").json["approvals"]
    assert waiting["approval_id"] == question["approval_id"]
    mine = ada.post(f"/v1/approvals/{question['approval_id']}", {"approved": True})
    assert (mine.status, mine.code) == (403, "permission_refused")
    assert level(host, driven) == 0
    decided = owner.post(f"/v1/approvals/{question['approval_id']}", {"approved": True})
    assert (decided.status, decided.json["outcome"], decided.json["end"]["state"]) == (200, "approved", "done")
    assert ended(ada, asked.json)["status"] == 200
    assert level(host, driven) == 1
    second = owner.post(f"/v1/approvals/{question['approval_id']}", {"approved": False})
    assert second.status in (404, 409)


def test_a_no_ends_it_and_nothing_is_done(host: Host, owner: Door, ada: Door, driven: int) -> None:
    asked = ask_to_set(ada, driven)
    before = level(host, driven)
    decided = owner.post(f"/v1/approvals/{asked.json['approval']['approval_id']}", {"approved": False})
    assert decided.json["outcome"] == "declined"
    assert ended(ada, asked.json)["status"] == 403
    assert (level(host, driven), owner.get("/v1/approvals").json["approvals"]) == (before, [])


def test_the_owners_command_line_decides_for_a_program(host: Host, ada: Door, driven: int) -> None:
    asked = ask_to_set(ada, driven)
    [listed] = host.run("approval", "list", "--json").json["approvals"]
    assert listed["approval_id"] == asked.json["approval"]["approval_id"]
    assert host.run("approval", "decide", str(listed["approval_id"]), "yes").code == 0
    assert ended(ada, asked.json)["status"] == 200
    assert level(host, driven) == 1


def test_a_request_of_a_strangers_words_shows_the_whole_program_first(host: Host, owner: Door) -> None:
    arguments = {"sourceCode": blink(7), "appName": "foreign"}
    with_it = {"arguments": arguments, "device": "virtual-1", "foreign": True}
    seen: list[dict[str, Any]] = []

    def decide() -> bool:
        for one in owner.get("/v1/approvals").json["approvals"]:
            seen.append(owner.get(f"/v1/approvals/{one['approval_id']}").json)
            owner.post(f"/v1/approvals/{one['approval_id']}", {"approved": True, "wait_s": 0})
        return bool(seen)

    with ThreadPoolExecutor() as pool:
        streamed = pool.submit(owner.post, "/v1/tools/deploy-wasm-app", with_it)
        until(decide)
        made = streamed.result()
    assert [line["type"] for line in made.lines if line["type"].startswith("approval")] == [
        "approval",
        "approval_settled",
    ]
    program = seen[0]["program"]
    assert (program["pins"], len(program["sha256"])) == ([7], 64)
    assert (made.last["type"], running(host)) == ("result", ["foreign"])
    installed = owner.get("/v1/devices/virtual-1/apps/foreign").json
    assert installed["sha256"] == program["sha256"]
    assert owner.post("/v1/undo").last["type"] == "result"
    assert running(host) == []
