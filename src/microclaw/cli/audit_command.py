"""`microclaw audit`: reads the security log's files, with or without a host. It changes nothing."""

from __future__ import annotations

import re
import time
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from microclaw.audit import AuditKind, Followed, RecordedEvent, is_wanted, read_events
from microclaw.audit.files import FOLDER
from microclaw.cli.options import GlobalOptions, global_options
from microclaw.errors import StoreError

FOLLOW_S: Final = 0.5
_AGO: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def audit(
    ctx: typer.Context,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="As 30m, 12h, 7d, or a day: 2026-11-20.")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", metavar="KIND", help="As token.wrong, or all of token; repeatable.")
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as events come, until Ctrl-C.")] = False,
) -> None:
    """The security log: who tried to come in, who was let in, what was decided."""
    options = global_options(ctx)
    kinds = _kinds(kind or ())
    home = options.settings().home
    from_ms = 0 if since is None else since_ms(since)
    try:
        _read(options, home, from_ms, kinds, follow=follow)
    except OSError as exc:
        text = f"the security log {home / FOLDER} cannot be read: {exc.strerror or exc}"
        raise StoreError(text, next_step="check what is there, its owner and permissions") from exc


def _read(options: GlobalOptions, home: Path, since_ms: int, kinds: frozenset[str], *, follow: bool) -> None:
    if follow:
        followed = Followed(home)
        while True:
            news = followed.new()
            _show(options, [one for one in news if one.at_ms >= since_ms and is_wanted(one.event.kind, kinds)])
            time.sleep(FOLLOW_S)
    found = list(read_events(home, since_ms=since_ms, kinds=kinds))
    if not options.wrote_json("audit", {"events": [_object(one) for one in found]}):
        _show(options, found)
        if not found:
            options.say("nothing of that kind or time" if kinds or since_ms else "nothing yet")


def _show(options: GlobalOptions, events: list[RecordedEvent]) -> None:
    for one in events:
        if options.wrote_json("audit_event", _object(one)):
            continue
        at = datetime.fromtimestamp(one.at_ms / 1000).astimezone()
        event = one.event
        facts = [event.text]
        facts += [f"about {event.about}"] if event.about else []
        facts += [f"from {event.address}"] if event.address else []
        facts += [f"by {event.by}"] if event.by else []
        options.line(f"{at:%Y-%m-%d %H:%M:%S}  {event.kind.value:<21}  {', '.join(facts)}")


def _object(one: RecordedEvent) -> dict[str, Any]:
    event = one.event
    return {
        "at_ms": one.at_ms,
        "kind": event.kind.value,
        "text": event.text,
        "about": event.about,
        "address": event.address,
        "by": event.by,
        "count": event.count,
    }


def _kinds(given: tuple[str, ...] | list[str]) -> frozenset[str]:
    groups = {kind.value.partition(".")[0] for kind in AuditKind}
    known = {*groups, *(kind.value for kind in AuditKind)}
    for name in given:
        if name not in known:
            raise typer.BadParameter(f"there is no kind {name[:40]!r}; kinds: {', '.join(sorted(groups))}")
    return frozenset(given)


def since_ms(text: str) -> int:
    """Unix time of "30m" ago, or of the local midnight of "2026-11-20". Raises BadParameter, which names --since."""
    now_ms = time.time_ns() // 1_000_000
    if (ago := _AGO.fullmatch(text)) is not None:
        return now_ms - int(ago[1]) * _UNIT_MS[ago[2]]
    try:
        day = date.fromisoformat(text)
        return int(datetime(day.year, day.month, day.day).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError):  # also a day before the calendar's first, in a zone east of Greenwich
        raise typer.BadParameter(f"--since {text[:40]!r}: say 30m, 12h, 7d, or a day as 2026-11-20") from None
