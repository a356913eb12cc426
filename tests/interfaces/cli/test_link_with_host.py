"""A virtual board that connects by itself: its Wi-Fi, its tasks, its log and its end, by command line."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.forked import Child, Forked
from tests.interfaces.cli.conftest import Run, clean_environ
from tests.stories.conftest import until

from microclaw.events import Answer, ApprovalAsked
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.child import BoardControl
from microclaw.wire import board_control as control

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def lamp(host: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A board called lamp that is connected; its control socket."""
    client = Client(Path(host["control"]))
    folder = tmp_path_factory.mktemp("lamp")
    made = client.post("/v1/devices/provision", {"name": "lamp", "secret": True})
    (folder / "secret").write_text(json.dumps({"secret": made["secret"]}))
    (folder / "secret").chmod(0o600)
    words = ["microclaw.virtual", "--name", "lamp", "--wasmachine", "0", "--serial", "none", "--die-with-parent"]
    words += ["--control", str(folder / "board.sock"), "--link", host["link"]]
    words += ["--link-ca-sha256", made["ca_sha256"], "--link-secret-file", str(folder / "secret")]
    with Child("board", words, log=folder / "stderr"):
        until(lambda: "lamp" in client.get("/v1/status")["link"]["connected"])
        yield folder / "board.sock"
    client.delete("/v1/devices/lamp")


def _until(ask: Run, name: str, state: str) -> None:
    """Wait for the device list to say so: the board is a process of its own."""
    until(lambda: any(row.startswith(f"{name} ") and state in row for row in ask("device", "list").out.splitlines()))


def _log_lines(ask: Run, complete: Callable[[str], bool]) -> str:
    return until(lambda: next((text for text in (ask("logs", "lamp").out,) if complete(text)), ""))


BLINK = """from machine import Pin
import time
led = Pin(2, Pin.OUT)
while True:
    led.toggle()
    time.sleep(0.5)
"""


def test_a_virtual_board_joins_the_host_that_runs_here_and_takes_python(home: Path, ask: Run, tmp_path: Path) -> None:
    def joined(*more: str) -> Child:
        words = ["microclaw", "--json", "virtual", "--join", "--serial", "none", *more]  # it needs no port of its own
        return Child("board", words, log=tmp_path / "stderr", environ=clean_environ(home))

    source = tmp_path / "blink.py"
    source.write_text(BLINK)
    try:
        with joined() as board:
            _until(ask, "board-1", "connected")
            folder = home / "virtual"
            assert [place.stat().st_mode & 0o777 for place in (folder, folder / "board-1")] == [0o700, 0o700]
            assert ask("run", source, "-d", "board-1").code == 0
            board.kill()
            _until(ask, "board-1", "seen")
            rows = ask("--json", "status").json["devices"]
            assert [row["reachable"] for row in rows if row["name"] == "board-1"] == [False]
        assert ask("device", "rename", "board-1", "desk").code == 0
        for name in (), ("--name", "desk"):  # what it has in its flash lets it in again, and its program is still there
            with joined(*name):
                _until(ask, "desk", "connected")
                rows = ask("--json", "app", "list", "-d", "desk").json["apps"]
                assert [row["name"] for row in rows] == ["blink"]
            _until(ask, "desk", "seen")
        assert "board-1" not in ask("device", "list").out
    finally:
        ask("device", "remove", "board-1")
        ask("device", "remove", "desk")
    assert ask("virtual", "--join", "--name", "virtual-1").code != 0


@pytest.mark.usefixtures("lamp")
def test_the_wifi_of_a_board_is_changed_told_of_and_its_password_shown_nowhere(ask: Run, tmp_path: Path) -> None:
    def wifi(*words: str) -> int:
        return ask("device", "wifi", "lamp", *words).code

    wrong = tmp_path / "password"
    short = tmp_path / "short"
    wrong.write_text("not this one\n")
    short.write_text("zyx987\n")
    for words in (
        ("device", "wifi", "lamp", "attic", "--password", "zyx98765"),
        ("device", "wifi", "lamp", "attic", "--password", f"@{short}"),
        ("device", "wifi", "lamp", "attic"),
        ("device", "wifi", "lamp", "attic", "--open", "--password", f"@{short}"),
        ("device", "wifi", "lamp", "attic", "--open", "--forget"),
        ("device", "wifi", "lamp", "--later"),
        ("device", "wifi", "lamp", "x" * 33, "--open"),
        ("exec", "lamp", "wifi.set", "attic", "zyx98765"),
        ("device", "wifi", "virtual-1", "attic", "--open"),
    ):
        refused = ask(*words)
        assert refused.code in (1, 2), words
        assert "zyx987" not in refused.err + refused.out
    assert wifi("virtual", "--password", f"@{wrong}") == 1
    kept = ask("--json", "device", "wifi", "lamp", "virtual-guest", "--open")
    assert (kept.code, kept.json["state"]) == (0, "kept"), kept.err
    assert wifi("garden", "--password", f"@{wrong}", "--later") == 0
    assert [wifi("virtual", "--forget"), wifi("virtual-guest", "--forget")] == [0, 1]  # its last network
    listed = ask("--json", "device", "wifi", "lamp").json
    assert (listed["networks"], listed["ssid"]) == (["virtual-guest", "garden"], "virtual-guest")


def test_a_device_has_the_agent_do_something_and_hears_how_it_ended(lamp: Path, ask: Run) -> None:
    with socket.socket(socket.AF_UNIX) as bench:
        bench.settimeout(PATIENCE_S)
        bench.connect(str(lamp))
        tasks = (("t1", "agent", "what devices are there?"), ("t2", "sandbox", "print(1)"))
        for number, (task, kind, text) in enumerate(tasks):
            request = {"id": number, "op": "link_task", "task": task, "kind": kind, "input": text}
            bench.sendall(json.dumps(request).encode() + b"\n")
            assert json.loads(bench.makefile().readline())["ok"] is True
    lines = _log_lines(ask, lambda lines: "t1: done" in lines and "t2: failed" in lines)
    assert "task t1: queued" in lines
    assert "task t1: running" in lines
    assert "lamp" in lines.partition("task t1: done: ")[2].splitlines()[0], "the answer names the device"
    assert "task t2: failed: task_refused: this host runs no code of this device" in lines


@pytest.mark.usefixtures("lamp")
def test_a_follower_sees_a_line_that_comes_while_it_follows(ask: Run, home: Path) -> None:
    assert ask("device", "notify", "lamp", "before", "all").code == 0
    _log_lines(ask, lambda lines: "before all" in lines)
    words = ("microclaw", "logs", "lamp", "-f", "--tail", "1")
    follower = Forked(words, stdout=subprocess.PIPE, text=True, env=clean_environ(home))
    guard = threading.Timer(PATIENCE_S, follower.kill)  # a line that never comes ends the reading
    guard.start()
    try:
        assert follower.stdout is not None
        assert "before all" in follower.stdout.readline()
        assert ask("device", "notify", "lamp", "and", "another").code == 0
        assert next(line for line in follower.stdout if "and another" in line)
    finally:
        guard.cancel()
        follower.kill()
        follower.communicate()


def test_a_correction_on_the_link_is_one_act_without_a_question(host: dict[str, str], lamp: Path) -> None:
    """Taking back looks whether the board restarted: what else it tells of itself is no text that the turn reads."""
    client = Client(Path(host["control"]))
    said = ("turn on pin 40 on lamp", "no, I meant pin 10")
    events = [list(client.stream("/v1/chat", {"text": text, "chat_id": "correction"})) for text in said]
    assert [one for turn in events for one in turn if isinstance(one, ApprovalAsked)] == []
    answer = events[-1][-1]
    assert isinstance(answer, Answer)
    assert "Pin 10 of lamp is on" in answer.text
    with BoardControl(lamp) as board:
        levels = {row.pin: row.level for row in board.ask(control.Pins()).pins}
    assert (levels[40], levels[10]) == (0, 1)
