"""--host with the tokens of several people: each gets what the person may, and no more."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.api.people_host import BLINK, PeopleHost, people_host
from tests.cli.conftest import Ran
from tests.cli.test_remote_host import lines, run_at

from microclaw.config.settings import AgentSettings


async def tell(host: PeopleHost, who: str, home: Path, *words: str) -> Ran:
    variables = {"MICROCLAW_HOST": host.http, "MICROCLAW_TOKEN": host.secrets[who]}
    return await asyncio.to_thread(run_at, home, variables, *words)


async def test_each_gets_what_their_role_may(tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    async with people_host(tmp_path / "home") as host:
        shown = await tell(host, "ada", home, "status")
        assert shown.code == 0, shown.err
        assert "virtual-1" in shown.out
        assert "pid" not in shown.out
        assert (await tell(host, "ada", home, "exec", "virtual-1", "gpio.set", "4", "1")).code == 0
        for who, words, said in (
            ("ada", ("token", "list"), "ada is a member: this (tokens) is the owner's"),
            ("ada", ("device", "add", "shelf", "--board", "virtual", "--wasmachine", "127.0.0.1:9"), "the owner's"),
            ("gus", ("exec", "virtual-1", "gpio.set", "4", "0"), "gus is a guest and may not act"),
        ):
            ran = await tell(host, who, home, *words)
            assert ran.code == 1
            assert said in lines(ran)[0]
            assert lines(ran)[1] == "next: ask the owner of this host"
        assert (await tell(host, "gus", home, "device", "list")).code == 0
        for who in ("gus", "ada"):
            checked = await tell(host, who, home, "doctor")
            assert checked.code in (0, 1)
            assert "the owner's" not in checked.out + checked.err


async def test_a_members_yes_to_the_risky_does_not_count_and_an_owners_does(tmp_path: Path) -> None:
    async with people_host(tmp_path / "home") as host:
        removing = asyncio.create_task(
            tell(host, "ada", tmp_path / "elsewhere", "--yes", "device", "remove", "virtual-1"), name="ada"
        )
        asked = (await host.waiting())[0]
        assert (asked["person"], asked["action"]) == ("ada", "forget the device virtual-1")
        assert asked["request"] is None  # a number is told to its own token alone
        await host.socket("POST", f"/v1/approvals/{asked['approval_id']}", {"approved": True})
        ran = await asyncio.wait_for(removing, 30)
        assert ran.code == 0, ran.err
        assert "virtual-1 is forgotten" in ran.out
        listed = await host.socket("GET", "/v1/devices")
        assert listed["devices"] == []


async def test_what_a_stream_asks_is_asked_here(tmp_path: Path) -> None:
    home, program = tmp_path / "elsewhere", tmp_path / "blink.c"
    program.write_text(BLINK)
    async with people_host(tmp_path / "home", agent=AgentSettings(approvals="always")) as host:
        made = await tell(host, "ada", home, "--yes", "run", str(program), "-d", "virtual-1")
        assert made.code == 0, made.err
        assert "approve  put blink on virtual-1" in made.out
        document = json.loads((await tell(host, "ada", home, "--yes", "--json", "app", "undo")).out)
        assert document["schema"] == "microclaw.undo/1"
        assert await host.apps() == []
