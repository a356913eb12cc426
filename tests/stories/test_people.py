"""People: links, passwords, sessions, tokens with their scopes, and the log that shows what was changed in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.stories.conftest import Host, until_recorded
from tests.stories.doors import Answer, door, level, member_of

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
    anybody, code = door(host), code_for(host, "ada")
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
    assert anybody.post("/v1/signout", **word).status == 200
    assert anybody.ask("GET", "/v1/me", **session).status == 401


def test_a_session_ends_from_the_command_line(host: Host) -> None:
    anybody = door(host)
    opened = anybody.post("/v1/signin/code", {"code": code_for(host, "owner")})
    session = {"Cookie": cookie(opened)}
    assert anybody.ask("GET", "/v1/devices", **session).status == 200
    assert [one["id"] for one in host.run("person", "signins", "--json").json["signins"]] == [opened.json["id"]]
    assert host.run("person", "signins", "--end", opened.json["id"], "-y").code == 0
    assert anybody.ask("GET", "/v1/devices", **session).status == 401


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


def test_wrong_tokens_are_slowed_and_a_right_one_still_comes_in(host: Host) -> None:
    owner, stranger = member_of(host, "owner-2", "owner"), door(host, "mc_" + "A" * 43)
    answers = [stranger.get("/v1/devices") for _ in range(14)]
    assert {one.status for one in answers} == {401, 429}
    assert int(answers[-1].headers["retry-after"]) > 0
    assert owner.get("/v1/devices").status == 200


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
    for changed in (
        whole.replace(b'"zoe', b'"abc', 1),
        b"".join(lines[:1] + lines[2:]),
        b"".join(lines[:-1]),
    ):
        assert changed != whole
        file.write_bytes(changed)
        assert verified(host) == 1
    file.write_bytes(whole)
    assert [one for one in ("mc_", PASSWORD) if one.encode() in whole] == []
