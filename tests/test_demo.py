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

TIMEOUT_S = 240
WORDS = [sys.executable, "-m", "microclaw", "demo"]


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


ONCE = "host board model you intent code compile check try deploy verify answer pin 2 host pin 2 host"


@pytest.mark.usefixtures("left_behind")
def test_it_shows_its_stages_and_passes(environ: dict[str, str]) -> None:
    words = [*WORDS, "--once"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, env=environ, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert " ".join(line[:9].strip() for line in lines[:-1] if line[:9].strip()) == ONCE
    assert lines[-1].startswith("demo passed: ")
    assert "\x1b" not in done.stdout
    assert max(map(len, lines)) <= 80
    tracks = re.findall(r"^pin 2 +[_~|]+ +period [\d.]+ s, \+?(\d+) edges$", done.stdout, re.M)
    assert len(tracks) == 2
    assert min(map(int, tracks)) >= 8  # a late look sees more


@pytest.mark.usefixtures("left_behind")
def test_demo_that_is_interrupted_stops_all_it_started(environ: dict[str, str]) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([*WORDS, "--once"], stdout=pipe, stderr=pipe, text=True, env=environ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("you "):
                break
        demo.send_signal(signal.SIGINT)
        _, said = demo.communicate(timeout=TIMEOUT_S)
        assert demo.returncode == 130
    assert said.split() == ["interrupted"]
