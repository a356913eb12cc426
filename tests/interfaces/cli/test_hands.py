"""Hands on the command line, beside a running host whose own virtual board has parts."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from msgspec import field
from tests.interfaces.cli.conftest import Run, clean_environ

from microclaw.errors import CallRejected
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.hand_commands import record
from microclaw.interfaces.cli.options import GlobalOptions
from microclaw.programs.bench import recording_operations as recordings
from microclaw.programs.bench.recorded_lines import RecordedLine
from microclaw.programs.bench.recording import DeviceRecording

LINE = "pin 2: high at 1 s"
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


def test_what_a_killed_command_recorded_is_not_lost(bench: Run, home: Path) -> None:
    words = [sys.executable, "-m", "microclaw", "--home", str(home), "device", "record", "virtual-1"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=clean_environ(home)) as process:
        assert process.stderr is not None
        assert "recording virtual-1" in process.stderr.readline()
        assert bench("press", "btn1", "--for", "50ms").code == 0
        process.kill()
    ran = bench("device", "record", "virtual-1")
    assert (ran.code, "microclaw device record virtual-1 --end" in ran.err) == (1, True)
    ended = bench("device", "record", "virtual-1", "--end")
    assert (ended.code, ended.out.startswith("press btn1 at ")) == (0, True)


class HostWithAFault:
    """A host whose answers about a running recording fail; it counts these looks, and gives the lines at the end."""

    def __init__(self) -> None:
        self.look_count = 0
        self.ended_count = 0

    def call(self, act: object, **_: object) -> DeviceRecording | None:
        if act is recordings.show:
            self.look_count += 1
            raise CallRejected("the host is busy", next_step="try again")
        if act is recordings.end:
            self.ended_count += 1
            row = RecordedLine(LINE, "followed")
            return DeviceRecording(device="virtual-1", running=False, length_ms=2_000, rows=[row])
        return None


class OptionsOfAFault(GlobalOptions, frozen=True):
    """The options of a command that reaches a host with a fault."""

    faulty: HostWithAFault = field(default_factory=HostWithAFault)

    def host(self, _: object = None) -> Client:
        return cast("Client", self.faulty)


@pytest.mark.parametrize(("for_ms", "look_count"), [(50.0, 1), pytest.param(60_000.0, 3, marks=pytest.mark.slow)])
def test_a_recording_that_cannot_be_looked_at_gives_its_lines(
    capsys: pytest.CaptureFixture[str], for_ms: float, look_count: int
) -> None:
    options = OptionsOfAFault()
    record(options, "virtual-1", for_ms)
    assert capsys.readouterr().out == f"{LINE}\n"
    assert (options.faulty.look_count, options.faulty.ended_count) == (look_count, 1)


class ImpatientHost(HostWithAFault):
    """A host before which a person presses Ctrl-C, and again while the lines are tried."""

    def call(self, act: object, **_: object) -> DeviceRecording | None:
        if act in (recordings.show, recordings.end):
            signal.raise_signal(signal.SIGINT)
            row = RecordedLine(LINE, "followed")
            return DeviceRecording(device="virtual-1", running=True, length_ms=2_000, rows=[row])
        return None


def test_a_second_ctrl_c_prints_the_lines_that_no_trial_has_met(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        record(OptionsOfAFault(faulty=ImpatientHost()), "virtual-1", 50.0)
    (line, note) = capsys.readouterr().out.splitlines()
    assert (line, note.startswith("# interrupted")) == (LINE, True)
