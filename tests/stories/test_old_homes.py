"""A home that an earlier release left is opened as it is: `home-39.sql` is one, with a board's address open."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.stories.conftest import running_board, running_host, until

from microclaw.apps import device_operations as devices
from microclaw.knowledge import operations as knowledge
from microclaw.schedules import operations as schedules

STORE = Path(__file__).with_name("home-39.sql")


def test_boards_programs_people_schedules_and_words_are_there(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "identity").mkdir(mode=0o700)
    (home / "identity" / "begin-anew").write_text("end the fleet")  # no private key is kept here
    (home / "sessions").mkdir(mode=0o700)
    (home / "sessions" / "tg_1.jsonl").write_text('{"role":"user","content":"my bench","ts":1738764800}\n')
    with running_board(tmp_path / "board", "--wasmachine", "0", "--serial", "none") as board:
        with closing(sqlite3.connect(home / "microclaw.db")) as store:
            store.executescript(STORE.read_text().replace("BOARD", f"127.0.0.1:{board['wasmachine']}"))
        with running_host(home) as host:
            until(lambda: host.conditions("desk") == {"blink": "listed"})
            assert host.client.call(devices.show_device, device="desk").labels == ["room=here"]
            assert host.program("desk", "blink").pins == (10,)
            assert [one.state for one in host.client.call(schedules.list_schedules).schedules] == ["active"]
            assert {one["name"] for one in host.client.get("/v1/people")["people"]} == {"owner", "ada"}
            assert [line.content for line in host.client.call(knowledge.show_session, name="tg_1").messages] == [
                "my bench"
            ]
            assert host.run("app", "undo").code == 0  # of an upgrade
            assert host.conditions("desk") == {"blink": "listed"}
            assert host.run("app", "undo").code == 0  # of its installation
            assert host.conditions("desk") == {}
