"""`microclaw person` and `status --open`: links that sign a browser in, the authority that it trusts, the security log.

The log is read and verified with or without a host.
"""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import click
from click.exceptions import Exit
from msgspec import to_builtins
from msgspec.structs import asdict

from microclaw.errors import ConfigError, NoHost, StoreError
from microclaw.host.audit.event import AuditKind, RecordedEvent
from microclaw.host.audit.log_files import FOLDER, ChainReport, followed_events, verify_chains
from microclaw.host.auth import operations as people
from microclaw.interfaces.api.operations import read_status
from microclaw.interfaces.cli.operation_commands import perform
from microclaw.interfaces.cli.options import FAILED, GlobalOptions, Texts, command, secret_value
from microclaw.text import count_text, moment_text, since_ms

person_group = click.Group(no_args_is_help=True)
FOLLOW_S: Final = 0.5
# For each chain: at most this many breaks, and lines without an event, are listed.
MAX_NAMED: Final = 20
MAX_TAIL: Final = 100_000
BROKEN_STEP: Final = (
    "was it a person of this host, or an older version of microclaw in this home? Else keep a copy of the folder "
    "audit, compare it with a backup, and look who could write there"
)
_HEAD: Final = re.compile(r"(?:(?P<stem>acts|attempts):(?P<n>[0-9]{1,15}):)?(?P<hash>[0-9a-f]{64})")
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


def open_page(options: GlobalOptions, person: str) -> None:
    """Print a link that signs a browser in, once."""
    options.only_here("microclaw status --open")
    host = options.host()
    status = host.call(read_status)
    if status.http is None:
        raise NoHost("this host has no address for browsers", next_step="microclaw up --port 8080")
    link = host.call(people.link, person=person)
    ca_sha256 = status.https.ca_sha256
    urls = [url + link.path for url in status.https.urls]
    if options.wrote_json("open", {**to_builtins(link), "url": urls[0], "urls": urls, "ca_sha256": ca_sha256}):
        return
    options.line(urls[0])
    for url in urls[1:]:
        options.say(f"or  {url}")
    options.say(f"signs {link.person} ({link.role}) in once, within {link.expires_s / 60:.0f} minutes")
    if ca_sha256 is not None:
        options.say(f"the host's own authority, SHA-256 {ca_sha256}: microclaw person ca FILE")


@command(person_group, "password")
@click.argument("name")
@click.option("--remove", is_flag=True, help="No password any more.")
def password(options: GlobalOptions, name: str, remove: bool) -> None:
    """Set a password, typed twice or on stdin; every session of the person ends."""
    text = None
    if not remove:
        text = secret_value(f"A password for {name}, at least 12 characters", "-", is_new=True)
    perform(options, people.set_password, {"name": name, "password": text})


@command(person_group, "ca")
@click.argument("file", required=False, help="Write the certificate (PEM) there; - prints it.")
def authority(options: GlobalOptions, file: str | None) -> None:
    """Show the host's own certificate authority, for browsers and `--host`: its fingerprint, never its key."""
    from microclaw.authority_pem import pem_fingerprint
    from microclaw.durable import read_private
    from microclaw.host.auth.authority import AUTHORITY_FILE

    options.only_here("its authority")
    path = options.settings().identity / AUTHORITY_FILE
    # The same file has the private key, which must never be printed.
    match = _CERTIFICATE.search(read_private(path) or b"")
    if match is None:
        step = "microclaw config set host.http_tls own, then microclaw up"
        raise ConfigError("this host has no authority of its own yet", next_step=step)
    certificate = match[0]
    if file == "-":
        sys.stdout.write(certificate.decode("ascii"))
        return
    if file is None:
        sha256 = pem_fingerprint(certificate)
        text = f"SHA-256 {sha256}\nits certificate in a file: microclaw person ca FILE"
        options.report("ca", {"sha256": sha256, "file": str(path)}, text)
        return
    try:
        Path(file).write_bytes(certificate)
    except OSError as exc:
        raise ConfigError(f"cannot write {file}: {exc.strerror or exc}", next_step="name another FILE") from exc
    options.report("ca", {"file": file}, f"{file}: import it where the host's pages are opened")


@command(person_group, "log")
@click.option("--since", type=since_ms, metavar="WHEN", help="As 30m, 12h, 7d, or a day: 2026-11-20.")
@click.option("--kind", multiple=True, metavar="KIND", help="As token.wrong, or all of token; repeatable.")
@click.option("--tail", type=click.IntRange(0, MAX_TAIL), metavar="N", help="Only the newest N of the events.")
@click.option("-f", "--follow", is_flag=True, help="Go on as events come, until Ctrl-C.")
@click.option("--verify", is_flag=True, help="Whether a line was changed, removed or inserted; and each chain's head.")
@click.option("--head", multiple=True, metavar="HEAD", help="--verify: a head that was noted elsewhere; repeatable.")
def audit(
    options: GlobalOptions,
    *,
    since: int | None,
    kind: Texts,
    tail: int | None,
    follow: bool,
    verify: bool,
    head: Texts,
) -> None:
    """Show the security log of sign-ins and decisions. Exit code 1 if --verify finds that it is not intact."""
    options.only_here("the security log")
    home = options.settings().home
    kinds = _parse_kinds(kind)
    try:
        if verify or head:
            _verify(options, home, [_parse_head(text) for text in head])
        elif follow:
            _follow_events(options, home, since or 0, kinds, tail)
        else:
            _show_events(options, home, since or 0, kinds, tail)
    # This is an error of our output, not of the log.
    except BrokenPipeError:
        raise
    except OSError as exc:
        text = f"the security log {home / FOLDER} cannot be read: {exc.strerror or exc}"
        raise StoreError(text, next_step="check that folder, its owner and permissions") from exc


def _show_events(options: GlobalOptions, home: Path, since: int, kinds: frozenset[str], tail: int | None) -> None:
    """Print the events of these kinds since a time (ms), only the newest `tail` of them."""
    news = next(iter(followed_events(home)), [])
    events = _select_events(news, since, kinds, tail)
    options.end_with_json("audit", {"events": list(map(_event_object, events))})
    for event in events:
        options.line(_event_text(event))
    if not events and tail != 0:
        options.say("nothing of that kind or time" if since or kinds else "nothing yet")


def _follow_events(options: GlobalOptions, home: Path, since: int, kinds: frozenset[str], tail: int | None) -> None:
    """Print the events as they come, until Ctrl-C. `tail` limits only the events that are there at the start."""
    limit = tail
    for news in followed_events(home):
        for event in _select_events(news, since, kinds, limit):
            if not options.wrote_json("audit_event", _event_object(event)):
                options.line(_event_text(event))
        limit = None
        time.sleep(FOLLOW_S)


def _select_events(
    news: Iterable[RecordedEvent], since: int, kinds: frozenset[str], limit: int | None
) -> deque[RecordedEvent]:
    return deque((event for event in news if event.is_wanted(since, kinds)), maxlen=limit)


def _verify(options: GlobalOptions, home: Path, heads: list[re.Match[str]]) -> None:
    """Print whether each chain is whole and has the noted heads. Ends with exit code 1 if not."""
    reports = verify_chains(home, frozenset(head["hash"] for head in heads))
    faults = []
    for head in heads:
        fault = _explain_missing(head, reports)
        if fault is not None:
            faults.append(fault)
    is_whole = not faults and all(report.is_whole for report in reports)
    sets = list(map(_report_object, reports))
    if not options.wrote_json("audit_verify", {"whole": is_whole, "sets": sets, "heads": faults}):
        for report in reports:
            _print_report(options, report)
        for text in faults:
            options.line(f"NOT FOUND {text}")
        if not is_whole:
            options.line(f"next: {BROKEN_STEP}")
    if not is_whole:
        raise Exit(FAILED)


def _print_report(options: GlobalOptions, report: ChainReport) -> None:
    options.line(chain_text(report))
    for fault in report.breaks[:MAX_NAMED]:
        options.line(f"  {fault.what}: {fault.file} line {fault.line}: {fault.text}")
    if report.is_whole and report.last.n:
        options.line(f"  head {report.stem}:{report.last.n}:{report.last.hash}")


def _parse_head(text: str) -> re.Match[str]:
    """Parse a head that a person noted: the whole head, or only its hash. Raises BadParameter if it is neither."""
    match = _HEAD.fullmatch(text.strip().lower())
    if match is None:
        text = f"--head {text[:80]!r}: give a head of `microclaw person log --verify`, or its 64 hex digits"
        raise click.BadParameter(text)
    return match


def _explain_missing(head: re.Match[str], reports: Iterable[ChainReport]) -> str | None:
    """Return why a noted head is not in the log, or None if it is."""
    chains = [report for report in reports if head["stem"] in (None, report.stem)]
    for chain in chains:
        if head["hash"] in chain.found or chain.anchor.hash == head["hash"]:
            return None
    if head["n"] and any(int(head["n"]) < chain.anchor.n for chain in chains):
        return f"{head[0]}: that line was rotated away; note the head more often"
    return f"{head[0]}: no line of the log has this hash: a line that was there was changed or cut off"


def chain_text(report: ChainReport) -> str:
    """Return one line: what the chain covers, and whether it is whole."""
    is_empty = not (report.lines or report.anchor.n or report.torn)
    if report.is_whole and is_empty:
        return f"{report.stem:<9} empty: no line was written yet"
    facts = [count_text(report.lines, "line")]
    if report.anchor.n:
        facts.append(f"from {report.anchor.n + 1:,} on, the ones before were rotated away")
    if report.torn:
        places = ", ".join(f"{file} line {line}" for file, line in report.torn[:MAX_NAMED])
        facts.append(f"{count_text(len(report.torn), 'line')} without an event: {places}")
    state = "whole"
    if not report.is_whole:
        state = f"BROKEN in {count_text(len(report.breaks), 'place')}"
    return f"{report.stem:<9} {state}: {'; '.join(facts)}"


def _report_object(report: ChainReport) -> dict[str, Any]:
    return {
        "set": report.stem,
        "whole": report.is_whole,
        "lines": report.lines,
        "head": asdict(report.last),
        "rotated_away": report.anchor.n,
        "torn": len(report.torn),
        "torn_at": [{"file": file, "line": line} for file, line in report.torn[:MAX_NAMED]],
        "breaks": [asdict(fault) for fault in report.breaks[:MAX_NAMED]],
        "break_count": len(report.breaks),
    }


def _event_text(row: RecordedEvent) -> str:
    event = row.event
    details = {"about": event.about, "from": event.address, "by": event.by, "approval": event.approval}
    facts = [event.text]
    for word, value in details.items():
        if value:
            facts.append(f"{word} {value}")
    return f"{moment_text(row.at_ms)}  {event.kind.value:<21}  {', '.join(facts)}"


def _event_object(row: RecordedEvent) -> dict[str, Any]:
    fields = asdict(row.event)
    del fields["known"]
    del fields["network"]
    return {"at_ms": row.at_ms, **fields}


def _parse_kinds(names: Sequence[str]) -> frozenset[str]:
    """Return the names of kinds or groups of kinds. Raises BadParameter for an unknown one."""
    values = {kind.value for kind in AuditKind}
    groups = {value.partition(".")[0] for value in values}
    for name in names:
        if name not in groups | values:
            raise click.BadParameter(f"there is no kind {name[:40]!r}; kinds: {', '.join(sorted(groups))}")
    return frozenset(names)
