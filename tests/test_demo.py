"""The demonstration itself, as a newcomer runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

TIMEOUT_S = 90
WORDS = [sys.executable, "-m", "microclaw.cli", "demo"]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """No keys, no home of anybody, and a place of its own for what the demo makes."""
    kept = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
    scratch = tempfile.mkdtemp(prefix="demo-", dir="/tmp")  # short: it holds unix sockets
    return {**kept, "HOME": str(tmp_path), "TMPDIR": scratch, "COLUMNS": "80"}


@pytest.fixture
def left_behind(environ: dict[str, str]) -> Iterator[None]:
    """After the test: no file and no process of the demo is left."""
    yield
    scratch = Path(environ["TMPDIR"])
    assert list(scratch.iterdir()) == []
    for entry in Path("/proc").iterdir() if Path("/proc").exists() else []:
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            assert str(scratch).encode() not in words
    scratch.rmdir()


@pytest.mark.usefixtures("left_behind")
def test_demo_once_shows_every_stage_and_passes(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [*WORDS, "--once"], capture_output=True, text=True, timeout=TIMEOUT_S, env=environ, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    stages = [line[:9].strip() for line in lines if line[:9].strip()]
    expected = ["host", "board", "model", "you", "intent", "plan", "code"]
    expected += ["compile", "check", "try", "deploy", "verify"]
    assert [stage for stage in stages if stage in expected][: len(expected)] == expected
    text = done.stdout
    assert "Offline intents answer" in text
    assert '"every half second" goes on for ever -> a program on the board' in text
    assert re.search(r"^try +10 s of board time in .* 20 edges on pin 2, 0\.500 s apart +ok$", text, re.M)
    assert re.search(r"^verify +counted on the board: .* +ok$", text, re.M)
    assert re.search(r"^ +sentence to first edge: \d\.\d\d s$", text, re.M)
    assert len(re.findall(r"^pin 2 +[_~|]+ +period 1\.0\d\d s, \+?\d+ edges$", text, re.M)) == 2
    assert "yes: counted by the board, with no host running" in text
    assert re.search(r"still lists blink; its edge count rose by \d+", " ".join(text.split()))
    assert re.fullmatch(r"demo passed: \d+ edges, period 1\.0\d\d s \+/- \d+\.\d %", lines[-1])
    assert "\x1b" not in text
    assert max(map(len, lines)) < 80


@pytest.mark.usefixtures("left_behind")
def test_demo_goes_on_as_a_conversation(environ: dict[str, str]) -> None:
    sentences = "set pin 4 on\nwhat is the temperature\nwhat is running\nstop blink\nundo\nexit\n"
    done = subprocess.run(
        WORDS, input=sentences, capture_output=True, text=True, timeout=TIMEOUT_S, env=environ, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    talk = " ".join(done.stdout.partition("you> ")[2].split())
    assert "Pin 4 of virtual-1 is on" in talk
    assert "Temperature: 22.5" in talk
    assert "blink (running, pin 2)" in talk
    assert "no longer lists blink" in talk
    assert "Undone: stop blink" in talk


@pytest.mark.usefixtures("left_behind")
def test_demo_of_a_fleet_loses_no_board(environ: dict[str, str]) -> None:
    words = [*WORDS, "--fleet", "--boards", "4"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=3 * TIMEOUT_S, env=environ, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = " ".join(done.stdout.split())
    assert "to 4 boards, in stages of 1, 2, 4" in text
    assert re.search(r"power cut \(kill -9\) in the middle of the download: board-\d at \d\d%", text)
    assert re.search(r"host killed \(kill -9, pid \d+\) while [12] boards? updated", text)
    assert "stage 3 4 of 4 boards have it" in text
    assert re.search(r"rollout 2 is halted; 3 boards were never offered \d", text)
    assert re.search(r"status 2 of \S+: halted, 1 board did not .*; next: microclaw rollout status 2 boards", text)
    assert len(re.findall(r"4 of 4 online, each runs \d+\.\d+\.\d+ ok", text)) == 2
    assert "rollout 3 takes 1 back" in text
    assert re.search(r"demo passed: 4 boards, 1 power cut, 1 host killed, nobody lost, \d+ s$", text)
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.usefixtures("left_behind")
def test_demo_of_a_cluster_tells_the_truth_of_each_board(environ: dict[str, str]) -> None:
    words = [*WORDS, "--cluster", "--boards", "6"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=3 * TIMEOUT_S, env=environ, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = " ".join(done.stdout.split())
    assert re.search(r"boards 6 joined in [\d.]+ s: \d at host-1", text)
    assert re.search(r"host-2 killed \(kill -9\) with \d boards?, while the program goes to 6", text)
    assert re.search(r"boards all 6 connected elsewhere [\d.]+ s after ok", text)
    assert re.search(
        r"table (\d \w+(; )?)+ boards \d blink, counted by each board's own clock; the table is true ok", text
    )
    assert re.search(r"demo passed: 3 hosts, 1 killed, 6 boards, each accounted for, \d+ s$", text)


@pytest.mark.usefixtures("left_behind")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_that_is_interrupted_stops_all_it_started(environ: dict[str, str], number: signal.Signals) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([*WORDS, "--once"], stdout=pipe, stderr=pipe, text=True, env=environ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("you "):
                break
        demo.send_signal(number)
        _, said = demo.communicate(timeout=60)
        assert demo.returncode == 130
    assert said == "interrupted\n"
