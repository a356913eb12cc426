"""`microclaw person` and `status --open`: a browser's way in, the authority that it has to trust, and the security log,
read and verified with or without a host.
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

from microclaw.api.operations import read_status
from microclaw.audit.event import AuditKind, RecordedEvent
from microclaw.audit.log_files import FOLDER, ChainReport, followed_events, verify_chains
from microclaw.auth import operations as people
from microclaw.cli.operation_commands import perform
from microclaw.cli.options import FAILED, GlobalOptions, Texts, command, secret_value
from microclaw.errors import ConfigError, NoHost, StoreError
from microclaw.text import count_text, moment_text, since_ms

person_group = click.Group(no_args_is_help=True)
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


def open_page(options: GlobalOptions, person: str) -> None:
    """Print a link that signs a browser in, once."""
    options.only_here("microclaw status --open")
    host = options.host()
    found = host.call(read_status)
    if found.http is None:
        raise NoHost("this host has no address for browsers", next_step="microclaw up --port 8080")
    made = host.call(people.link, person=person)
    ca_sha256 = found.https.ca_sha256
    links = [url + made.path for url in found.https.urls]
    if not options.wrote_json("open", {**to_builtins(made), "url": links[0], "urls": links, "ca_sha256": ca_sha256}):
        options.line(links[0])
        for other in links[1:]:
            options.say(f"or  {other}")
        options.say(f"signs {made.person} ({made.role}) in once, within {made.expires_s / 60:.0f} minutes")
        if ca_sha256 is not None:
            options.say(f"the host's own authority, SHA-256 {ca_sha256}: microclaw person ca FILE")


@command(person_group, "password")
@click.argument("name")
@click.option("--remove", is_flag=True, help="No password any more.")
def password(options: GlobalOptions, name: str, remove: bool) -> None:
    """Set a password, typed twice or on stdin; every session of the person ends."""
    question = f"A password for {name}, at least 12 characters"
    if remove:
        text = None
    else:
        text = secret_value(question, "-", is_new=True)
    perform(options, people.set_password, {"name": name, "password": text})


@command(person_group, "ca")
@click.argument("file", required=False, help="Write the certificate (PEM) there; - prints it.")
def authority(options: GlobalOptions, file: str | None) -> None:
    """The host's own certificate authority, for browsers and `--host`: its fingerprint, never its key."""
    from microclaw.auth.authority import AUTHORITY_FILE
    from microclaw.authority_pem import pem_fingerprint
    from microclaw.durable import read_private

    options.only_here("its authority")
    path = options.settings().identity / AUTHORITY_FILE
    found = _CERTIFICATE.search(read_private(path) or b"")  # without the key, which lies in the same file
    if found is None:
        step = "microclaw config set host.http_tls own, then microclaw up"
        raise ConfigError("this host has no authority of its own yet", next_step=step)
    if file == "-":
        sys.stdout.write(found[0].decode("ascii"))
    elif file is None:
        sha256 = pem_fingerprint(found[0])
        text = f"SHA-256 {sha256}\nits certificate in a file: microclaw person ca FILE"
        options.report("ca", {"sha256": sha256, "file": str(path)}, text)
    else:
        try:
            Path(file).write_bytes(found[0])
        except OSError as exc:
            raise ConfigError(f"cannot write {file}: {exc.strerror or exc}", next_step="give another place") from exc
        options.report("ca", {"file": file}, f"{file}: import it where the host's pages are opened")


FOLLOW_S: Final = 0.5
MAX_NAMED: Final = 20  # breaks, and lines without an event, of one chain
MAX_TAIL: Final = 100_000
BROKEN_STEP: Final = (
    "was it a person of this host, or an older version of microclaw in this home? Else keep a copy of the folder "
    "audit, compare it with a backup, and look who could write there"
)
_HEAD: Final = re.compile(r"(?:(?P<stem>acts|attempts):(?P<n>[0-9]{1,15}):)?(?P<hash>[0-9a-f]{64})")


@command(person_group, "log")
@click.option("--since", type=since_ms, metavar="WHEN", help="As 30m, 12h, 7d, or a day: 2026-11-20.")
@click.option("--kind", multiple=True, metavar="KIND", help="As token.wrong, or all of token; repeatable.")
@click.option("--tail", type=click.IntRange(0, MAX_TAIL), metavar="N", help="Only the newest N of the events.")
@click.option("-f", "--follow", is_flag=True, help="Go on as events come, until Ctrl-C.")
@click.option("--verify", is_flag=True, help="Whether a line was changed, removed or inserted; and each chain's head.")
@click.option("--head", multiple=True, metavar="HEAD", help="--verify: a head that was noted elsewhere; repeatable.")
def audit(
    options: GlobalOptions, since: int | None, kind: Texts, tail: int | None, follow: bool, verify: bool, head: Texts
) -> None:
    """The security log: who came in, what was decided. Exit code 1 when --verify finds that it is not whole."""
    options.only_here("the security log")
    # wanted: since when, and which kinds
    home = options.settings().home
    wanted = (since or 0, _kinds(kind))
    try:
        if verify or head:
            _verify(options, home, [_noted(text) for text in head])
        else:
            for news in followed_events(home):
                found = deque((one for one in news if one.is_wanted(*wanted)), maxlen=tail)
                if not follow:
                    options.end_with_json("audit", {"events": [_object(one) for one in found]})
                for one in found:
                    if not options.wrote_json("audit_event", _object(one)):
                        options.line(_text(one))
                if not follow:
                    if not found and tail != 0:
                        options.say("nothing of that kind or time" if any(wanted) else "nothing yet")
                    return
                tail = None  # the limit is of what was there
                time.sleep(FOLLOW_S)
    except BrokenPipeError:  # of the output, and not of the log
        raise
    except OSError as exc:
        text = f"the security log {home / FOLDER} cannot be read: {exc.strerror or exc}"
        raise StoreError(text, next_step="check what is there, its owner and permissions") from exc


def _verify(options: GlobalOptions, home: Path, noted: list[re.Match[str]]) -> None:
    reports = verify_chains(home, frozenset(one["hash"] for one in noted))
    unknown = [text for one in noted if (text := _unknown_head(one, reports)) is not None]
    whole = not unknown and all(report.whole for report in reports)
    if not options.wrote_json("audit_verify", {"whole": whole, "sets": list(map(_report, reports)), "heads": unknown}):
        for report in reports:
            options.line(chain_text(report))
            for one in report.breaks[:MAX_NAMED]:
                options.line(f"  {one.what}: {one.file} line {one.line}: {one.text}")
            if report.whole and report.last.n:
                options.line(f"  head {report.stem}:{report.last.n}:{report.last.hash}")
        for text in unknown:
            options.line(f"NOT FOUND {text}")
        if not whole:
            options.line(f"next: {BROKEN_STEP}")
    if not whole:
        raise Exit(FAILED)


def _noted(text: str) -> re.Match[str]:
    """A head as somebody noted it: whole, or its hash alone."""
    found = _HEAD.fullmatch(text.strip().lower())
    if found is None:
        text = f"--head {text[:80]!r}: give a head of `microclaw person log --verify`, or its 64 hex digits"
        raise click.BadParameter(text)
    return found


def _unknown_head(noted: re.Match[str], reports: Iterable[ChainReport]) -> str | None:
    """Why a noted head is not in the log; None when it is."""
    named = [report for report in reports if noted["stem"] in (None, report.stem)]
    if any(noted["hash"] in report.found or report.anchor.hash == noted["hash"] for report in named):
        return None
    if noted["n"] and any(int(noted["n"]) < report.anchor.n for report in named):
        return f"{noted[0]}: that line was rotated away; note the head more often"
    return f"{noted[0]}: no line of the log has this hash: what was there when it was noted was changed or cut off"


def chain_text(report: ChainReport) -> str:
    """One line: what the chain covers, and whether it is whole."""
    if report.whole and not (report.lines or report.anchor.n or report.torn):
        return f"{report.stem:<9} empty: no line was written yet"
    facts = [count_text(report.lines, "line")]
    if report.anchor.n:
        facts.append(f"from {report.anchor.n + 1:,} on, the ones before were rotated away")
    if report.torn:
        places = ", ".join(f"{file} line {line}" for file, line in report.torn[:MAX_NAMED])
        facts.append(f"{count_text(len(report.torn), 'line')} without an event: {places}")
    broken = f"BROKEN in {count_text(len(report.breaks), 'place')}"
    return f"{report.stem:<9} {'whole' if report.whole else broken}: {'; '.join(facts)}"


def _report(report: ChainReport) -> dict[str, Any]:
    return {
        "set": report.stem,
        "whole": report.whole,
        "lines": report.lines,
        "head": asdict(report.last),
        "rotated_away": report.anchor.n,
        "torn": len(report.torn),
        "torn_at": [{"file": file, "line": line} for file, line in report.torn[:MAX_NAMED]],
        "breaks": [asdict(one) for one in report.breaks[:MAX_NAMED]],
        "break_count": len(report.breaks),
    }


def _text(one: RecordedEvent) -> str:
    event = one.event
    more = {"about": event.about, "from": event.address, "by": event.by, "approval": event.approval}
    facts = (event.text, *(f"{word} {value}" for word, value in more.items() if value))
    return f"{moment_text(one.at_ms)}  {event.kind.value:<21}  {', '.join(facts)}"


def _object(one: RecordedEvent) -> dict[str, Any]:
    event = asdict(one.event)
    return {"at_ms": one.at_ms, **{name: event[name] for name in event if name not in ("known", "network")}}


def _kinds(given: Sequence[str]) -> frozenset[str]:
    groups = {kind.value.partition(".")[0] for kind in AuditKind}
    known = {*groups, *(kind.value for kind in AuditKind)}
    for name in given:
        if name not in known:
            raise click.BadParameter(f"there is no kind {name[:40]!r}; kinds: {', '.join(sorted(groups))}")
    return frozenset(given)
