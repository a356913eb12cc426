"""The host's log lines: facts that may be written, and nothing that forges a line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from microclaw.app import running_host
from microclaw.errors import ConfigError
from microclaw.host.config.load import load_settings
from microclaw.interfaces.cli.host_process import (
    LINES_OF_DEVICE,
    REFUSALS,
    REFUSALS_S,
    LogLines,
    RefusalLimit,
    run_host,
)


def _line(text: str, *arguments: object, **facts: Any) -> str:
    record = logging.LogRecord("microclaw.devices.transports", logging.WARNING, "", 0, text, arguments, None)
    record.created = 1_700_000_000.25
    record.msecs = 250.0
    record.__dict__.update(facts)
    return LogLines().format(record)


def _failed(error: str) -> list[str]:
    """The lines of a failure: the first one, and its traceback."""
    try:
        raise ValueError(error)
    except ValueError:
        record = logging.LogRecord("m", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    return LogLines().format(record).splitlines()


def test_line_is_time_level_part_text_and_the_facts_that_are_named() -> None:
    facts = {"device": "kitchen", "code": 4408, "reason": "two pings were not answered", "params": "secret"}
    assert (
        _line("left", **facts)
        == "2023-11-14T22:13:20.250Z WARNING microclaw.devices.transports left device=kitchen code=4408 "
        'reason="two pings were not answered"'
    )
    for value, shown in (('say "hi"', r'"say \"hi\""'), ("a=b", '"a=b"'), ("", '""'), ("é", '"é"')):
        assert _line("left", reason=value).endswith(f" reason={shown}")
    assert len(_line("left", reason="x" * 5_000)) < 300


def test_what_a_device_wrote_stays_on_its_line_and_steers_no_terminal() -> None:
    for hostile in ("a\nb", "a\rb", "\x1b[31mred", "a\u2028b", "a\x85b", "a\u202eb", "\U000e0041"):
        for line in (_line("said %s", hostile), _line("left", reason=hostile)):
            assert line.isprintable(), line
    first, *rest = _failed("broken \x1b[2J\u202e")
    assert first.endswith("ERROR m failed")
    assert rest[-1] == "ValueError: broken ?[2J?"


@pytest.mark.parametrize(
    "text",
    ["ws://127.0.0.1/ws?token=mc_s3cret", '127.0.0.1:9 - "WebSocket /ws?token=mc_s3cret" 403', "GET /?token=mc_s3cret"],
)
def test_no_query_of_an_address_is_written(text: str) -> None:
    assert "mc_s3cret" not in str([_line("%s", text), *_failed(text)])


def test_refusals_are_limited_by_kind_and_source_and_counted() -> None:
    now_s = 0.0
    limit = RefusalLimit(lambda: now_s)

    def refused(address: str, name: str = "uvicorn.error") -> logging.LogRecord | None:
        record = logging.LogRecord(name, logging.WARNING, "", 0, "%s is refused: %s", ((address, 9), "x" * 9000), None)
        return record if limit.filter(record) else None

    def noise(name: str) -> logging.LogRecord:
        return logging.LogRecord("microclaw.devices.link.x", logging.INFO, "", 0, "%s sent %s", (name, "x"), None)

    one = [refused("192.0.2.7") for _ in range(1000)]
    assert sum(record is not None for record in one) == REFUSALS[1]
    assert refused("198.51.100.1") is not None  # another's still comes
    many = [refused(f"10.0.{n}.1") for n in range(200)]
    assert sum(record is not None for record in many) == REFUSALS[0] - REFUSALS[1] - 1
    assert refused("192.0.2.7", "microclaw.devices.registry") is not None  # no door's
    said = [limit.filter(noise(name)) for name in ("lamp",) * 1000 + ("fan",)]
    assert (sum(said), said[-1]) == (LINES_OF_DEVICE + 1, True)
    now_s = REFUSALS_S
    first = refused("192.0.2.7")
    assert first is not None
    assert first.__dict__["count"] > 100
    again = noise("lamp")
    assert limit.filter(again)
    assert again.__dict__["count"] == 1000 - LINES_OF_DEVICE


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_a_log_that_is_no_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    settings = load_settings({}, home=tmp_path, http_port=None)
    make(settings.log)
    with pytest.raises(ConfigError):
        run_host(settings, running_host, virtual_boards=0, ready=lambda *_: None, verbose=False)
