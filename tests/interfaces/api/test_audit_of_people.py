"""The acts of people and their programs at a real host, as the security log has them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.interfaces.api.people_host import BLINK, PeopleHost, people_host

from microclaw.errors import MicroclawError
from microclaw.host.audit.event import AuditEvent
from microclaw.host.audit.log_files import read_events

GUESS = "mc_" + "x9Y-" * 10 + "abc"
AT = "/v1/devices/virtual-1"
ORDER = {"method": "gpio.set", "arguments": {"pin": 4, "level": 1}}


def recorded(home: Path, *groups: str) -> list[AuditEvent]:
    """Of a host that has ended: all is written then."""
    return [found.event for group in groups for found in read_events(home, kinds={group})]


async def decided(host: PeopleHost, acting: asyncio.Task[tuple[int, object]], *, approved: bool) -> str:
    """The number of the question that the act asked."""
    asked = (await host.waiting())[0]["approval_id"]
    await host.socket("POST", f"/v1/approvals/{asked}", {"approved": approved})
    assert (await acting)[0] == (200 if approved else 403)
    return str(asked)


async def act(host: PeopleHost) -> tuple[str, str, str, str]:
    """Act as people do; return a program's hash, a new token, the questions of a forced act and of a removal."""
    await host.stream("ada", f"{AT}/apps", {"name": "blink", "source": BLINK})
    sha256 = (await host.socket("GET", f"{AT}/apps/blink"))["sha256"]
    assert (await host.ask("bob", "POST", f"{AT}/call", ORDER))[0] == 200
    assert (await host.ask("gus", "POST", f"{AT}/call", ORDER))[0] == 403
    forced = {"method": "gpio.set", "arguments": {"pin": 2, "level": 1}, "force": True}
    forcing = asyncio.create_task(host.ask("ada", "POST", f"{AT}/call", forced), name="forces")
    forced_by = await decided(host, forcing, approved=True)
    await host.stream("bob", "/v1/undo", {})
    await host.stream("ada", f"{AT}/apps/blink", {}, "DELETE")
    made = await host.socket("POST", "/v1/tokens", {"name": "ci", "person": "ada", "days": 1})
    for _ in range(12):
        assert (await host.ask(GUESS, "GET", "/v1/status"))[0] in (401, 429)
    for who, method, path in (
        ("ada", "GET", "/v1/tokens"),
        ("ada", "GET", "/v1/no-such/12/place/of/words"),
        ("ada", "GET", f"/v1/no-such/{GUESS}"),
        ("owner", "POST", "/v1/tokens"),
        ("owner", "DELETE", "/v1/tokens/ci"),
    ):
        assert (await host.ask(who, method, path, {"name": "heir"} if method == "POST" else None))[0] == 403
    for _ in range(6):
        with pytest.raises(MicroclawError):
            await host.socket("POST", "/v1/people/pair", {"code": "000000"})
    await asyncio.to_thread(host.client.delete, "/v1/people/bob")
    removing = asyncio.create_task(host.ask("ada", "DELETE", AT), name="removes")
    return sha256, str(made["secret"]), forced_by, await decided(host, removing, approved=False)


async def test_what_people_do_says_who_asked_which_approval_and_what_they_touched(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with people_host(home) as host:
        sha256, secret, forced_by, removal = await act(host)
        secrets = (GUESS, secret, *host.secrets.values())
    tokens = recorded(home, "token")
    assert [(event.about, event.by) for event in tokens if event.kind.value == "token.made"] == [("ci", "owner")]
    wrong = [event for event in tokens if event.kind.value in ("token.wrong", "token.locked")]
    assert {event.address for event in wrong if event.count == 1} == {"127.0.0.1"}
    counts = [sum(event.count for event in wrong if event.kind.value.endswith(end)) for end in ("wrong", "locked")]
    assert counts == [10, 2]
    assert [event.by for event in tokens if event.kind.value == "token.misused"] == ["ada"] * 3 + ["owner"] * 2
    told = [(event.kind.value, event.by, event.about) for event in recorded(home, "approval")]
    assert told[-2:] == [("approval.asked", "ada", removal), ("approval.decided", "owner", removal)]
    codes = recorded(home, "code")
    assert [event.kind.value for event in codes] == ["code.wrong"] * 5 + ["code.locked"]
    assert {event.by for event in codes} == {"owner"}
    (gone,) = recorded(home, "role")
    assert (gone.about, gone.by) == ("bob", "owner")
    events = recorded(home, "program", "call", "change")
    lines = {
        event.text.partition(":")[0]: (event.kind.value, event.about, event.by, event.approval, event.text)
        for event in events
    }
    first = f"change 1: deploy blink on virtual-1 {sha256[:12]}"
    assert lines["change 1"] == ("program.installed", "virtual-1", "ada", None, first)
    assert lines["change 2"] == ("call.acted", "virtual-1", "bob", None, "change 2: set pin 4 of virtual-1 high")
    assert lines["change 3"][:4] == ("call.acted", "virtual-1", "ada", forced_by)
    (undone,) = [event for event in events if event.kind.value == "change.undone"]
    assert (undone.by, undone.text.endswith("reverts change 2")) == ("bob", True)
    assert [(event.by, event.approval) for event in events if event.kind.value == "program.removed"] == [("ada", None)]
    assert not [event for event in events if event.by == "gus"]
    everything = b"".join(path.read_bytes() for path in (home / "audit").iterdir())
    for part in ("gpio_toggle", *secrets, *(one[-16:] for one in secrets)):
        assert part.encode() not in everything
