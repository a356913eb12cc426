"""Curves as a PNG with the standard library alone. Each Python task finds this file beside its code, as `plot.py`.

It runs inside the sandbox, so it imports nothing of microclaw; `read` takes the CSV that telemetry is given as, and
any other with a column of times and columns of numbers.
"""

from __future__ import annotations

import colorsys
import csv
import math
import struct
import time
import unicodedata
import zlib
from datetime import datetime

WIDTH, HEIGHT = 960, 480
TIMES = ("time", "timestamp", "date", "datetime", "at", "ts", "time_ms", "at_ms")
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 20, 40, 50
_NAMES_A_ROW, _NAME_ROWS, _NAME_CHARS = 4, 12, 25
_WHITE, _BLACK, _GREY = b"\xff\xff\xff", b"\x28\x28\x28", b"\xe1\xe1\xe1"
# Six rows of three dots for each letter.
_FORMS = (
    "755557 262227 717747 717317 557711 747717 747757 711111 757757 757717 255755 656556 344443 655556 747647 747644 "
    "345553 555755 722227 111756 556655 444447 577555 655555 255552 757744 255363 656655 743117 722222 555557 555522 "
    "555775 552255 552222 712447 000002 007000 020200 112244 511245 244442 211112 "
    "252000 000007 000024 002720"
)
_LETTERS = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.-:/%()°_,+", _FORMS.split(), strict=True))


def read(path: str = "telemetry.csv") -> dict[str, list[tuple[float, float]]]:
    """The series of a CSV file: a name, and (Unix time in seconds, number) in the file's order.

    Either telemetry (time,key,...,mean: a series for each key), or a column of times (its name is one of `TIMES`, or
    it is the first one) and columns of numbers: a series for each. Empty cells and columns of words are left out.
    ValueError says what is wrong.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    with open(path, newline="", encoding="utf-8-sig") as file:  # noqa: PTH123 - a person reads this file, too
        rows = csv.DictReader(file)
        names = [name for name in rows.fieldnames or () if name]
        if len(names) < 2 or len({name.strip().lower() for name in names}) < len(names):
            raise ValueError(f"{path}: its first line has to be different names with commas between: {names}")
        times = next((name for name in names if name.strip().lower() in TIMES), names[0])
        is_telemetry = "key" in names and "mean" in names
        values = ["mean"] if is_telemetry else [name for name in names if name != times]
        for row in rows:
            where = f"{path} line {rows.line_num}"
            at = _moment(row[times] or "", f"{where}, {times}")
            for name in values:
                series, text = row["key"] if is_telemetry else name.strip(), (row[name] or "").strip()
                number = _number(text)
                if number is not None and math.isfinite(number):
                    found.setdefault(series, []).append((at, number))
                elif number is None and text and series in found:
                    raise ValueError(f"{where}, {name}: {text[:40]!r} is no number, as 21.5")
    if not found:
        raise ValueError(f"{path} has no numbers in its columns {', '.join(values)}; a number is as 21.5")
    return found


def _moment(text: str, where: str) -> float:
    """Unix time of ISO 8601 or of a number: seconds, or milliseconds where seconds would be after the year 5138."""
    number = _number(text)
    if number is not None and math.isfinite(number):
        return number / 1000 if abs(number) >= 1e11 else number
    try:
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise ValueError(f"{where}: {text[:40]!r} is no time, as 2026-01-31T12:00:00Z or Unix seconds") from None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def lines(path: str, series: dict[str, list[tuple[float, float]]], title: str = "", unit: str = "") -> None:
    """Draw each series over time into a PNG at `path`."""
    curves = [sorted((at, value) for at, value in one if math.isfinite(value)) for one in series.values()]
    points = [point for one in curves for point in one]
    name_rows = math.ceil(len(curves) / _NAMES_A_ROW)
    if not points or name_rows > _NAME_ROWS:
        raise ValueError(f"{len(curves)} series with {len(points)} points: too few or too many for one picture")
    bottom = HEIGHT - _BOTTOM - 16 * (name_rows - 1)
    first, last = min(at for at, _ in points), max(at for at, _ in points)
    low, high = min(value for _, value in points), max(value for _, value in points)
    room = (high - low) * 0.05 or max(abs(high) * 0.05, 1.0)  # curves do not touch the bounds
    low, high, last = low - room, high + room, max(last, first + 1)
    canvas = _Canvas()

    def place(at: float, value: float) -> tuple[int, int]:
        x = _LEFT + (at - first) / (last - first) * (WIDTH - _LEFT - _RIGHT)
        return round(x), round(bottom - (value - low) / (high - low) * (bottom - _TOP))

    for part in range(5):
        value, at = low + (high - low) * part / 4, first + (last - first) * part / 4
        (x, _), (_, y) = place(at, low), place(first, value)
        canvas.line((_LEFT, y), (WIDTH - _RIGHT, y), _GREY)
        canvas.line((x, _TOP), (x, bottom), _GREY)
        canvas.text(f"{value:.4g}".rjust(7), 4, y - 5, _BLACK)
        shape = "%H:%M:%S" if last - first < 600 else "%H:%M" if last - first < 172_800 else "%m-%d"
        label = time.strftime(shape, time.localtime(at))
        canvas.text(label, min(x - 4 * len(label), WIDTH - 8 * len(label)), bottom + 12, _BLACK)
    for number, (name, curve) in enumerate(zip(series, curves, strict=True)):
        red, green, blue = colorsys.hsv_to_rgb((0.58 + number * 0.618034) % 1, 0.8, 0.45 + 0.15 * (number % 3))
        colour = bytes((round(255 * red), round(255 * green), round(255 * blue)))
        places = [place(at, value) for at, value in curve]
        for one, other in zip(places, places[1:] or places, strict=False):
            canvas.line(one, other, colour, thick=True)
        row, column = divmod(number, _NAMES_A_ROW)
        canvas.text(name[:_NAME_CHARS], _LEFT + 212 * column, bottom + 34 + 16 * row, colour)
    canvas.text(f"{title} ({unit})" if unit else title, _LEFT, 14, _BLACK, size=3)
    canvas.save(path)


class _Canvas:
    def __init__(self) -> None:
        self._rows = [bytearray(_WHITE * WIDTH) for _ in range(HEIGHT)]

    def dot(self, x: int, y: int, colour: bytes, size: int = 1) -> None:
        for row in self._rows[max(y, 0) : max(y + size, 0)]:
            if 0 <= x <= WIDTH - size:
                row[3 * x : 3 * (x + size)] = colour * size

    def line(self, begin: tuple[int, int], end: tuple[int, int], colour: bytes, *, thick: bool = False) -> None:
        steps = max(abs(end[0] - begin[0]), abs(end[1] - begin[1]), 1)
        for step in range(steps + 1):
            x = round(begin[0] + (end[0] - begin[0]) * step / steps)
            y = round(begin[1] + (end[1] - begin[1]) * step / steps)
            self.dot(x, y, colour, 2 if thick else 1)

    def text(self, text: str, x: int, y: int, colour: bytes, size: int = 2) -> None:
        """In capitals, accents left out, and a letter that has no form here as a space."""
        parts = unicodedata.normalize("NFKD", text).upper()
        for letter in [part for part in parts if not unicodedata.combining(part)][:60]:
            for row, bits in enumerate(_LETTERS.get(letter, "000000")):
                for column in range(3):
                    if int(bits) & (4 >> column):
                        self.dot(x + column * size, y + row * size, colour, size)
            x += 4 * size

    def save(self, path: str) -> None:
        """As PNG (RFC 2083): 8 bits of red, green and blue, no filter."""

        def chunk(name: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

        head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
        pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in self._rows), 6)
        with open(path, "wb") as file:  # noqa: PTH123 - a person reads this file, too
            file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
