"""Each role x the things of somebody else: files, memory, schedules, conversations. Nobody's tools reach them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.people_host import PeopleHost

from microclaw.wire.host_api import Result

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "the spare key lies under the blue pot"
OF_ADA: dict[str, dict[str, Any]] = {
    "write-file": {"path": "keys.txt", "text": SECRET},
    "remember": {"text": SECRET},
    "schedule-add": {"when": "in 2 hours", "do": "turn on pin 4"},
}


async def called(host: PeopleHost, who: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """The tool's answer, the last of its stream."""
    last = (await host.stream(who, f"/v1/tools/{tool}", {"arguments": arguments}))[-1]
    assert isinstance(last, Result), last
    return dict(last.value)


@pytest.mark.parametrize("who", ["bob", "gus", "owner"])
async def test_no_role_reaches_what_is_somebody_elses(host: PeopleHost, who: str) -> None:
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
