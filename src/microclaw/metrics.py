"""Counters, gauges and histograms that every part may use, as Prometheus text. It serves nothing and keeps no history.

For the event loop's thread only. Label sets are bounded: a label has its values named beforehand, or a metric at most
MAX_SERIES series; what comes beyond is counted under "other". Format: Prometheus text exposition 0.0.4.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MAX_SERIES: Final = 1_100  # every device of a full host
OTHER: Final = "other"
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OWN_LABELS: Final = frozenset({"le", "quantile"})

Labels: TypeAlias = Mapping[str, str]
Sample: TypeAlias = tuple[str, Labels, float]  # the name's suffix, labels, value


class Metric(Protocol):
    def samples(self) -> Iterable[Sample]:
        """The lines of one series, without its own labels."""
        ...


M = TypeVar("M", bound=Metric)


class Counter:
    """Only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, count: float = 1) -> None:
        if count < 0:
            raise ValueError(f"a counter cannot go down by {-count}")
        self.value += count

    def samples(self) -> Iterable[Sample]:
        return (("", {}, self.value),)


class Gauge:
    """Goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def set(self, value: float) -> None:
        self.value = value

    def add(self, count: float = 1) -> None:
        self.value += count

    def samples(self) -> Iterable[Sample]:
        return (("", {}, self.value),)


class Histogram:
    """Counts observations by upper bounds, in the metric's unit; a bucket without bound comes last."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self) -> Iterator[Sample]:
        for bound, count in zip((*map(_number, self._bounds), "+Inf"), accumulate(self._counts), strict=True):
            yield "_bucket", {"le": bound}, count
        yield "_sum", {}, self._sum
        yield "_count", {}, sum(self._counts)


@dataclass(frozen=True, slots=True)
class Label:
    """`values` None: any, as long as the metric has room."""

    name: str
    values: frozenset[str] | None = None


class Family(Generic[M]):
    """All series of one metric. Keep what `series` returns where it is used often."""

    def __init__(self, name: str, kind: str, text: str, labels: Sequence[Label], make: Callable[[], M]) -> None:
        for part in (name, *(label.name for label in labels)):
            if not _NAME.fullmatch(part) or part in _OWN_LABELS:
                raise ValueError(f"{part!r} cannot name a metric or a label")
        self.name, self.kind, self.text = name, kind, text
        self._labels = tuple(labels)
        self._make = make
        self._series: dict[tuple[str, ...], M] = {}
        if all(label.values is not None for label in labels):
            self._make_all(())

    def series(self, *values: str) -> M:
        """The series of these label values, in the order of the labels."""
        if len(values) != len(self._labels):
            raise ValueError(f"{self.name} has {len(self._labels)} labels, got {len(values)} values")
        key = tuple(map(_known, self._labels, values))
        if key not in self._series:
            if len(self._series) >= MAX_SERIES:
                key = tuple(OTHER for _ in key)
            self._series.setdefault(key, self._make())
        return self._series[key]

    def forget(self, *values: str) -> None:
        """The named thing is gone: so is its series."""
        self._series.pop(values, None)

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {_escaped(self.text)}"
        yield f"# TYPE {self.name} {self.kind}"
        names = tuple(label.name for label in self._labels)
        for key, metric in self._series.items():
            own = dict(zip(names, key, strict=True))
            for suffix, extra, value in metric.samples():
                yield _line(self.name + suffix, {**own, **extra}, value)

    def _make_all(self, head: tuple[str, ...]) -> None:
        """A series that is known beforehand shows as 0 from the start."""
        if len(head) == len(self._labels):
            self._series[head] = self._make()
            return
        for value in sorted(self._labels[len(head)].values or ()):
            self._make_all((*head, value))


class Metrics:
    """Every metric of a host. A name is given once: who counts is handed the family or its series."""

    def __init__(self) -> None:
        self._families: dict[str, Family[Counter] | Family[Gauge] | Family[Histogram] | _Observed] = {}

    def counter(self, name: str, text: str, *labels: Label) -> Family[Counter]:
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total, {name} does not")
        return self._add(Family(name, "counter", text, labels, Counter))

    def gauge(self, name: str, text: str, *labels: Label) -> Family[Gauge]:
        return self._add(Family(name, "gauge", text, labels, Gauge))

    def histogram(self, name: str, text: str, bounds: Sequence[float], *labels: Label) -> Family[Histogram]:
        if not bounds or list(bounds) != sorted(set(bounds)):
            raise ValueError(f"the bounds of {name} must rise: {bounds}")
        return self._add(Family(name, "histogram", text, labels, lambda: Histogram(bounds)))

    def observed(self, name: str, text: str, read: Callable[[], Iterable[tuple[Labels, float]]]) -> None:
        """A gauge whose series are read when somebody asks, at most MAX_SERIES of them."""
        self._add(_Observed(Family(name, "gauge", text, (), Gauge), read))

    def render(self) -> str:
        """The whole page."""
        return "".join(f"{line}\n" for family in self._families.values() for line in family.lines())

    def _add(self, family: F) -> F:
        if family.name in self._families:
            raise ValueError(f"there is a metric {family.name} already")
        self._families[family.name] = family
        return family


class _Observed:
    def __init__(self, head: Family[Gauge], read: Callable[[], Iterable[tuple[Labels, float]]]) -> None:
        self.name = head.name
        self._head = head
        self._read = read

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {_escaped(self._head.text)}"
        yield f"# TYPE {self.name} gauge"
        for _, (labels, value) in zip(range(MAX_SERIES), self._read(), strict=False):
            yield _line(self.name, labels, value)


F = TypeVar("F", Family[Counter], Family[Gauge], Family[Histogram], _Observed)


def _known(label: Label, value: str) -> str:
    return value if label.values is None or value in label.values else OTHER


def _line(name: str, labels: Labels, value: float) -> str:
    if not labels:
        return f"{name} {_number(value)}"
    inner = ",".join(f'{key}="{_escaped(text, quotes=True)}"' for key, text in labels.items())
    return f"{name}{{{inner}}} {_number(value)}"


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text


def _number(value: float) -> str:
    """As Go's ParseFloat reads it; whole numbers without ".0"."""
    if abs(value) < 2**53 and value == int(value):
        return str(int(value))
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(text := repr(float(value)), text)
