"""The results of operations: HTTP encodes them, clients get them, commands print them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

import msgspec

from microclaw.conversion import convert
from microclaw.errors import Diagnostic
from microclaw.text import moment_text

S = TypeVar("S", bound=msgspec.Struct)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an operation.

    `document` is the name of its JSON document on the command line. `documents` is the name for many devices, if it is
    not the same with an "s".
    """

    document: ClassVar[str] = ""
    documents: ClassVar[str] = ""

    def __getitem__(self, name: str) -> Any:
        """Return a field or property, for str.format_map."""
        return getattr(self, name)

    @property
    def is_foreign(self) -> bool:
        """True if it has untrusted text that no device wrote: a model that has read it asks before it acts."""
        return False

    @property
    def exit_code(self) -> int:
        """The exit code of the command; 1 if the checked thing is not in order."""
        return 0

    @property
    def told(self) -> str:
        """The result in one line, for a list of many devices."""
        return ""

    def lines(self) -> Iterable[str | tuple[str, str]]:
        """Return the result as text, for a command whose operation has no sentence. A pair is a stage and its text."""
        return ()


R = TypeVar("R")


class DeviceResult(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """A result on one of many devices: the operation's result (`made`), or the `error` in the API's form."""

    device: str
    made: R | msgspec.UnsetType = msgspec.UNSET
    error: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class OnMany(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """The results on many devices; `left_out`: devices that have the label but do not offer the operation."""

    results: list[DeviceResult[R]]
    failed: int
    left_out: list[str]


class Listing(Result, frozen=True, kw_only=True):
    """A result with a list. `columns` are the heads of its table, each with an attribute of the rows.

    A number is shown by the unit in its attribute's name: `_bytes`, or `_s` and `_ms` for a moment. `row_device` is the
    attribute of a row with its device's name, if a choice of devices chooses rows.
    """

    columns: ClassVar[Mapping[str, str]] = {}
    empty: ClassVar[str] = ""
    row_device: ClassVar[str] = ""

    @property
    def rows(self) -> Sequence[Any]:
        """The list."""
        values = (getattr(self, name) for name in self.__struct_fields__)
        return next(value for value in values if isinstance(value, list | tuple))

    def of_devices(self, names: Collection[str]) -> Self:
        """Return the listing with only the rows of these devices."""
        rows = [row for row in self.rows if getattr(row, self.row_device) in names]
        return msgspec.structs.replace(self, **{self.__struct_fields__[0]: rows})

    def joined(self, more: Self) -> Self:
        """Return the listing with a later page appended, which says if there is another page."""
        return msgspec.structs.replace(more, **{self.__struct_fields__[0]: [*self.rows, *more.rows]})

    @property
    def note(self) -> str:
        """A line below the table."""
        return ""

    def table(self) -> list[tuple[str, ...]]:
        """Return its rows as texts; "-" for unknown values."""
        table = []
        for row in self.rows:
            table.append(tuple(_cell(name, getattr(row, name)) for name in self.columns.values()))
        return table


def filled(kind: type[S], row: object, /, **more: Any) -> S:
    """Return an object of this kind with the values in `more`, else the row's attributes of the same names."""
    values = {}
    for name in kind.__struct_fields__:
        if name in more:
            values[name] = more[name]
        else:
            values[name] = getattr(row, name)
    return kind(**values)


class SourceFinding(msgspec.Struct, frozen=True, kw_only=True, rename={"next_step": "next"}):
    """A finding in a source or a file; `line` and `column` count from 1, `text` is the whole finding for people."""

    severity: str
    message: str
    file: str | None
    line: int | None
    column: int | None
    source_line: str | None
    explanation: str | None
    next_step: str | None
    text: str


def findings(diagnostics: Iterable[Diagnostic]) -> list[SourceFinding]:
    return [convert(diagnostic.to_json(), SourceFinding) for diagnostic in diagnostics]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if name.endswith("_bytes"):
        return f"{value:,} B"
    if name.endswith("_ms"):
        return moment_text(value)
    if name.endswith("_s"):
        return moment_text(value * 1000)
    return f"{value:,}"
