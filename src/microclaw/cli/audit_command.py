"""`microclaw audit`: reads and verifies the security log's files, with or without a host. It changes nothing."""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from microclaw.audit import (
    AuditKind,
    ChainReport,
    Followed,
    RecordedEvent,
    is_wanted,
    kept_heads,
    read_events,
    verify_chains,
)
from microclaw.audit.files import FOLDER
from microclaw.audit.shared import shared_as
from microclaw.cli.options import FAILED, GlobalOptions, command_group, global_options
from microclaw.config.load import read_nats
from microclaw.config.settings import Settings
from microclaw.errors import ConfigError, StoreError
from microclaw.text import clean_text, count_text

if TYPE_CHECKING:
    from microclaw.cli.audit_cluster import HostChain

FOLLOW_S: Final = 0.5
MAX_TAIL: Final = 100_000
BROKEN_STEP: Final = (
    "was it a person of this host, or an older version of microclaw in this home? Else keep a copy of the folder "
    "audit, compare it with a backup, and look who could write there"
)
_HEAD: Final = re.compile(r"(?:(?P<stem>acts|attempts):(?P<n>[0-9]{1,15}):)?(?P<hash>[0-9a-f]{64})")
_AGO: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


audit_group = command_group(runs_alone=True)
Since = Annotated[str | None, typer.Option("--since", metavar="WHEN", help="As 30m, 12h, 7d, or a day: 2026-11-20.")]
Kinds = Annotated[
    list[str] | None, typer.Option("--kind", metavar="KIND", help="As token.wrong, or all of token; repeatable.")
]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on as events come, until Ctrl-C.")]

From = Annotated[
    str | None, typer.Option("--from", metavar="NAME", help="Of a cluster's hosts, the one with this name or id.")
]
Nats = Annotated[
    str | None, typer.Option("--nats", metavar="nats://HOST:PORT", help="The cluster's servers; else cluster.nats.")
]
Tail = Annotated[
    int | None, typer.Option("--tail", metavar="N", min=0, max=MAX_TAIL, help="Only the newest N of the events.")
]


@audit_group.callback()
def audit(
    ctx: typer.Context,
    since: Since = None,
    kind: Kinds = None,
    tail: Tail = None,
    follow: Follow = False,
    of_host: From = None,
    nats: Nats = None,
) -> None:
    """The security log: who tried to come in, who was let in, what was decided. Without a command: show."""
    if ctx.invoked_subcommand is None:
        show(ctx, since, kind, tail, follow, of_host, nats)
    elif since is not None or kind or follow or tail is not None or of_host or nats:
        text = "--since, --kind, --tail, -f, --from and --nats go behind the command: microclaw audit show --since 7d"
        raise typer.BadParameter(text)


@audit_group.command("show")
def show(
    ctx: typer.Context,
    since: Since = None,
    kind: Kinds = None,
    tail: Tail = None,
    follow: Follow = False,
    of_host: From = None,
    nats: Nats = None,
) -> None:
    """The events, oldest first; of all hosts where this one is in a cluster."""
    options = global_options(ctx)
    kinds = _kinds(kind or ())
    from_ms = 0 if since is None else since_ms(since)
    settings = _in_cluster(options, nats)
    if settings is not None:
        try:
            _read_cluster(options, settings, from_ms, kinds, tail=tail, follow=follow, of_host=of_host)
        except (ConfigError, StoreError) as exc:
            if of_host is not None or nats is not None:
                raise
            _own_alone(exc)
        else:
            return
    if of_host is not None:
        raise typer.BadParameter("--from is for a cluster, and this host is alone: name its servers with --nats")
    with _readable(options) as home:
        _read(options, home, from_ms, kinds, tail=tail, follow=follow)


@audit_group.command("verify")
def verify(
    ctx: typer.Context,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", metavar="HEAD", help="A head that was noted elsewhere (audit head); repeatable."),
    ] = None,
    nats: Nats = None,
) -> None:
    """Whether a line was changed, removed or inserted, or the end cut off. Exit code 1 when it is not whole.

    In a cluster also of the other hosts' logs, as NATS has them, and of this one's against its files.
    """
    options = global_options(ctx)
    noted = [_noted(text) for text in head or ()]
    settings = _in_cluster(options, nats)
    elsewhere: list[HostChain] = []
    if settings is not None:
        try:
            elsewhere = _chains(settings)
        except (ConfigError, StoreError) as exc:
            if nats is not None:
                raise
            _own_alone(exc)
    sent = [one.report for one in elsewhere if one.is_own and one.report.last.n]
    noted += [_noted(f"{one.stem}:{one.last.n}:{one.last.hash}") for one in sent]  # what others have of this log
    with _readable(options) as home:
        reports = verify_chains(home, frozenset(one.hash for one in noted))
    unknown = [text for one in noted if (text := _unknown_head(one, reports)) is not None]
    whole = not unknown and all(report.whole for report in (*reports, *(one.report for one in elsewhere)))
    document = {
        "whole": whole,
        "sets": [_report(report) for report in reports],
        "heads": unknown,
        "hosts": [{"host": one.host, "log": one.log, **_report(one.report)} for one in elsewhere],
    }
    if not options.wrote_json("audit_verify", document):
        for report in reports:
            _show_chain(options, chain_text(report), report)
        for chain in elsewhere:
            own = ", this host" if chain.is_own else ""
            _show_chain(options, f"{chain.host}{own}, in NATS: {chain_text(chain.report)}", chain.report)
        for text in unknown:
            options.line(f"NOT FOUND {text}")
        if not whole:
            options.line(f"next: {BROKEN_STEP}")
    if not whole:
        raise typer.Exit(FAILED)


def _show_chain(options: GlobalOptions, text: str, report: ChainReport) -> None:
    options.line(text)
    for one in report.breaks:
        options.line(f"  {one.what}: {one.file} line {one.line}: {one.text}")
    if (more := report.break_count - len(report.breaks)) > 0:
        options.line(f"  and {more:,} more places")


def _in_cluster(options: GlobalOptions, nats: str | None) -> Settings | None:
    """The settings of a host in a cluster; None for one that is alone, and where only its own log can be read."""
    settings = options.settings()
    if nats is None and settings.cluster.nats is None:
        with _readable(options) as home:
            known = shared_as(home)
        if known is not None:
            sys.stderr.write(
                f"note: this home is of the cluster {known.cluster}, and these are its own lines alone: "
                "--nats nats://HOST:4222, or config set cluster.nats, shows all hosts'\n"
            )
        return None
    cluster = settings.cluster if nats is None else replace(settings.cluster, nats=read_nats(nats))
    return replace(settings, cluster=cluster)


def _own_alone(exc: ConfigError | StoreError) -> None:
    sys.stderr.write(f"note: {clean_text(exc.message)}; these are this host's own lines alone\n")


def _chains(settings: Settings) -> list[HostChain]:
    from microclaw.cli.audit_cluster import chains_of_hosts  # NATS' client, in a cluster alone

    return chains_of_hosts(settings)


def _read_cluster(
    options: GlobalOptions,
    settings: Settings,
    since_ms: int,
    kinds: frozenset[str],
    *,
    tail: int | None,
    follow: bool,
    of_host: str | None,
) -> None:
    from microclaw.cli.audit_cluster import AuditOfHosts, HostEvent  # NATS' client, in a cluster alone

    def wanted(one: HostEvent) -> bool:
        return one.found.at_ms >= since_ms and is_wanted(one.found.event.kind, kinds)

    def shown(events: list[HostEvent]) -> None:
        _show(options, [one.found for one in events], [one.host for one in events])

    log = AuditOfHosts(settings, wanted, MAX_TAIL if tail is None else tail, of_host)
    with _readable(options):
        if follow:
            log.follow(shown)
        events = log.events()
    document = [_object(one.found, one.host) for one in events]
    if not options.wrote_json("audit", {"events": document}):
        shown(events)
        if not events and tail != 0:
            options.say("nothing of that kind, host or time" if kinds or since_ms or of_host else "nothing yet")


@audit_group.command("head")
def show_head(ctx: typer.Context) -> None:
    """The last line of each chain, to be noted elsewhere: `audit verify --head` compares with it later."""
    options = global_options(ctx)
    with _readable(options) as home:
        heads = kept_heads(home)
    found = {stem: {"n": link.n, "hash": link.hash} for stem, link in heads.items()}
    if options.wrote_json("audit_head", {"heads": found}):
        return
    for stem, link in heads.items():
        options.line(f"{stem}:{link.n}:{link.hash}")
    if not heads:
        options.say("nothing yet")


@dataclass(frozen=True, slots=True)
class _Noted:
    """A head as somebody noted it: `stem` and `n` where only the hash was kept are None."""

    text: str
    hash: str
    stem: str | None = None
    n: int | None = None


def _noted(text: str) -> _Noted:
    found = _HEAD.fullmatch(text.strip().lower())
    if found is None:
        raise typer.BadParameter(f"--head {text[:80]!r}: give a line of `microclaw audit head`, or its 64 hex digits")
    return _Noted(text.strip(), found["hash"], found["stem"], int(found["n"]) if found["n"] else None)


def _unknown_head(noted: _Noted, reports: Iterable[ChainReport]) -> str | None:
    """Why a noted head is not in the log; None when it is."""
    named = [report for report in reports if noted.stem in (None, report.stem)]
    if any(noted.hash in report.found or report.anchor.hash == noted.hash for report in named):
        return None
    if noted.n is not None and any(noted.n < report.anchor.n for report in named):
        return f"{noted.text}: that line was rotated away; note the head more often"
    return f"{noted.text}: no line of the log has this hash: what was there when it was noted was changed or cut off"


def chain_text(report: ChainReport) -> str:
    """One line: what the chain covers, and whether it is whole."""
    facts = [count_text(report.lines, "line")]
    if report.anchor.n:
        facts.append(f"from {report.anchor.n + 1:,} on, the ones before were rotated away")
    if report.older:
        facts.append(f"{report.older:,} more of before the chain, which it does not cover")
    if report.torn:
        places = ", ".join(f"{file} line {line}" for file, line in report.torn_at)
        more = report.torn - len(report.torn_at)
        facts.append(
            f"{count_text(report.torn, 'line')} outside of the chain that {'holds' if report.torn == 1 else 'hold'} no "
            f"event ({places}{f' and {more:,} more' if more else ''}): a power cut leaves such, and an editor may"
        )
    if report.whole and not (report.lines or report.anchor.n or report.older or report.torn):
        return f"{report.stem:<9} empty: no line was written yet"
    return f"{report.stem:<9} {'whole' if report.whole else 'BROKEN'}: {'; '.join(facts)}"


def _report(report: ChainReport) -> dict[str, Any]:
    return {
        "set": report.stem,
        "whole": report.whole,
        "lines": report.lines,
        "head": {"n": report.last.n, "hash": report.last.hash},
        "rotated_away": report.anchor.n,
        "before_the_chain": report.older,
        "torn": report.torn,
        "torn_at": [{"file": file, "line": line} for file, line in report.torn_at],
        "breaks": [{"what": one.what, "file": one.file, "line": one.line, "text": one.text} for one in report.breaks],
        "break_count": report.break_count,
    }


@contextmanager
def _readable(options: GlobalOptions) -> Iterator[Path]:
    """The home; what cannot be read there is told with the next step."""
    home = options.settings().home
    try:
        yield home
    except OSError as exc:
        text = f"the security log {home / FOLDER} cannot be read: {exc.strerror or exc}"
        raise StoreError(text, next_step="check what is there, its owner and permissions") from exc


def _read(
    options: GlobalOptions, home: Path, since_ms: int, kinds: frozenset[str], *, tail: int | None, follow: bool
) -> None:
    if follow:
        followed = Followed(home)
        while True:
            news = followed.new()
            wanted = (one for one in news if one.at_ms >= since_ms and is_wanted(one.event.kind, kinds))
            _show(options, list(deque(wanted, maxlen=tail)))
            tail = None  # of what was there already; what comes is shown whole
            time.sleep(FOLLOW_S)
    found = list(deque(read_events(home, since_ms=since_ms, kinds=kinds), maxlen=tail))
    if not options.wrote_json("audit", {"events": [_object(one) for one in found]}):
        _show(options, found)
        if not found and tail != 0:
            options.say("nothing of that kind or time" if kinds or since_ms else "nothing yet")


def _show(options: GlobalOptions, events: list[RecordedEvent], hosts: Sequence[str] = ()) -> None:
    """`hosts`: whose each is, in a cluster."""
    width = max(map(len, hosts), default=0)
    for one, host in zip_longest(events, hosts):
        if options.wrote_json("audit_event", _object(one, host)):
            continue
        at = datetime.fromtimestamp(one.at_ms / 1000).astimezone()
        event = one.event
        facts = [event.text]
        facts += [f"about {event.about}"] if event.about else []
        facts += [f"from {event.address}"] if event.address else []
        facts += [f"by {event.by}"] if event.by else []
        facts += [f"approval {event.approval}"] if event.approval else []
        where = f"{host:<{width}}  " if host else ""
        options.line(f"{at:%Y-%m-%d %H:%M:%S}  {where}{event.kind.value:<21}  {', '.join(facts)}")


def _object(one: RecordedEvent, host: str | None = None) -> dict[str, Any]:
    event = one.event
    return {
        **({} if host is None else {"host": host}),
        "at_ms": one.at_ms,
        "kind": event.kind.value,
        "text": event.text,
        "about": event.about,
        "address": event.address,
        "by": event.by,
        "approval": event.approval,
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
