"""A backup is the whole host in one locked file, and a host again anywhere; so is a home of an earlier release."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.stories.conftest import blink, microclaw, running_board, running_host, until

from microclaw.agent.knowledge import operations as knowledge
from microclaw.agent.schedules import operations as schedules
from microclaw.programs.changes import device_operations as devices


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `home.age`, the backup of a host whose board runs blink, and goes on."""
    folder = tmp_path_factory.mktemp("backup")
    key = microclaw(folder / "home", "--json", "backup", "make", "--new-key", str(folder / "key"))
    microclaw(folder / "home", "backup", "make", "--new-key", str(folder / "another_key"))
    with (
        running_host(folder / "home") as host,
        running_board(folder / "home", "--wasmachine", "0", "--serial", "none") as board,
    ):
        address = f"127.0.0.1:{board['wasmachine']}"
        assert host.run("device", "add", "desk", "--board", "virtual", "--wasmachine", address).code == 0
        assert host.run("run", blink(folder, 10), "-d", "desk").code == 0
        assert host.run("chat", "remember that the relay is on pin 4").code == 0
        assert host.run("schedule", "add", "every day at 7", "turn on pin 4 on desk").code == 0
        made = host.run("--json", "backup", "make", str(folder / "home.age"), "--recipient", key.json["recipient"])
        contents = made.json["contents"]
        assert (made.code, contents["devices"], contents["programs"], contents["schedules"]) == (0, 1, 1, 1)
        host.process.terminate()
        host.process.wait()
        yield folder


def restore(backup: Path, file: str, *words: str, home: str = "new", key: str = "key") -> tuple[int, str]:
    given = ("backup", "restore", str(backup / file), "--identity", str(backup / key), *words)
    ran = microclaw(backup / home, "--json", *given)
    return ran.code, (ran.json.get("error") or {"code": ""})["code"]


def test_a_restored_host_knows_board_program_memory_and_schedule(backup: Path) -> None:
    assert restore(backup, "home.age", "--list") == (0, "")
    assert not (backup / "new").exists()
    assert restore(backup, "home.age") == (0, "")
    assert restore(backup, "home.age") == (1, "config_error")  # a home is there
    assert restore(backup, "home.age", "--replace", "--yes") == (0, "")
    assert list(backup.glob("new.before-*"))
    for file in ("identity/authority.pem", "memory/MEMORY.md"):
        assert (backup / "new" / file).read_bytes() == (backup / "home" / file).read_bytes()
    with running_host(backup / "new") as host:
        until(lambda: host.conditions("desk") == {"blink": "listed"})
        assert [one.tool for one in host.client.call(schedules.list_schedules).schedules] == ["gpio-set"]
        assert host.run("app", "undo").code == 0
        assert host.conditions("desk") == {}


@pytest.mark.parametrize("code", ["backup_locked", "backup_cut", "backup_damaged", "backup_newer", "not_a_backup"])
def test_a_file_that_cannot_be_opened_changes_nothing(backup: Path, code: str) -> None:
    whole = (backup / "home.age").read_bytes()
    (backup / "backup_locked.age").write_bytes(whole)
    (backup / "backup_cut.age").write_bytes(whole[:100])
    (backup / "backup_damaged.age").write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    (backup / "backup_newer.age").write_bytes(whole.replace(b"/v1", b"/v9", 1))
    (backup / "not_a_backup.age").write_text("other words by chance\n")
    key = "another_key" if code == "backup_locked" else "key"
    assert restore(backup, f"{code}.age", home=f"{code}-home", key=key) == (1, code)
    assert not (backup / f"{code}-home").exists()


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
