"""plot.py, which lies beside Python code in the sandbox: which CSV files it reads, and the line of docs/commands.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.tasks.conftest import Place, ended, order

from microclaw.tasks import plot

DOCS = Path(__file__).parents[2] / "docs" / "tasks.md"
AT = 1_769_860_800.0


def read(tmp_path: Path, text: str) -> dict[str, list[tuple[float, float]]]:
    (tmp_path / "data.csv").write_text(text)
    return plot.read(str(tmp_path / "data.csv"))


def test_a_column_of_times_and_columns_of_numbers_are_read(tmp_path: Path) -> None:
    two = {"a": [(AT, 1)], "b": [(AT, 2)]}
    for text, series in {
        "time,temperature\n2026-01-31T12:00:00Z,21.5\n": {"temperature": [(AT, 21.5)]},
        f"room,ts,a,b\nkitchen,{AT:.0f},1,\nkitchen,{AT:.0f}000,,2\n": two,
        "time,key,count,mean\n2026-01-31T12:00:00Z,a,3,1\n2026-01-31T12:00:00Z,b,3,2\n": two,
        f"\ufeffwhen,x\r\n2026-01-31T12:00:00+00:00,nan\r\n{AT:.0f},1\r\n": {"x": [(AT, 1)]},
        "time,x\n0,1\n1,2\n": {"x": [(0, 1), (1, 2)]},
    }.items():
        assert read(tmp_path, text) == series
    for text, said in {
        "": "first line",
        "time,a,a\n1,2,3\n": "different names",
        "time,a, A\n1,2,3\n": "different names",
        "time,a\nyesterday,1\n": "line 2, time: 'yesterday' is no time",
        "time,a\n1,2\n2,n/a\n": "line 3, a: 'n/a' is no number",
        "time,a\n1,hot\n": "no numbers in its columns a",
    }.items():
        with pytest.raises(ValueError, match=said):
            read(tmp_path, text)


async def test_the_line_of_the_readme_works_with_the_files_of_the_page(place: Place) -> None:
    page = DOCS.read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (data,) = re.findall(r"```csv\n(.*?)```", page, re.DOTALL)
    taken = await place.service.submit(order(code, files={"data.csv": data.encode()}, keep=("plot.png",)))
    row = await ended(place.service, taken.number)
    assert (row.state, row.output) == ("done", b"temperature: 2 points\n")
    assert [(one.name, one.media_type) for one in row.files] == [("plot.png", "image/png")]
