"""Hands on the command line, beside a running host whose own virtual board has parts."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from tests.interfaces.cli.conftest import Run, clean_environ

from microclaw.errors import CallRejected
from microclaw.interfaces.cli.hand_commands import record
from microclaw.interfaces.cli.options import GlobalOptions
from microclaw.programs.bench import recording_operations as recordings

PARTS = ("btn1=button pin=4 resistor=1", "pot1=potentiometer pin=1", "dht1=dht22 data=5")


@pytest.fixture
def bench(ask: Run) -> Iterator[Run]:
    """Commands beside the host while virtual-1 has the parts."""
    added = [word for part in PARTS for word in ("--add", part)]
    assert ask("device", "wiring", "virtual-1", *added).code == 0
    yield ask
    removed = [word for part in PARTS for word in ("--remove", part.partition("=")[0])]
    assert ask("device", "wiring", "virtual-1", *removed).code == 0


def test_a_press_needs_no_device_if_one_has_the_part(bench: Run) -> None:
    ran = bench("--json", "press", "btn1", "--for", "200ms")
    assert (ran.code, ran.json["part"], ran.json["for_ms"]) == (0, "btn1", 200.0)
    assert ran.json["device"] == "virtual-1"
    assert bench("press", "btn1", "--on", "virtual-1").code == 0
    ran = bench("press", "btn2")
    assert (ran.code, "no virtual board" in ran.err) == (1, True)
    ran = bench("press", "pot1")
    assert (ran.code, ran.err.count("position")) == (1, 1)
    ran = bench("press", "btn1", "5")
    assert (ran.code, "press btn1 takes no '5'" in ran.err, " at 2 s" in ran.err) == (1, True, False)


def test_values_are_set_as_a_person_writes_them(bench: Run) -> None:
    assert bench("--json", "device", "set", "virtual-1", "pot1", "70%").json["values"] == {"position": 70.0}
    both = bench("--json", "device", "set", "virtual-1", "dht1", "temperature=25", "humidity=40")
    assert both.json["values"] == {"temperature": 25.0, "humidity": 40.0}
    ran = bench("device", "set", "virtual-1", "dht1", "25")
    assert (ran.code, ran.err.count("temperature, humidity")) == (1, 1)
    ran = bench("device", "do", "virtual-1", "btn1", "turn", "3")
    assert (ran.code, "press, release" in ran.err) == (1, True)


def test_a_recording_ends_with_ctrl_c_and_prints_its_lines(bench: Run, home: Path) -> None:
    words = ["-m", "microclaw", "--home", str(home), "device", "record", "virtual-1"]
    with subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environ(home),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "recording virtual-1" in process.stderr.readline()
        assert bench("press", "btn1", "--for", "50ms").code == 0
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.startswith("press btn1 at 1 s for ")
    ran = bench("device", "record", "virtual-1", "--for", "100ms", "--json")
    assert (ran.code, ran.json["lines"]) == (0, [])


class HostWithAFault:
    """A host whose answers about a running recording fail; it counts the recordings that were ended."""

    def __init__(self) -> None:
        self.ended_count = 0

    def call(self, act: object, **_: object) -> None:
        if act is recordings.show:
            raise CallRejected("the host is busy", next_step="try again")
        if act is recordings.end:
            self.ended_count += 1


def test_a_recording_that_cannot_be_looked_at_is_ended() -> None:
    host = HostWithAFault()
    options = SimpleNamespace(host=lambda: host, quiet=True)
    with pytest.raises(CallRejected, match="busy"):
        record(cast("GlobalOptions", options), "virtual-1", 60_000.0)
    assert host.ended_count == 1
