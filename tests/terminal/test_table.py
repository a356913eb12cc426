"""Tables wrap within their columns, and lose nothing."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.terminal.page import columns_of
from microclaw.terminal.table import MIN_CELL, table_lines

ROWS = [["NAME", "LINK", "NOTE"], ["kitchen", "wasmachine://10.0.0.5:8080", "does not answer since 10:00"]]


def test_a_pipe_has_each_row_on_one_line() -> None:
    assert table_lines(ROWS, None) == [
        "NAME     LINK                        NOTE",
        "kitchen  wasmachine://10.0.0.5:8080  does not answer since 10:00",
    ]


def test_the_widest_columns_are_wrapped() -> None:
    assert table_lines(ROWS, 40) == [
        "NAME     LINK            NOTE",
        "kitchen  wasmachine://1  does not answer",
        "         0.0.0.5:8080    since 10:00",
    ]


@given(
    st.lists(st.lists(st.text("abc -/", max_size=60), min_size=4, max_size=4), min_size=1, max_size=4),
    st.integers(4 * MIN_CELL + 6, 120),
)
def test_no_line_is_wider_than_the_terminal_and_no_letter_is_lost(rows: list[list[str]], columns: int) -> None:
    lines = table_lines(rows, columns)
    assert all(len(line) <= columns for line in lines)
    wanted = "".join("".join(row) for row in rows).replace(" ", "")
    assert sorted("".join(lines).replace(" ", "")) == sorted(wanted)


@pytest.mark.parametrize(("told", "columns"), [("60", 60), ("1", 40), ("", None), ("wide", None), ("0", None)])
def test_columns_are_told_by_the_environment_where_there_is_no_terminal(told: str, columns: int | None) -> None:
    assert columns_of(io.StringIO(), {"COLUMNS": told}) == columns


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii", "utf-8"])
def test_a_document_is_whole_in_every_locale(encoding: str) -> None:
    """JSON has escapes: nothing of it becomes a question mark."""
    code = "import sys\nfrom microclaw.cli.main import main\nsys.exit(main(['--json', '\u732b\u2026']))"
    ran = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", code],
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
    )
    assert ran.returncode == 2
    assert "\u732b\u2026" in json.loads(ran.stdout.decode(encoding))["error"]["message"]
