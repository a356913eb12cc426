"""What a program said on the network of a trial, as events of its record, and in words. Judges nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Final, Literal

from msgspec import Struct

from microclaw.network_use import NetworkUse
from microclaw.programs.host_texts import NAME_SERVER, is_itself
from microclaw.programs.proof.line_pattern import LinePattern
from microclaw.programs.proof.record import WHOLE, Record, TrialWindow
from microclaw.text import clean_text
from microclaw.wire.board_replies import TrafficRow
from microclaw.wire.canned_lines import host_asked, with_sorted_query

_SHOWN_CHARS: Final = 60
_WRONG_CHARS: Final = 500
"""Of an answer that is not the wanted one: what is wrong with a page seldom stands at its beginning."""
_MAX_SHOWN: Final = 6


class Sent(Struct, frozen=True):
    """What the program sent: messages on a topic (`published`), or requests to a server (`asked`).

    `accepted_texts` are the topic, or what the request may be: "POST api.example.org/log"; without a query it is any.
    """

    kind: Literal["published", "asked"]
    accepted_texts: tuple[str, ...]
    pattern: LinePattern
    pin: ClassVar[None] = None

    @property
    def noun(self) -> str:
        if self.kind == "published":
            return "matching message"
        return "matching request"

    def times(self, seen: Record, window: TrialWindow = WHOLE) -> list[float]:
        until_ms = seen.until(window)
        times = []
        for row in seen.traffic:
            is_inside = window.from_ms <= row.t_ms <= until_ms
            if is_inside and self._is_of(row) and self.pattern.matches(row.text):
                times.append(row.t_ms)
        return times

    def _is_of(self, row: TrafficRow) -> bool:
        if row.kind != self.kind:
            return False
        if self.kind == "published":
            return row.what in self.accepted_texts
        accepted_texts = [with_sorted_query(text) for text in self.accepted_texts]
        return with_sorted_query(row.what) in accepted_texts or row.what.partition("?")[0] in accepted_texts


class PageAnswers(Struct, frozen=True):
    """The answer of the program's own server to the request with a number."""

    request: int
    pin: ClassVar[None] = None
    noun: ClassVar = "answer"

    def times(self, seen: Record, window: TrialWindow) -> list[float]:
        row = self.row(seen)
        if row is not None and window.from_ms <= row.t_ms <= seen.until(window):
            return [row.t_ms]
        return []

    def row(self, seen: Record) -> TrafficRow | None:
        """Return the answer; None if the server gave none."""
        for row in seen.traffic:
            if row.kind in ("answered", "closed") and row.request == self.request:
                return row
        return None


def traffic_texts(rows: Sequence[TrafficRow]) -> list[str]:
    """Return what was said in words: what the program asked and published, and what its own server answered."""
    texts = _counted_texts(rows)
    for row in rows:
        if row.kind == "answered":
            texts.append(f"{row.what} answered: {_answer_text(row, _SHOWN_CHARS)}")
        elif row.kind == "closed":
            texts.append(f"{row.what}: {row.text}")
    if len(texts) > _MAX_SHOWN:
        texts = [*texts[:_MAX_SHOWN], f"{len(texts) - _MAX_SHOWN} more on the network"]
    return texts


def judged_text(row: TrafficRow, *, is_right: bool) -> str:
    """Return what came of a request to the program's own server: "it answered 200 it is on"."""
    if row.kind == "closed":
        return row.text
    limit = _SHOWN_CHARS if is_right else _WRONG_CHARS
    return f"it answered {_answer_text(row, limit)}"


def _answer_text(row: TrafficRow, limit: int) -> str:
    """Return the answer of a program's own server: "200 it is on", or why what came is no whole HTTP."""
    text = clean_text(row.text, one_line=True)
    if len(text) > limit:
        text = f"{text[:limit]}..."
    if row.status is not None:
        return f"{row.status} {text}".rstrip()
    return text


def answer_advice(rows: Sequence[TrafficRow]) -> str:
    """Return what to do about that which no line answers."""
    if _asked_only_itself(rows):
        return NAME_SERVER
    return "the trial sends nothing: add a line as http GET HOST/PATH -> 200 TEXT, or mqtt broker HOST"


def unanswered(rows: Sequence[TrafficRow]) -> str | None:
    """Return "no line answers api.example.org" if the program asked what no line of the expectations is for."""
    names = list(dict.fromkeys(row.what for row in rows if row.kind == "unknown"))
    if not names:
        return None
    shown = ", ".join(names[:_MAX_SHOWN])
    if len(names) > _MAX_SHOWN:
        shown += f" and {len(names) - _MAX_SHOWN} more"
    if _asked_only_itself(rows):
        return f"{shown} is the board itself, which no program may talk to"
    return f"no line answers {shown}"


def _asked_only_itself(rows: Sequence[TrafficRow]) -> bool:
    """Return True if all that no line answers is the board itself."""
    return all(is_itself(host_asked(row.what)) for row in rows if row.kind == "unknown")


def unnamed_hosts(rows: Sequence[TrafficRow], network: NetworkUse) -> tuple[str, ...]:
    """Return a warning of the hosts that the program asked and that are not among its own; none if all are.

    The ports are not compared. For Python programs the board refuses other hosts.
    """
    own_hosts = {host.partition(":")[0] for host in network.hosts}
    hosts = dict.fromkeys(host_asked(row.what) for row in rows if row.kind in ("asked", "unknown"))
    names = [host for host in hosts if host not in own_hosts and not is_itself(host)]
    if not names:
        return ()
    shown = ", ".join(names[:_MAX_SHOWN])
    return (f"it talks to hosts that its text does not name: {shown}; name them: --hosts HOST:PORT",)


def _counted_texts(rows: Sequence[TrafficRow]) -> list[str]:
    counts = Counter((row.kind, row.what) for row in rows if row.kind in _COUNTED)
    texts = []
    for (kind, what), count in counts.items():
        times = "once" if count == 1 else f"{count} times"
        texts.append(f"{_COUNTED[kind]} {what} {times}")
    return texts


_COUNTED: Final[dict[str, str]] = {"asked": "asked", "published": "published", "received": "got", "lost": "missed"}
