"""The acts of people and their programs at a real host, as the security log has them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.api.people_host import BLINK, PeopleHost, people_host

from microclaw.audit.event import AuditEvent
from microclaw.audit.log_files import read_events
from microclaw.errors import MicroclawError

GUESS = "mc_" + "x9Y-" * 10 + "abc"


def recorded(home: Path, group: str) -> list[AuditEvent]:
    """Of a host that has ended: all is written then."""
    return [found.event for found in read_events(home, kinds={group})]


async def refused(host: PeopleHost, path: str, body: dict[str, Any]) -> None:
    with pytest.raises(MicroclawError):
        await host.socket("POST", path, body)


async def test_tokens_made_used_wrongly_and_revoked(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with people_host(home) as host:
        made = await host.socket("POST", "/v1/tokens", {"name": "ci", "person": "ada", "days": 1})
        for _ in range(12):
            status, _ = await host.ask(GUESS, "GET", "/v1/status")
            assert status in (401, 429)
        assert (await host.ask("ada", "GET", "/v1/tokens"))[0] == 403
        assert (await host.ask("ada", "GET", "/v1/no-such/12/place/of/words"))[0] == 403
        assert (await host.ask("ada", "GET", f"/v1/no-such/{GUESS}"))[0] == 403
        assert (await host.ask("owner", "POST", "/v1/tokens", {"name": "heir"}))[0] == 403
        assert (await host.ask("owner", "DELETE", "/v1/tokens/ci"))[0] == 403
    events = recorded(home, "token")
    assert [(event.about, event.by) for event in events if event.kind.value == "token.made"] == [("ci", "owner")]
    wrong = [event for event in events if event.kind.value in ("token.wrong", "token.locked")]
    assert {event.address for event in wrong if event.count == 1} == {"127.0.0.1"}
    assert sum(event.count for event in events if event.kind.value == "token.wrong") == 10
    assert sum(event.count for event in events if event.kind.value == "token.locked") == 2
    assert [event.by for event in events if event.kind.value == "token.misused"] == ["ada"] * 3 + ["owner"] * 2
    everything = b"".join(path.read_bytes() for path in (home / "audit").iterdir())
    for secret in (GUESS, made["secret"], *host.secrets.values()):
        assert secret.encode() not in everything
        assert secret[-16:].encode() not in everything


async def test_wrong_codes_roles_and_approvals_say_who(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with people_host(home) as host:
        for _ in range(6):
            await refused(host, "/v1/people/pair", {"code": "000000"})
        await asyncio.to_thread(host.client.delete, "/v1/people/bob")
        removing = asyncio.create_task(host.ask("ada", "DELETE", "/v1/devices/virtual-1"), name="ada")
        asked = (await host.waiting())[0]
        await host.socket("POST", f"/v1/approvals/{asked['approval_id']}", {"approved": False})
        assert (await removing)[0] == 403
    question, answer = recorded(home, "approval")
    assert (question.kind.value, question.by, question.about) == ("approval.asked", "ada", asked["approval_id"])
    assert (answer.kind.value, answer.by, answer.about) == ("approval.decided", "owner", asked["approval_id"])
    assert [event.kind.value for event in recorded(home, "code")] == ["code.wrong"] * 5 + ["code.locked"]
    assert {event.by for event in recorded(home, "code")} == {"owner"}
    (gone,) = recorded(home, "role")
    assert (gone.about, gone.by) == ("bob", "owner")


async def test_acts_on_a_board_say_who_asked_which_approval_and_what_they_touched(tmp_path: Path) -> None:
    home = tmp_path / "home"
    at = "/v1/devices/virtual-1"
    async with people_host(home) as host:
        made = await host.stream("ada", f"{at}/apps", {"name": "blink", "source": BLINK})
        sha256 = (await host.socket("GET", f"{at}/apps/blink"))["sha256"]
        order = {"method": "gpio.set", "arguments": {"pin": 4, "level": 1}}
        assert (await host.ask("bob", "POST", f"{at}/call", order))[0] == 200
        assert (await host.ask("gus", "POST", f"{at}/call", order))[0] == 403
        forced = {"method": "gpio.set", "arguments": {"pin": 2, "level": 1}, "force": True}
        forcing = asyncio.create_task(host.ask("ada", "POST", f"{at}/call", forced))
        asked = (await host.waiting())[0]
        await host.socket("POST", f"/v1/approvals/{asked['approval_id']}", {"approved": True})
        assert (await forcing)[0] == 200
        await host.stream("bob", "/v1/undo", {})
        await host.stream("ada", f"{at}/apps/blink", {}, "DELETE")
    assert made
    events = [*recorded(home, "program"), *recorded(home, "call"), *recorded(home, "change")]
    lines = [(event.kind.value, event.about, event.by, event.approval, event.text) for event in events]
    numbered = {line[4].partition(":")[0]: line for line in lines}
    assert numbered["change 1"][:4] == ("program.installed", "virtual-1", "ada", None)
    assert numbered["change 1"][4] == f"change 1: deploy blink on virtual-1 {sha256[:12]}"
    assert numbered["change 2"] == ("call.acted", "virtual-1", "bob", None, "change 2: set pin 4 of virtual-1 high")
    assert numbered["change 3"][:4] == ("call.acted", "virtual-1", "ada", asked["approval_id"])
    (undone,) = [line for line in lines if line[0] == "change.undone"]
    assert undone[2] == "bob"
    assert undone[4].endswith("reverts change 2")
    assert [line[2:4] for line in lines if line[0] == "program.removed"] == [("ada", None)]
    everything = b"".join(path.read_bytes() for path in (home / "audit").iterdir())
    assert b"gpio_toggle" not in everything
    assert not [event for event in events if event.by == "gus"]
