"""People: links, passwords, sessions, tokens with their scopes, acts that wait for a yes, and the security log."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.stories.conftest import Answer, Host, blinking, door, level, member_of, until, until_recorded

SETTING = {"method": "gpio.set", "arguments": {"pin": 5, "level": 1}}
CALL = "/v1/devices/virtual-1/call"
PASSWORD = "correct-horse-battery-staple"


def code_for(host: Host, person: str) -> str:
    return str(host.client.post("/v1/signin/links", {"person": person})["path"]).partition("#")[2]


def cookie(opened: Answer) -> str:
    kept = opened.headers["set-cookie"]
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in kept.split(";")}
    return kept.partition(";")[0]


def test_a_link_signs_in_once_and_the_session_ends_with_its_end(host: Host) -> None:
    assert host.run("person", "add", "ada", "--role", "member").code == 0
    anybody = door(host)
    code = code_for(host, "ada")
    opened = anybody.post("/v1/signin/code", {"code": code})
    assert (opened.status, opened.json["name"], opened.json["role"]) == (200, "ada", "member")
    assert anybody.post("/v1/signin/code", {"code": code}).status == 401
    session = {"Cookie": cookie(opened)}
    assert anybody.ask("GET", "/v1/me", **session).json["by"] == "session"
    word = {**session, "Microclaw_CSRF": opened.json["csrf"]}
    assert anybody.post(CALL, SETTING, **session).status == 403
    assert anybody.post(CALL, SETTING, **{**word, "Origin": "http://evil.example"}).status == 403
    assert level(host, 5) == 0
    assert anybody.post(CALL, SETTING, **word).status == 200
    assert level(host, 5) == 1
    assert opened.json["id"] in [one["id"] for one in host.run("person", "signins", "--json").json["signins"]]
    assert anybody.post("/v1/signout", **word).status == 200
    assert anybody.ask("GET", "/v1/me", **session).status == 401


def test_a_password_signs_in_and_a_new_one_ends_every_session(host: Host) -> None:
    assert host.run("person", "add", "bob", "--role", "guest").code == 0
    assert host.run("person", "password", "bob", stdin="short\n").code != 0
    assert host.run("person", "password", "bob", stdin=PASSWORD + "\n").code == 0
    anybody = door(host)
    assert anybody.post("/v1/signin/password", {"name": "bob", "password": PASSWORD + "x"}).status == 401
    assert anybody.post("/v1/signin/password", {"name": "nobody", "password": PASSWORD}).status == 401
    opened = anybody.post("/v1/signin/password", {"name": "bob", "password": PASSWORD})
    assert (opened.status, opened.json["role"]) == (200, "guest")
    assert host.run("person", "password", "bob", stdin=PASSWORD[::-1] + "\n").code == 0
    assert anybody.ask("GET", "/v1/me", Cookie=cookie(opened)).status == 401


@pytest.mark.parametrize(
    ("scope", "statuses"),
    [("read", (200, 403, 403, 403)), ("chat", (200, 200, 403, 403)), ("act", (200, 200, 200, 403))],
)
def test_a_token_may_no_more_than_its_scope(host: Host, scope: str, statuses: tuple[int, ...]) -> None:
    """To look, to ask, to act, to own: the owner's token, made smaller on the command line."""
    made = host.run("person", "tokens", "--add", f"wall-{scope}", "--scope", scope, "--json")
    assert (made.code, made.json["scope"]) == (0, scope)
    it = door(host, made.json["secret"])
    asked = (
        it.get("/v1/devices").status,
        it.post(CALL, {"method": "gpio.get", "arguments": {"pin": 5}}).status,
        it.post(CALL, {"method": "gpio.set", "arguments": {"pin": 6, "level": 1}}).status,
        it.get("/v1/tokens").status,
    )
    assert asked == statuses
    assert level(host, 6) == (1 if scope == "act" else 0)


def test_a_removed_token_and_a_removed_person_open_nothing(host: Host) -> None:
    eve = member_of(host, "eve")
    assert eve.get("/v1/devices").status == 200
    assert host.run("person", "role", "eve", "read-only").code == 0
    assert eve.post(CALL, SETTING).status == 403
    assert host.run("person", "rm", "eve", "-y").code == 0
    assert eve.get("/v1/devices").status == 401
    made = host.run("person", "tokens", "--add", "laptop", "--json").json["secret"]
    assert door(host, made).get("/v1/devices").status == 200
    assert host.run("person", "tokens", "--rm", "laptop", "-y").code == 0
    assert door(host, made).get("/v1/devices").status == 401


def verified(host: Host, *words: str) -> int:
    return host.run("person", "log", "--verify", *words).code


def test_the_security_log_shows_a_changed_a_removed_and_a_cut_line(host: Host) -> None:
    member_of(host, "zoe")
    assert host.run("person", "role", "zoe", "read-only").code == 0
    assert host.run("person", "tokens", "--rm", "of-zoe", "-y").code == 0
    code_for(host, "zoe")
    until_recorded(host, "role.changed", "token.made", "token.revoked", "signin.link")
    heads = [
        line.split()[1] for line in host.run("person", "log", "--verify").out.splitlines() if line.startswith("  head ")
    ]
    assert "acts" in [one.partition(":")[0] for one in heads]
    assert verified(host, *(word for one in heads for word in ("--head", one))) == 0
    file: Path = host.home / "audit" / "acts.jsonl"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    for changed in (whole.replace(b'"zoe', b'"abc', 1), b"".join(lines[:1] + lines[2:]), b"".join(lines[:-1])):
        assert changed != whole
        file.write_bytes(changed)
        assert verified(host) == 1
    file.write_bytes(whole)
    assert [one for one in ("mc_", PASSWORD) if one.encode() in whole] == []


def test_a_risky_act_waits_for_another_client_and_is_decided_once(host: Host) -> None:
    """A pin that a program drives: setting it all the same is risky. A no, then a yes over HTTP, then a typed one."""
    owner = member_of(host, "owner", "owner")
    amy = member_of(host, "amy")
    source = blinking(2).replace("gpio_toggle(led)", "(void)led")
    assert owner.post("/v1/devices/virtual-1/apps", {"name": "holds", "source": source}).last["type"] == "result"
    for to, approved, typed in ((1, False, False), (1, True, False), (0, True, True)):
        order = {"method": "gpio.set", "arguments": {"pin": 2, "level": to}, "force": True}
        asked = amy.post("/v1/devices/virtual-1/call", order)
        assert (asked.status, asked.json["state"]) == (202, "waiting")
        place = f"/v1/requests/{asked.json['request']}"
        number = asked.json["approval"]["approval_id"]
        assert owner.get(place).status == 404  # it is another token's
        assert asked.json["approval"]["may_decide"] is False
        [waiting] = owner.get("/v1/approvals").json["approvals"]
        assert waiting["approval_id"] == number
        mine = amy.post(f"/v1/approvals/{number}", {"approved": True})
        assert (mine.status, mine.code) == (403, "permission_refused")
        before = level(host, 2)
        if typed:
            assert [one["approval_id"] for one in host.run("approval", "list", "--json").json["approvals"]] == [number]
            assert host.run("approval", "decide", str(number), "yes").code == 0
        else:
            decided = owner.post(f"/v1/approvals/{number}", {"approved": approved}).json
            assert decided["outcome"] == ("approved" if approved else "declined")
            assert not approved or decided["end"]["state"] == "done"
        until(lambda place=place: amy.get(place).json["state"] == "ended")  # type: ignore[misc]
        assert amy.get(place).json["status"] == (200 if approved else 403)
        assert level(host, 2) == (to if approved else before)
        assert owner.post(f"/v1/approvals/{number}", {"approved": not approved}).status in (404, 409)
        assert owner.get("/v1/approvals").json["approvals"] == []
