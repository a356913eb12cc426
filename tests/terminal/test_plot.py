"""A plot fits its width, has its scale, unit and times, and draws what it was given."""

from __future__ import annotations

import pytest

from microclaw.terminal.plot import MIN_COLUMNS, PlotPoint, draw_plot, number_text

HOUR_MS = 3_600_000


def points(values: list[float], step_ms: int = 60_000) -> list[PlotPoint]:
    return [PlotPoint(n * step_ms, value, value, value) for n, value in enumerate(values)]


def plot(values: list[PlotPoint], columns: int = 80, *, rows: int = 8) -> list[str]:
    return draw_plot(
        values, title="lamp temperature", unit="°C", since_ms=0, until_ms=HOUR_MS, columns=columns, rows=rows
    )  # fmt: skip


@pytest.mark.parametrize("columns", [10, 40, 79, 160])
@pytest.mark.parametrize("values", [[1.0], [5.0] * 60, [20 + n % 7 for n in range(60)], [-1e300, 1e300], [0, 1e-7]])
def test_it_fits_its_width(columns: int, values: list[float]) -> None:
    lines = plot(points(values), columns)
    assert max(map(len, lines)) <= max(columns, MIN_COLUMNS)
    assert len(lines) == 8 + 3


def test_scale_unit_and_times_stand_at_the_axes() -> None:
    lines = plot(points([20.0 + n / 10 for n in range(60)]))
    assert lines[0] == "lamp temperature in °C   last 25.90   min 20.00   max 25.90"
    assert lines[1].startswith("25.9 °C ┤")
    assert lines[8].startswith("20.0 °C ┤")
    assert lines[9].lstrip().startswith("└───")
    assert lines[10].split()[0].endswith(":00")
    assert len(lines[10].split()) == 3


def test_a_rising_line_rises() -> None:
    drawn = [
        line.partition("┤")[2] or line.partition("│")[2] for line in plot(points([float(n) for n in range(60)]))[1:9]
    ]
    firsts = [len(row) - len(row.lstrip()) for row in drawn]
    assert firsts == sorted(firsts, reverse=True)
    assert all(row.strip() for row in drawn)


def test_a_gap_stays_empty() -> None:
    drawn = plot([*points([5.0] * 10), *[PlotPoint(p.at_ms + 50 * 60_000, 5, 5, 5) for p in points([5.0] * 10)]])
    row = next(line for line in drawn[1:9] if any(0x2800 < ord(char) < 0x2900 for char in line))
    assert "     " in row.strip()


def test_the_least_and_most_of_a_stretch_are_a_stroke() -> None:
    drawn = plot([PlotPoint(0, 1.0, 9.0, 5.0)], rows=4)
    assert all(any(0x2800 < ord(char) < 0x2900 for char in line) for line in drawn[1:5])


def test_nothing_is_said_so() -> None:
    (line,) = plot([])
    assert line.startswith("lamp temperature: no values from ")


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [(180_224, 1000, "180,224"), (21.456, 0.1, "21.5"), (-56, 1, "-56"), (0, 0, "0.00000"), (1e300, 1, "1.000e+300")],
)
def test_numbers_have_the_decimals_that_matter(value: float, step: float, text: str) -> None:
    assert number_text(value, step) == text
