"""What people and their programs do at a real host, as the security log has it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.api.people_host import BLINK, PeopleHost, people_host

from microclaw.audit import AuditEvent, read_events
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
    assert [(event.about, event.text, event.by) for event in events if event.kind.value == "token.made"] == [
        ("ci", "acts as ada, for 1 day", "owner")
    ]
    wrong = [event for event in events if event.kind.value in ("token.wrong", "token.locked")]
    assert {event.address for event in wrong if event.count == 1} == {"127.0.0.1"}
    assert sum(event.count for event in events if event.kind.value == "token.wrong") == 10
    assert sum(event.count for event in events if event.kind.value == "token.locked") == 2
    misused = [(event.by, event.text) for event in events if event.kind.value == "token.misused"]
    assert misused == [
        ("ada", "ada is a member: /v1/tokens is the owner's"),
        ("ada", "ada is a member: /v1/no-such/12/place/of/words is the owner's"),
        ("ada", "ada is a member: /v1/no-such/[masked] is the owner's"),
        ("owner", "no token may do this, and no session: POST /v1/tokens"),
        ("owner", "no token may do this, and no session: DELETE /v1/tokens/ci"),
    ]
    everything = b"".join(path.read_bytes() for path in (home / "audit").iterdir())
    for secret in (GUESS, made["secret"], *host.secrets.values()):
        assert secret.encode() not in everything
        assert secret[-16:].encode() not in everything


async def test_approvals_say_who_asked_and_who_decided(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with people_host(home) as host:
        removing = asyncio.create_task(host.ask("ada", "DELETE", "/v1/devices/virtual-1"), name="ada")
        asked = (await host.waiting())[0]
        await host.socket("POST", f"/v1/approvals/{asked['approval_id']}", {"approved": False})
        assert (await removing)[0] == 403
    question, answer = recorded(home, "approval")
    assert (question.kind.value, question.by, question.about) == ("approval.asked", "ada", asked["approval_id"])
    assert (answer.kind.value, answer.by, answer.about) == ("approval.decided", "owner", asked["approval_id"])
    assert answer.text == "declined: forget, risky, asked by ada over api"


async def test_wrong_codes_and_roles(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with people_host(home) as host:
        for _ in range(6):
            await refused(host, "/v1/people/pair", {"code": "000000"})
        await asyncio.to_thread(host.client.delete, "/v1/people/bob")
    assert [event.kind.value for event in recorded(home, "code")] == ["code.wrong"] * 5 + ["code.locked"]
    assert {event.by for event in recorded(home, "code")} == {"owner"}
    (gone,) = recorded(home, "role")
    assert (gone.about, gone.text, gone.by) == ("bob", "member, removed with every token", "owner")


async def test_who_insists_is_written_down(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with people_host(home) as host:
        await asyncio.to_thread(
            lambda: list(
                host.client.stream("/v1/devices/virtual-1/apps", {"name": "blink", "source": BLINK, "force": True})
            )
        )
        order: dict[str, Any] = {"method": "gpio.set", "arguments": {"pin": 2, "level": 1}}
        await refused(host, "/v1/devices/virtual-1/call", order)
        await host.socket("POST", "/v1/devices/virtual-1/call", {**order, "force": True})
    deployed, insisted = recorded(home, "exec")
    assert (deployed.about, deployed.by) == ("virtual-1", "owner")
    assert deployed.text == "deploy blink, also if its trial fails"
    assert insisted.text.startswith("gpio.set: pin 2 is driven by blink")


async def test_every_change_of_a_devices_record_names_who_made_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with people_host(home) as host:
        at = "/v1/devices/virtual-1"
        for method, path, body in (
            ("PUT", f"{at}/firmware", {"firmware": ["nodes=-i2c"]}),
            ("PUT", f"{at}/firmware", {"firmware": ["nodes=-i2c"]}),  # nothing changes: no line
            ("PUT", f"{at}/labels", {"labels": ["kitchen"]}),
            ("PATCH", at, {"name": "lamp"}),
            ("PATCH", "/v1/devices/lamp", {"name": "lamp"}),
        ):
            status, answer = await host.ask("ada", method, path, body)
            assert status == 200, answer
        assert (await host.ask("gus", "PATCH", "/v1/devices/lamp", {"name": "mine"}))[0] == 403
        new = {"name": "desk", "board": "virtual", "transports": ["wasmachine://127.0.0.1:9"], "labels": ["a"]}
        assert (await host.ask("owner", "POST", "/v1/devices", new))[0] == 201
        more = {"transports": ["wasmachine://127.0.0.1:10"]}
        assert (await host.ask("owner", "POST", "/v1/devices/desk/transports", more))[0] == 200
        await host.socket("POST", "/v1/devices/lamp/merge", {"other": "desk"})
        await asyncio.to_thread(host.client.delete, "/v1/devices/lamp")
    lines = [(event.kind.value, event.about, event.by, event.text) for event in recorded(home, "device")]
    assert lines[0][:3] == ("device.added", "virtual-1", "this host")
    assert [line for line in lines[1:] if line[2] == "ada"] == [
        ("device.changed", "virtual-1", "ada", "firmware: nodes=-i2c, was as the board's profile says"),
        ("device.changed", "virtual-1", "ada", "labels: kitchen, was none"),
        ("device.changed", "lamp", "ada", "name: lamp, was virtual-1"),
    ]
    assert [(kind, about, text) for kind, about, by, text in lines[1:] if by == "owner"] == [
        ("device.added", "desk", "virtual, at wasmachine://127.0.0.1:9"),
        (
            "device.changed",
            "desk",
            "transports: wasmachine://127.0.0.1:9 wasmachine://127.0.0.1:10, was wasmachine://127.0.0.1:9",
        ),
        ("device.removed", "desk", "it is one with lamp now"),
        ("device.changed", "lamp", "labels: kitchen a, was kitchen"),
        ("device.changed", "lamp", lines[-2][3]),  # its transports and the other's
        ("device.removed", "lamp", "virtual"),
    ]


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
    assert numbered["change 1"][4] == f"change 1: install blink {sha256[:12]}"
    assert numbered["change 2"] == ("call.acted", "virtual-1", "bob", None, "change 2: pin 4 to 1")
    assert numbered["change 3"][:4] == ("call.acted", "virtual-1", "ada", asked["approval_id"])
    (undone,) = [line for line in lines if line[0] == "change.undone"]
    assert undone[2] == "bob"
    assert undone[4].endswith("takes back change 2")
    assert [line[2:4] for line in lines if line[0] == "program.removed"] == [("ada", None)]
    everything = b"".join(path.read_bytes() for path in (home / "audit").iterdir())
    assert b"gpio_toggle" not in everything
    assert not [event for event in events if event.by == "gus"]


async def test_a_tools_act_says_who_called_it_and_where(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with people_host(home) as host:
        order = {"arguments": {"pin": 4, "level": 1, "device": "virtual-1"}}
        await host.stream("ada", "/v1/tools/gpio-set", order)
        await host.stream("gus", "/v1/tools/gpio-get", {"arguments": {"pin": 4, "device": "virtual-1"}})
    (line,) = recorded(home, "tool")
    assert (line.kind.value, line.by, line.text) == ("tool.acted", "ada", "gpio-set in mcp: done")
    (call,) = recorded(home, "call")
    assert (call.by, call.about, call.text) == ("ada", "virtual-1", "change 1: pin 4 to 1")
