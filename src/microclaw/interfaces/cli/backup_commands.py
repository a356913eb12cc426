"""`microclaw backup`: a host's home as one encrypted file, and back; its store into a shared database, and back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import click
import msgspec
from msgspec.structs import asdict
from pyrage.x25519 import Identity

from microclaw.clock import now_ms
from microclaw.durable import check_given_path, new_given, read_given_text, write_given
from microclaw.errors import ConfigError, StoreError, StoreOwned
from microclaw.host.audit.event import AuditEvent, AuditKind
from microclaw.host.audit.log_files import append_events
from microclaw.host.backup.age import (
    MAX_KEY_FILE_BYTES,
    decrypting,
    encrypt,
    identity_text,
    read_identity,
    read_recipient,
)
from microclaw.host.backup.archive import STORE, Contents, open_home_archive
from microclaw.host.backup.old_password import decrypt_old
from microclaw.host.backup.restore import Restored, check_home, peek_archive, read_archive, restore_home
from microclaw.host.backup.scheduled import backup_folder
from microclaw.host.config.load import read_database
from microclaw.host.config.places import home_folder
from microclaw.host.store.sqlite_file import take_lock
from microclaw.interfaces.cli.options import GlobalOptions, command, secret_value
from microclaw.text import count_text, moment_text, one_line

# A host on another machine is not trusted to end its download.
MAX_BACKUP_BYTES: Final = 256 << 30
ONE_HOST: Final = "the old host has to stay off: two with one identity take each other's devices"


backup_group = click.Group(no_args_is_help=True)


@command(backup_group, "make")
@click.argument("file", required=False, type=Path, metavar="[FILE]", help="As microclaw.age.")
@click.option("--recipient", metavar="age1...", help="The public key; else that of the automatic backups.")
@click.option("--force", is_flag=True, help="Replace FILE.")
@click.option("--new-key", type=Path, metavar="KEYFILE", help="Make a key for --recipient, and end.")
def make(
    options: GlobalOptions,
    *,
    file: Path | None,
    recipient: str | None,
    force: bool,
    new_key: Path | None,
) -> None:
    """Put all of this host into one encrypted file."""
    if new_key is not None and file is None:
        _make_key(options, new_key)
        return
    if file is None or new_key is not None:
        raise click.BadParameter("name the FILE to write, or only --new-key KEYFILE")
    target = _check_target(file, force=force)
    settings = options.settings()
    without = None
    if settings.backup is not None:
        without = backup_folder(settings.backup)
        recipient = recipient or settings.backup.recipient
    if recipient is None:
        step = "microclaw backup make --new-key KEYFILE, then give its --recipient"
        raise ConfigError("a backup needs a public key", next_step=step)
    public_key = read_recipient(recipient)
    with (
        _open_archive(options, settings.home, without) as (contents, chunks),
        new_given(target, replace=force) as backup,
    ):
        size_bytes = encrypt(chunks, public_key, backup)
    text = f"{target}: {contents.text()}; {size_bytes / 1e6:,.1f} MB, encrypted{_left_out_text(contents)}"
    document = {"file": str(target), "size_bytes": size_bytes, "contents": msgspec.to_builtins(contents)}
    options.report("backup", document, text)


@command(backup_group, "restore")
@click.argument("file", type=Path, metavar="FILE", help="A file that `microclaw backup make` made.")
@click.option("--identity", type=Path, metavar="KEYFILE", help="The private key, a file of `backup make --new-key`.")
@click.option("--old", is_flag=True, help="A backup with a password, until 0.2; asks for it, or reads stdin.")
@click.option("--list", "show", is_flag=True, help="Check the backup, show its contents, and change nothing.")
@click.option("--replace", is_flag=True, help="Also if a home exists already; the old home is kept beside the new one.")
def restore(options: GlobalOptions, *, file: Path, identity: Path | None, old: bool, show: bool, replace: bool) -> None:
    """Restore a backup into an empty home, on this machine or a new one."""
    if (identity is None) != old:
        raise click.BadParameter("--identity KEYFILE, or --old for a backup with a password")
    key: Identity | None = None
    if identity is not None:
        key = read_identity(read_given_text(identity, MAX_KEY_FILE_BYTES))
    path = file.expanduser()
    # A pipe would wait for its other end, and cannot be read twice.
    if not check_given_path(path) or not path.is_file():
        raise ConfigError(f"{file} is not a file that exists", next_step="name a backup's file")
    home = (options.home or home_folder(os.environ)).expanduser().absolute()
    if not show:
        check_home(home, replace=replace)
    try:
        backup = path.open("rb")
    except OSError as exc:
        raise ConfigError(f"{file} cannot be read: {exc.strerror or exc}", next_step="name a backup's file") from exc
    with backup, _opened(backup, key) as chunks:
        if show:
            _list_contents(options, file, chunks)
            return
        restored = restore_home(chunks, home, replace=replace)
    _report_restored(options, restored)


def _report_restored(options: GlobalOptions, restored: Restored) -> None:
    """Print the restored contents, and the facts that the user needs before the host starts."""
    contents = restored.contents
    old_home = None if restored.old_home is None else str(restored.old_home)
    lines = [f"{restored.home}: {contents.text()}, as of {moment_text(contents.made_ms)}"]
    if old_home is not None:
        lines.append(f"the home that was there is now {old_home}")
    if restored.unanswered:
        lines.append(f"just being answered, and not done again: {count_text(restored.unanswered, 'message')}")
    if contents.changing_tokens:
        devices = count_text(contents.changing_tokens, "device")
        lines.append(f"{devices} with a token may have to be paired again (docs/backup.md)")
    lines.append(f"start it: {options.with_home('microclaw up')}; {ONE_HOST}")
    facts = {"home": str(restored.home), "old_home": old_home, "unanswered": restored.unanswered}
    document = {**facts, "contents": msgspec.to_builtins(contents)}
    options.report("restore", document, "\n".join(lines))


@command(backup_group, "migrate")
@click.option("--to", metavar="postgresql://…", help="Copy this home's store into that empty database.")
@click.option("--back", is_flag=True, help="Write what the shared database has into this home's own store.")
@click.option("--database", metavar="postgresql://…", help="With --back; else cluster.database.")
@click.option("--dry-run", is_flag=True, help="Check it, show the rows, and change nothing.")
@click.option("--replace", is_flag=True, help="Replace a target that is not empty.")
def migrate(
    options: GlobalOptions, *, to: str | None, back: bool, database: str | None, dry_run: bool, replace: bool
) -> None:
    """Copy this home's store, memory and persona into a database that several hosts share, or back. No host may run."""
    settings = options.settings()
    address = to or database or settings.cluster.database
    has_one_direction = (to is not None) != back
    is_database_unused = database is not None and not back
    if not has_one_direction or is_database_unused or address is None:
        raise click.BadParameter("--to postgresql://…, or --back with --database or the setting cluster.database")
    url = read_database(address)
    # Imported here, because only this command needs PostgreSQL's client.
    from microclaw.agent.knowledge.texts import TextFiles
    from microclaw.host.cluster.migration import migrate_back, migrate_to

    home = settings.home
    files = TextFiles(home, now=lambda: datetime.now(UTC))
    # A dry run replaces nothing, so it may look at a target that is not empty.
    flags = {"replacing": replace or dry_run, "dry_run": dry_run}
    if back:
        result = migrate_back(url, home, put_text=files.put, **flags)
    else:
        result = migrate_to(url, home, settings.cluster.host_name, texts=files.rows(), **flags)
    options.end_with_json("migrate", {**asdict(result), "dry_run": dry_run})
    rows = [(name, f"{count:,}") for name, count in result.rows.items()]
    options.table(rows, head=("TABLE", "ROWS"), empty="no rows")
    would = "would have " if dry_run else ""
    row_count = count_text(sum(result.rows.values()), "row")
    options.say(f"{would}moved {row_count}: {result.source} -> {result.target}")
    if result.replaced is not None:
        options.say(f"{would}replaced: {result.replaced}")
    if dry_run:
        options.say("nothing was changed")
        return
    start = "microclaw up" if back else "microclaw up --database postgresql://…"
    options.say(f"start it: {options.with_home(start)}")


def _list_contents(options: GlobalOptions, file: Path, chunks: Iterator[bytes]) -> None:
    """Check all of a backup, and print the number and size of the files of each folder."""
    contents, files = read_archive(chunks)
    sizes: dict[str, list[int]] = {}
    for name, size_bytes in files:
        folder, slash, _ = name.partition("/")
        sizes.setdefault(folder + slash, []).append(size_bytes)
    rows = [(name, len(folder_sizes), sum(folder_sizes)) for name, folder_sizes in sorted(sizes.items())]
    parts = [{"name": name, "files": file_count, "bytes": size_bytes} for name, file_count, size_bytes in rows]
    options.end_with_json("backup_list", {"file": str(file), "contents": msgspec.to_builtins(contents), "parts": parts})
    origin = f"as of {moment_text(contents.made_ms)}, by microclaw {contents.microclaw}"
    options.say(f"{file} is intact: {contents.text()}, {origin}{_left_out_text(contents)}")
    options.table(rows, head=("NAME", "FILES", "BYTES"))


@contextmanager
def _open_archive(
    options: GlobalOptions, home: Path, without: Path | None
) -> Iterator[tuple[Contents, Iterator[bytes]]]:
    """Give the archive of the home itself if no host runs, else the archive that its host sends."""
    with ExitStack() as stack:
        try:
            if (home / STORE).exists():
                stack.enter_context(take_lock(home / STORE))
        except StoreOwned:
            yield peek_archive(options.host().download("/v1/backup", most_bytes=MAX_BACKUP_BYTES))
            return
        contents, chunks = stack.enter_context(open_home_archive(home, now_ms=now_ms(), without=without))
        event = AuditEvent(AuditKind.BACKUP_MADE, f"by the command line: {contents.text()}")
        try:
            append_events(home, [event])
        except OSError as exc:
            text = f"the security log of {home} cannot be written: {exc.strerror or exc}"
            raise StoreError(text, next_step="free some space on the disk of the home") from exc
        yield contents, chunks


def _make_key(options: GlobalOptions, file: Path) -> None:
    """Make a key pair, write its private key, and print the public one. Raises ConfigError for a file in the home."""
    path = _check_target(file, force=False)
    home = (options.home or home_folder(os.environ)).expanduser().resolve()
    if path.resolve().is_relative_to(home):
        text = f"{path} is in the home that the backups protect: if the home is lost, they cannot be opened"
        raise ConfigError(text, next_step="name a file outside of the home")
    key = Identity.generate()
    recipient = str(key.to_public())
    write_given(path, [identity_text(key).encode()])
    options.end_with_json("backup_key", {"file": str(path), "recipient": recipient})
    options.line(recipient)
    options.say(f"its private key is in {path}: keep that away from this machine, it opens the backups")


def _check_target(file: Path, *, force: bool) -> Path:
    """Return the path to write. Raises ConfigError if it cannot be written, before its store is read."""
    target = file.expanduser().absolute()
    is_there = check_given_path(target)
    if not target.parent.is_dir() or target.is_dir():
        raise ConfigError(f"{target} is not a file in an existing folder", next_step="name another FILE")
    if is_there and not force:
        raise ConfigError(f"{target} is there already", next_step="name another file, or --force to replace it")
    return target


@contextmanager
def _opened(backup: BinaryIO, key: Identity | None) -> Iterator[Iterator[bytes]]:
    """Give the archive in a backup, which the key opens; without a key the password is read that opens an old one."""
    if key is None:
        yield decrypt_old(backup, secret_value("Password of the backup", "-").strip())
        return
    with decrypting(backup, key) as chunks:
        yield chunks


def _left_out_text(contents: Contents) -> str:
    """Return a line with the files that are not in the backup, or "" if there are none."""
    if not contents.left_out:
        return ""
    return f"\nleft out, as they are links, too large or oddly named: {one_line(', '.join(contents.left_out))}"
