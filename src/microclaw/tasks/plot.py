"""Curves as a PNG with the standard library alone. Each Python task finds this file beside its code, as `plot.py`.

It runs inside the sandbox, so it imports nothing of microclaw; `read` takes the CSV that telemetry is given as, and
any other with a column of times and columns of numbers.
"""

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
_MAX_LABEL, _LEGEND_ROWS, _ROW = 40, 12, 16  # characters of a name; rows of names, and the height of one
_FIRST_UNIX = 1e8  # a column that is not named as one of times has none before 1973
_WHITE, _BLACK, _GREY = (255, 255, 255), (40, 40, 40), (225, 225, 225)
_COLOURS = ((31, 111, 180), (214, 90, 40), (50, 140, 70), (130, 80, 160), (120, 120, 120))
_NO_ACCENTS = str.maketrans({"µ": "u", "μ": "u", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "æ": "ae", "Æ": "AE"})
# Six rows of three dots for each letter.
_FORMS = (
    "755557 262227 717747 717317 557711 747717 747757 711111 757757 757717 255755 656556 344443 655556 747647 747644 "
    "345553 555755 722227 111756 556655 444447 577555 655555 255552 757744 255363 656655 743117 722222 555557 555522 "
    "555775 552255 552222 712447 000002 007000 020200 112244 511245 244442 211112 "
    "252000 000007 000024 002720"
)
_LETTERS = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.-:/%()°_,+", _FORMS.split(), strict=True))


def read(path: str = "telemetry.csv") -> "dict[str, list[tuple[float, float]]]":
    """The series of a CSV file: a name, and (Unix time in seconds, number) in the file's order.

    Either telemetry (time,key,...,mean: a series for each key), or a column of times (its name is one of `TIMES`, or
    it is the first one) and columns of numbers: a series for each. `date` and `time` are one time together. Columns
    that begin with words are no series, and empty cells are left out. ValueError says what is wrong.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    words: set[str] = set()
    with open(path, newline="", encoding="utf-8-sig") as file:  # noqa: PTH123 - a person reads this file, too
        rows = csv.DictReader(file)
        names = [name for name in rows.fieldnames or () if name]
        if len(names) < 2 or any(_number(name) is not None for name in names):
            raise ValueError(
                f"{path}: its first line has to be names with commas between, as time,temperature: {names}"
            )
        time_names, is_named = _time_columns(path, names)
        is_telemetry = "key" in names and "mean" in names
        values = ["mean"] if is_telemetry else [name for name in names if name not in time_names]
        for row in rows:
            where = f"{path} line {rows.line_num}"
            at = _moment("T".join((row[name] or "").strip() for name in time_names), f"{where}, {time_names[-1]}")
            if not is_named and abs(at) < _FIRST_UNIX:
                raise ValueError(f"{where}: {names[0]} does not look like times; name the column of times `time`")
            for name in values:
                series, text = row["key"] if is_telemetry else name.strip(), (row[name] or "").strip()
                number = _number(text)
                if number is not None and math.isfinite(number) and name not in words:
                    found.setdefault(series, []).append((at, number))
                elif number is None and text and series in found:
                    raise ValueError(f"{where}, {name}: {text[:40]!r} is no number, as 21.5")
                elif number is None and text:
                    words.add(name)
    if not found:
        raise ValueError(f"{path} has no numbers in its columns {', '.join(values)}; a number is as 21.5")
    return found


def _time_columns(path: str, names: "list[str]") -> "tuple[tuple[str, ...], bool]":
    """The columns that are the time together, and whether they are named so."""
    known = [name.strip().lower() for name in names]
    twice = sorted({name for name in known if known.count(name) > 1})
    if twice:
        raise ValueError(f"{path} has two columns with the name {', '.join(twice)}: give one of them another name")
    found = {name.strip().lower(): name for name in names if name.strip().lower() in TIMES}
    if set(found) == {"date", "time"}:
        return (found["date"], found["time"]), True
    if len(found) > 1:
        raise ValueError(f"{path} has more than one column of times: {', '.join(found.values())}; leave one of them")
    return (next(iter(found.values()), names[0]),), bool(found)


def _moment(text: str, where: str) -> float:
    """Unix time of ISO 8601 or of a number: seconds, or milliseconds where seconds would be after the year 5138."""
    number = _number(text)
    if number is not None and math.isfinite(number):
        return number / 1000 if abs(number) >= 1e11 else number
    try:
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise ValueError(f"{where}: {text[:40]!r} is no time, as 2026-01-31T12:00:00Z or Unix seconds") from None


def _number(text: str) -> "float | None":
    try:
        return float(text)
    except ValueError:
        return None


def lines(path: str, series: "dict[str, list[tuple[float, float]]]", title: str = "", unit: str = "") -> None:
    """Draw each series over time into a PNG at `path`."""
    curves = [sorted((at, value) for at, value in one if math.isfinite(value)) for one in series.values()]
    points = [point for one in curves for point in one]
    if not points:
        raise ValueError("there is nothing to plot: every series is empty")
    canvas = _Canvas()
    names, bottom = _legend(list(series))
    first, last = min(at for at, _ in points), max(at for at, _ in points)
    low, high = _rounded(min(value for _, value in points), max(value for _, value in points))
    last = max(last, first + 1)

    def place(at: float, value: float) -> "tuple[int, int]":
        x = _LEFT + (at - first) / (last - first) * (WIDTH - _LEFT - _RIGHT)
        y = HEIGHT - bottom - (value - low) / (high - low) * (HEIGHT - _TOP - bottom)
        return round(x), round(y)

    for part in range(5):
        value, at = low + (high - low) * part / 4, first + (last - first) * part / 4
        (x, _), (_, y) = place(at, low), place(first, value)
        canvas.line((_LEFT, y), (WIDTH - _RIGHT, y), _GREY)
        canvas.line((x, _TOP), (x, HEIGHT - bottom), _GREY)
        canvas.text(f"{value:.4g}".rjust(7), 4, y - 5, _BLACK)
        shape = "%H:%M:%S" if last - first < 600 else "%H:%M" if last - first < 172_800 else "%m-%d"
        label = time.strftime(shape, time.localtime(at))
        canvas.text(label, min(x - 4 * len(label), WIDTH - 8 * len(label)), HEIGHT - bottom + 12, _BLACK)
    for number, curve in enumerate(curves):
        places = [place(at, value) for at, value in curve]
        for one, other in zip(places, places[1:] or places, strict=False):
            canvas.line(one, other, _colour(number), thick=True)
    for number, (name, x, y) in enumerate(names):
        canvas.text(name, x, y, _colour(number))
    canvas.text(f"{title} ({unit})" if unit else title, _LEFT, 14, _BLACK, size=3)
    canvas.save(path)


def _legend(names: "list[str]") -> "tuple[list[tuple[str, int, int]], int]":
    """Each name with its place, in as many rows as they need, and the room below the curves."""
    shown: list[tuple[str, int, int]] = []
    x, row = _LEFT, 0
    for name in names:
        label = _plain(name)[:_MAX_LABEL]
        width = 8 * len(label)
        if x > _LEFT and x + width > WIDTH - _RIGHT:
            x, row = _LEFT, row + 1
        if row >= _LEGEND_ROWS:
            raise ValueError(f"{len(names)} series are too many for one picture: plot fewer, or give shorter names")
        shown.append((label, x, row))
        x += max(width + 16, 80)
    bottom = _BOTTOM + _ROW * row
    return [(label, x, HEIGHT - bottom + 34 + _ROW * at) for label, x, at in shown], bottom


def _colour(number: int) -> "tuple[int, int, int]":
    """Another one for each curve."""
    if number < len(_COLOURS):
        return _COLOURS[number]
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.9, 0.45 + 0.15 * (number % 3))
    return round(255 * red), round(255 * green), round(255 * blue)


def _plain(text: str) -> str:
    """In capitals, and letters with accents as their base letters."""
    parts = unicodedata.normalize("NFKD", text.translate(_NO_ACCENTS))
    return "".join(char for char in parts if not unicodedata.combining(char)).upper()


def _rounded(low: float, high: float) -> "tuple[float, float]":
    """Bounds that curves do not touch."""
    room = (high - low) * 0.05 or max(abs(high) * 0.05, 1.0)
    return low - room, high + room


class _Canvas:
    def __init__(self) -> None:
        self._rows = [bytearray(bytes(_WHITE) * WIDTH) for _ in range(HEIGHT)]

    def dot(self, x: int, y: int, colour: "tuple[int, int, int]") -> None:
        if 0 <= x < WIDTH and 0 <= y < HEIGHT:
            self._rows[y][3 * x : 3 * x + 3] = bytes(colour)

    def line(
        self,
        begin: "tuple[int, int]",
        end: "tuple[int, int]",
        colour: "tuple[int, int, int]",
        *,
        thick: bool = False,
    ) -> None:
        steps = max(abs(end[0] - begin[0]), abs(end[1] - begin[1]), 1)
        for step in range(steps + 1):
            x = round(begin[0] + (end[0] - begin[0]) * step / steps)
            y = round(begin[1] + (end[1] - begin[1]) * step / steps)
            for more in ((0, 0), (0, 1), (1, 0)) if thick else ((0, 0),):
                self.dot(x + more[0], y + more[1], colour)

    def text(self, text: str, x: int, y: int, colour: "tuple[int, int, int]", size: int = 2) -> None:
        """A letter that has no form here is left out as a space."""
        for letter in _plain(text)[:60]:
            for row, bits in enumerate(_LETTERS.get(letter, "000000")):
                for column in range(3):
                    if int(bits) & (4 >> column):
                        for dot in range(size * size):
                            self.dot(x + column * size + dot % size, y + row * size + dot // size, colour)
            x += 4 * size

    def save(self, path: str) -> None:
        """As PNG (RFC 2083): 8 bits of red, green and blue, no filter."""

        def chunk(name: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

        head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
        pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in self._rows), 6)
        with open(path, "wb") as file:  # noqa: PTH123 - a person reads this file, too
            file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
