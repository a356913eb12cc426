"""kill -9 of the host in the middle of an act: the board's own list decides, nothing is done twice, nothing is lost."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.stories.conftest import TIMEOUT_S, blink, microclaw, running_host, started, until
from tests.stories.wire import Kind, Wire

from microclaw.programs.changes import device_calls
from microclaw.programs.changes import operations as programs

DESK = "desk"


class House:
    """A home whose host is killed and started again, and a board with stock firmware that goes on."""

    def __init__(self, stack: ExitStack, home: Path) -> None:
        self._stack = stack
        self.home = home
        self._control = home.with_name("board.sock")
        self.host = stack.enter_context(running_host(home))
        self.board = self._board()
        self.wire = Wire(self.board["wasmachine"])
        stack.callback(self.wire.cut)
        added = ("device", "add", DESK, "--board", "virtual", "--wasmachine", self.wire.address)
        assert self.host.run(*added, "--virtual", str(self._control)).code == 0

    def _board(self) -> dict[str, Any]:
        words = ("--name", DESK, "--wasmachine", "0", "--serial", "none", "--control", str(self._control))
        process = self._stack.enter_context(started(self.home, *words, module="microclaw.virtual"))
        self._stack.callback(process.kill)
        assert process.stdout is not None
        return dict(json.loads(process.stdout.readline()))

    def power_cut(self) -> None:
        """The board loses all that it ran, and starts again."""
        self.wire.cut()
        os.kill(self.board["pid"], signal.SIGKILL)
        self._control.unlink()
        self.board = self._board()
        self.wire.board_port = self.board["wasmachine"]
        self.wire.mend()

    def kill_host(self) -> None:
        self.host.process.kill()
        self.host.process.wait(TIMEOUT_S)

    def start_host(self) -> None:
        self.host = self._stack.enter_context(running_host(self.home))

    def kill_at(self, kind: Kind, *words: str, delivered: bool) -> None:
        """Kill the host when it has sent that request for `microclaw WORDS`, and start it again."""
        self.wire.hold(kind, delivered=delivered)
        asked = started(self.home, *words)
        assert self.wire.caught.wait(TIMEOUT_S)
        self.kill_host()
        asked.communicate(timeout=TIMEOUT_S)
        assert asked.returncode != 0
        self.start_host()

    def decided(self) -> Any:
        """The newest change, when it is known how it ended."""
        return until(lambda: [c for c in self.host.changes(1) if c.state != "planned"])[0]

    def listed(self) -> list[str]:
        """The programs that the board itself lists, asked without a host."""
        listed = microclaw(self.home, "--json", "exec", f"127.0.0.1:{self.board['wasmachine']}", "apps.list")
        assert listed.code == 0
        return [app["name"] for app in listed.json["result"]]

    def edges(self) -> list[float]:
        """The times of a pin's changes, in milliseconds of the board's own time."""
        return [edge[0] for edge in self.host.client.call(device_calls.read_edges, device=DESK).edges]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(stack, tmp_path_factory.mktemp("house") / "home")


@pytest.fixture
def blinking(house: House, tmp_path: Path) -> House:
    """The board runs blink."""
    if house.host.conditions(DESK).get("blink") != "running":
        assert house.host.run("run", blink(tmp_path, 10), "-d", DESK).code == 0
    return house


@pytest.mark.parametrize(("delivered", "state"), [(False, "failed"), (True, "done")])
def test_in_an_install_the_boards_list_decides(house: House, tmp_path: Path, delivered: bool, state: str) -> None:
    assert house.host.conditions(DESK) == {}
    house.kill_at("install", "run", blink(tmp_path, 10), "-d", DESK, delivered=delivered)
    assert (house.decided().kind, house.decided().state) == ("app.deploy", state)
    assert house.host.conditions(DESK) == ({"blink": "running"} if delivered else {})
    assert house.listed() == list(house.host.conditions(DESK))


@pytest.mark.parametrize(("delivered", "state"), [(False, "failed"), (True, "done")])
def test_in_an_undo_the_boards_list_decides(blinking: House, delivered: bool, state: str) -> None:
    done = [c for c in blinking.host.changes() if c.state == "done"]
    undone = done[0].change_id
    blinking.kill_at("remove", "app", "undo", delivered=delivered)
    assert (blinking.decided().undoes, blinking.decided().state) == (undone, state)
    assert blinking.host.conditions(DESK) == ({} if delivered else {"blink": "running"})
    assert blinking.listed() == list(blinking.host.conditions(DESK))


def test_in_a_chat_turn_it_is_answered_by_the_next_host(house: House) -> None:
    said = ("chat", "--session", "killed", "blink pin 10 twice a second on desk")
    assert house.host.conditions(DESK) == {}
    house.kill_at("install", *said, delivered=False)
    answers = until(lambda: house.host.client.get("/v1/chat/killed/undelivered")["messages"])
    assert [answer["answer"]["error"] for answer in answers] == [None]
    assert house.host.conditions(DESK) == {"blink": "running"}
    assert [c.state for c in house.host.changes(2)] == ["done", "failed"]


def test_a_program_goes_on_while_the_host_is_off(blinking: House) -> None:
    before = blinking.edges()[-1]
    began = time.monotonic()
    blinking.kill_host()
    assert blinking.listed() == ["blink"]
    away_ms = (time.monotonic() - began) * 1000
    blinking.start_host()
    since = [edge for edge in blinking.edges() if before <= edge <= before + away_ms]
    assert since[-1] > before + away_ms / 2
    assert blinking.host.conditions(DESK) == {"blink": "running"}


def test_after_a_power_cut_of_the_board_the_host_puts_its_programs_back(blinking: House) -> None:
    blinking.power_cut()  # the board is a new process then, with nothing in its memory
    until(lambda: blinking.listed() == ["blink"])
    until(lambda: blinking.host.conditions(DESK) == {"blink": "running"})


def test_what_is_deferred_outlives_the_host_and_is_done_once(blinking: House, tmp_path: Path) -> None:
    blinking.wire.cut()
    faster = blink(tmp_path, 10, 50)
    deferred = blinking.host.run("--json", "app", "upgrade", "blink", faster, "-d", DESK, "--when-back")
    assert (deferred.code, deferred.json["deferred"]["act"]) == (0, "upgrade")
    blinking.kill_host()
    blinking.start_host()
    assert [
        one.deferred and one.deferred.act for one in blinking.host.client.call(programs.list_apps, device=DESK).apps
    ] == ["upgrade"]
    blinking.wire.hold("install", delivered=True)
    blinking.wire.mend()
    assert blinking.wire.caught.wait(TIMEOUT_S)
    blinking.kill_host()
    blinking.start_host()
    assert until(lambda: blinking.host.program(DESK, "blink").sha256 == deferred.json["sha256"])
    until(lambda: [one.deferred for one in blinking.host.client.call(programs.list_apps, device=DESK).apps] == [None])
    assert blinking.decided().state == "done"
    assert blinking.listed() == ["blink"]


def test_a_schedule_that_was_due_while_the_host_was_off_runs_once(house: House) -> None:
    made = house.host.client.post("/v1/schedules", {"when": "in 3 seconds", "do": "turn on pin 12 on desk"})
    house.kill_host()
    time.sleep(3)
    house.start_host()
    runs = until(lambda: house.host.client.get(f"/v1/schedules/{made['schedule']}")["runs"])
    until(lambda: house.host.level(DESK, 12) == 1)
    assert len(runs) == 1


def test_in_a_schedules_act_nothing_is_done_twice(blinking: House) -> None:
    blinking.wire.hold("remove", delivered=True)
    made = blinking.host.client.post("/v1/schedules", {"when": "in 2 seconds", "do": "stop blink on desk"})
    assert blinking.wire.caught.wait(TIMEOUT_S)
    blinking.kill_host()
    blinking.start_host()
    number = made["schedule"]
    assert "blink" not in blinking.listed()
    until(lambda: blinking.host.conditions(DESK)["blink"] == "stopped")
    until(lambda: [run["state"] for run in blinking.host.client.get(f"/v1/schedules/{number}")["runs"]] == ["done"])
    stops = [c for c in blinking.host.changes() if c.kind == "app.stop"]
    assert len(stops) == 1


def is_living(mark: str) -> bool:
    """True if a process of this machine has the mark in its command."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            if mark.encode() in path.read_bytes():
                return True
    return False


def test_code_in_the_sandbox_dies_with_its_host_and_is_told_as_interrupted(house: House) -> None:
    mark = f"1{secrets.randbelow(10**8):08}"
    code = f"echo begun\n(sleep {mark} & sleep {mark}; sleep {mark})\nsleep {mark}"
    path = f"/v1/tasks/{house.host.client.post('/v1/tasks', {'code': code, 'language': 'shell'})['task']}"
    until(lambda: house.host.client.get(path, {"wait_s": 20})["output"] and is_living(mark))
    house.kill_host()
    until(lambda: not is_living(mark))
    house.start_host()
    found = house.host.client.get(path)
    assert (found["state"], found["ending"]) == ("failed", "interrupted")
    assert list((house.home / "tasks").iterdir()) == []
