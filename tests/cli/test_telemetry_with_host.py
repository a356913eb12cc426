"""Telemetry and crashes on a host as a person runs it, also after kill -9: the commands, their files and documents."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path

import pytest
from tests.cli.conftest import run_here
from tests.link_server.real_host import RealHost, until_acked
from tests.link_server.real_host import real_host as real_host
from tests.stories.conftest import until

from microclaw.cli.telemetry_command import plot_lines
from microclaw.operations.connection import HostError
from microclaw.store.telemetry import Bucket
from microclaw.telemetry.history import Series
from microclaw.telemetry.operations import Telemetry
from microclaw.wire.link import messages as link
from microclaw.wire.link.messages import Event, Log

TRACE = 'Traceback (most recent call last):\n  File "blink.py", line 7, in main\nZeroDivisionError: divide by zero'


def said(host: RealHost, *words: str) -> str:
    ran = run_here(host.home, *words)
    assert ran.code == 0, ran.err
    return ran.out


async def test_what_boards_measure_and_how_they_fail_is_kept_and_shown(real_host: RealHost, tmp_path: Path) -> None:
    get = real_host.client.get
    device = await real_host.device("lamp")
    async with device.connected():
        await device.until_ready()
        await device.send(link.Telemetry(free_heap=180_224, uptime_s=3, apps=(), temperature=41.5))
        await device.send(Log("info", "blink", 1, "about to divide"))
        await device.send(Event("mqtt.publish", {"app": "blink", "topic": "room/temperature", "text": "21.5"}))
        await device.send(Event("app.crash", {"app": "blink", "reason": TRACE, "alive": False}))
        await until_acked(device)
        keys = {"free_heap", "temperature", "room/temperature"}
        for it_is in (
            lambda: {one["key"] for one in get("/v1/devices/lamp/telemetry")["series"]} == keys,
            lambda: bool(get("/v1/crashes")["crashes"]),
        ):
            await asyncio.to_thread(until, it_is)
    await asyncio.to_thread(real_host.kill)
    await asyncio.to_thread(real_host.start)
    await asyncio.to_thread(_look, real_host, tmp_path)


def _look(host: RealHost, tmp_path: Path) -> None:
    """After the kill everything is there, once."""
    rows = list(csv.DictReader(io.StringIO(said(host, "device", "show", "lamp", "--csv", "-", "--since", "1h"))))
    assert {(row["key"], row["unit"], row["mean"], row["count"]) for row in rows} == {
        ("free_heap", "B", "180224.0", "1"),
        ("temperature", "°C", "41.5", "1"),
        ("room/temperature", "", "21.5", "1"),
    }
    _look_at_files(host, tmp_path)
    document = json.loads(said(host, "--json", "device", "show", "lamp", "free_heap", "--plot"))
    assert (document["schema"], len(document["series"])) == ("microclaw.telemetry/1", 1)
    for wrong in ({"key": "nope"}, {"since": 9, "until": 9}):
        with pytest.raises(HostError):
            host.client.get("/v1/devices/lamp/telemetry", wrong)
    years = host.client.get("/v1/devices/lamp/telemetry", {"since": 0})
    assert (years["source"], [len(one["points"]) for one in years["series"]]) == ("hours", [1, 1, 1])
    assert "about to divide" in said(host, "logs", "--crash", "1")
    assert len(json.loads(said(host, "--json", "logs", "lamp", "--crashes", "--since", "1h"))["crashes"]) == 1
    said(host, "logs", "--crash", "1", "--forget", "--yes")
    assert json.loads(said(host, "--json", "logs", "--crashes"))["crashes"] == []


def _look_at_files(host: RealHost, tmp_path: Path) -> None:
    """A file that is there is kept, and a command that fails leaves none."""
    kept, new = tmp_path / "kept.csv", tmp_path / "new.csv"
    kept.write_text("precious")
    for key, file in (("nope", new), ("nope", kept), ("free_heap", kept)):
        assert run_here(host.home, "device", "show", "lamp", key, "--csv", str(file)).code == 1
    assert ([path.name for path in tmp_path.glob("*.csv")], kept.read_text()) == (["kept.csv"], "precious")
    said(host, "device", "show", "lamp", "free_heap", "--csv", str(new))
    assert [row["mean"] for row in csv.DictReader(io.StringIO(new.read_text()))] == ["180224.0"]


BARS = "▁         ▅         █"


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([20.0, 25.0, 30.0], ["lamp heap   last 30 B   min 20 B   max 30 B", BARS]),
        ([5.0, 5.0], ["lamp heap   last 5 B   min 5 B   max 5 B", "▁         ▁"]),
        ([-1e300, 180_224, 1e300], ["lamp heap   last 1e+300 B   min -1e+300 B   max 1e+300 B", BARS]),
        ([], []),
    ],
)
@pytest.mark.parametrize("columns", [39, 60])
def test_values_are_drawn_as_bars_within_the_terminal(values: list[float], drawn: list[str], columns: int) -> None:
    points = tuple(Bucket(n * 10, value, value, value, 1) for n, value in enumerate(values))
    series = Series(key="heap", unit="B", points=points)
    found = Telemetry(
        device="lamp", since_ms=0, until_ms=columns, bucket_ms=1, source="raw", series=(series,), last=[], refused=[]
    )
    lines = plot_lines(series, found, columns)
    assert lines[:2] == drawn or (not drawn and "no values" in lines[0])
    assert not drawn or max(map(len, lines[1:])) == columns
