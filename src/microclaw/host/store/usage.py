"""The cost of models: counters by day, person, chat, model and task. Knows no price and no clock."""

from __future__ import annotations

from collections.abc import Sequence
from operator import add
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import astuple

from microclaw.host.store.rows import Table, reads, writes
from microclaw.host.store.sql import Sql

UsageGroup: TypeAlias = Literal["day", "person", "chat", "model", "task"]

KEPT_DAYS: Final = 400
# Of one report; the most expensive come first, the rest are one line.
MAX_GROUPS: Final = 1000
_COLUMNS: Final[dict[UsageGroup, str]] = {
    "day": "day",
    "person": "person",
    "chat": "channel || ':' || chat_id",
    "model": "model",
    "task": "task",
}


class UsageKey(Struct, frozen=True):
    """The person, chat, model and task of a counter; `day` is YYYY-MM-DD in the person's calendar."""

    day: str
    person: str
    channel: str
    chat_id: str
    model: str
    task: str


class UsageCount(Struct, frozen=True):
    """Counters that add up. `estimated` requests reported no tokens; the price of `unpriced` requests is unknown."""

    requests: int = 0
    failed: int = 0
    estimated: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_nano_usd: int = 0

    def __add__(self, other: UsageCount) -> UsageCount:
        return UsageCount(*map(add, astuple(self), astuple(other)))

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def cost_usd(self) -> float:
        return self.cost_nano_usd / 1e9


_NAMES: Final = UsageCount.__struct_fields__
_SUMS: Final = ", ".join(f"coalesce(sum({name}), 0)" for name in _NAMES)


class UsageTable(Table):
    """The counters of one database."""

    @writes
    def add(self, sql: Sql, key: UsageKey, count: UsageCount) -> None:
        """Add to a row's counters; they are on the disk when this returns."""
        values = (*astuple(key), *astuple(count))
        query = (
            f"INSERT INTO usage VALUES ({', '.join('?' * len(values))}) "  # noqa: S608  names of ours
            "ON CONFLICT (day, person, channel, chat_id, model, task) DO UPDATE SET "
            + ", ".join(f"{name} = usage.{name} + excluded.{name}" for name in _NAMES)
        )
        sql.execute(query, values)

    @reads
    def of_day(self, sql: Sql, day: str, person: str) -> tuple[UsageCount, UsageCount]:
        """Return the day's counters of everyone, and the counters of this person."""
        query = f"SELECT {_SUMS} FROM usage WHERE day = ?"  # noqa: S608  names of ours
        everyone = sql.execute(query, (day,)).fetchone()
        personal = sql.execute(f"{query} AND person = ?", (day, person)).fetchone()
        return UsageCount(*everyone), UsageCount(*personal)

    @reads
    def report(
        self, sql: Sql, by: UsageGroup, since: str, person: str | None = None
    ) -> Sequence[tuple[str, UsageCount]]:
        """Return counters since a day, of everyone or one person, by group.

        Days are in order, other groups by cost, then by tokens.
        """
        order = "1" if by == "day" else "sum(cost_nano_usd) DESC, sum(input_tokens + output_tokens) DESC, 1"
        rows = sql.execute(
            f"SELECT {_COLUMNS[by]}, {_SUMS} FROM usage WHERE day >= ?1 AND (?2 IS NULL OR person = ?2) "  # noqa: S608  names of ours
            f"GROUP BY 1 ORDER BY {order}",
            (since, person),
        )
        groups = [(str(name), UsageCount(*counters)) for name, *counters in rows]
        if len(groups) <= MAX_GROUPS:
            return groups
        others = sum((count for _, count in groups[MAX_GROUPS:]), start=UsageCount())
        return [*groups[:MAX_GROUPS], (f"{len(groups) - MAX_GROUPS} others", others)]

    @writes
    def forget_before(self, sql: Sql, day: str) -> None:
        sql.execute("DELETE FROM usage WHERE day < ?", (day,))
