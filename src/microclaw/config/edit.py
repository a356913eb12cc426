"""Changes config.toml and secrets.toml. Comments stay, a wrong value is never written, nobody sees half a file."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Final

from microclaw.audit import AuditEvent, AuditKind, append_events
from microclaw.config.document import Path, dotted
from microclaw.config.forms import WholePath, form_of
from microclaw.config.load import find_mistakes
from microclaw.config.schema import Node, all_settings, did_you_mean, find, value_in
from microclaw.config.sources import CONFIG, SECRETS, Mistake, text_of_file
from microclaw.durable import replace_file
from microclaw.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

LOCK_S: Final = 5.0
_PART: Final = re.compile(r"([^.\[\]]+)(?:\[([1-9][0-9]{0,3})\])?")

LAN: Final = "0.0.0.0:8443"  # where boards of the network reach the link


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A key and its new value as a person gives it; None removes it."""

    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class WriteResult:
    """Which files changed, and what is still missing (a variable that is not set, a folder that is not there)."""

    files: tuple[str, ...]
    warnings: tuple[Mistake, ...]


def write_changes(home: FilePath, environ: Mapping[str, str], changes: Iterable[SettingChange]) -> WriteResult:
    """All of them or none, and no two writers at once. Secrets go to secrets.toml unless they are `${ENV}`.

    Raises ConfigError.
    """
    wanted = tuple(changes)
    with _alone(home):
        before = {name: _text(home / name) for name in (SECRETS, CONFIG)}
        documents = {name: _parsed(text, home / name) for name, text in before.items()}
        for change in wanted:
            _apply(change, documents)
        texts = {name: document.as_string() for name, document in documents.items()}
        known = {(m.key, m.message) for m in find_mistakes(environ, home)}
        new = [m for m in find_mistakes(environ, home, texts) if (m.key, m.message) not in known]
        fatal = [m for m in new if m.fatal]
        if fatal:
            raise ConfigError(f"nothing was written: {fatal[0].message}", next_step=fatal[0].next_step)
        changed = tuple(name for name, text in texts.items() if text != before[name])
        if changed:
            _note(home, wanted)
        for name in changed:  # secrets first: a secret that moves is never in no file
            write_file(home / name, texts[name])
        return WriteResult(changed, (*new, *_missing_paths(wanted)))


def open_link(home: FilePath, environ: Mapping[str, str]) -> None:
    """Let paired boards of the network in, from the host's next start on. Raises ConfigError."""
    write_changes(home, environ, [SettingChange("host.link", LAN)])


def read_key(text: str) -> tuple[Path, Node]:
    """`model.fallback[1].name` as a path and its key; ConfigError with the nearest name for one there is not."""
    path: list[str | int] = []
    for part in text.split("."):
        found = _PART.fullmatch(part)
        if found is None:
            raise ConfigError(f"{text!r} is no setting's name", next_step="microclaw config get")
        path += [found[1]] if found[2] is None else [found[1], int(found[2]) - 1]
    setting = find(tuple(path))
    if setting is None or (setting.inside and not setting.about):
        hint = did_you_mean(text, (name for name, _ in all_settings()))
        raise ConfigError(f"{text} is no setting{hint}", next_step="microclaw config get --all")
    return tuple(path), setting


def write_file(path: FilePath, text: str) -> None:
    """Replace a file, or what a link of that name points to, as a whole (mode 0600); ConfigError."""
    try:
        replace_file(path.resolve(), text.encode())
    except OSError as exc:
        raise ConfigError(f"{path} cannot be written: {exc.strerror or exc}", next_step="free space there") from exc


def _missing_paths(changes: Iterable[SettingChange]) -> Iterator[Mistake]:
    """New folders and files that are not there. They are no mistakes yet: a disk may be mounted later."""
    for change in changes:
        _, setting = read_key(change.key)
        if change.value is None or setting.form is not form_of(WholePath) or "${" in change.value:
            continue
        found = value_in(change.value, setting)
        for place in found if isinstance(found, list) else [found]:
            if not FilePath(str(place)).expanduser().exists():
                text = f"{change.key}: {place} is not there, and the host does not make it"
                yield Mistake(CONFIG, None, change.key, text, "make it, or mount the disk that has it", fatal=False)


def _note(home: FilePath, changes: Iterable[SettingChange]) -> None:
    """The security log's lines, without values; ConfigError when they cannot be written: then nothing is changed."""
    done = {True: "set back to its default", False: "set"}
    events = [AuditEvent(AuditKind.CONFIG_CHANGED, done[one.value is None], about=one.key) for one in changes]
    try:
        append_events(home, events)
    except (OSError, StoreError) as exc:
        text = f"nothing was written: the security log in {home} cannot be: {exc}"
        step = exc.next_step if isinstance(exc, StoreError) else None
        raise ConfigError(text, next_step=step or "check its owner, permissions and free space") from exc


@contextmanager
def _alone(home: FilePath) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process; ConfigError when another writer does not end."""
    folder = os.open(home, os.O_RDONLY)
    until = time.monotonic() + LOCK_S
    try:
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    text = f"another program is changing the settings in {home}"
                    raise ConfigError(text, next_step="do it again") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(folder)


def _text(path: FilePath) -> str:
    text, _, problem = text_of_file(path)
    if problem is not None:
        raise ConfigError(f"nothing was written: {problem.place}: {problem.message}", next_step=problem.next_step)
    return text


def _parsed(text: str, path: FilePath) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text)
    except (TOMLKitError, ValueError, RecursionError) as exc:
        text = f"{path} is not TOML, nothing was written: {exc}"
        raise ConfigError(text, next_step="microclaw config check") from exc


def _apply(change: SettingChange, documents: Mapping[str, TOMLDocument]) -> None:
    path, setting = read_key(change.key)
    wanted, value = None, change.value or ""
    if change.value is not None:
        wanted = SECRETS if setting.secret and "${" not in value.replace("$${", "") else CONFIG
    for name, document in documents.items():
        table = _table_of(document, path, make=name == wanted)
        if name == wanted:
            table[path[-1]] = value if "${" in value and not setting.inside else value_in(value, setting)
        elif table is not None:
            table.pop(path[-1], None)


def _table_of(document: Any, path: Path, *, make: bool) -> Any:
    """The table that has the last name of a path; None where it is missing and not to be made."""
    import tomlkit

    node = document
    for n, part in enumerate(path[:-1]):
        rows = isinstance(path[n + 1], int)
        missing = part >= len(node) if isinstance(part, int) else part not in node
        if missing and not make:
            return None
        if missing and isinstance(part, int):
            if part > len(node):
                raise ConfigError(f"{dotted(path[: n + 1])}: there are {len(node)} before it", next_step="count on")
            node.append(tomlkit.table())
        elif missing:
            node[part] = tomlkit.aot() if rows else tomlkit.table(is_super_table=n + 2 < len(path))
        node = node[part]
        if not isinstance(node, list if rows else dict):
            if make:
                raise ConfigError(f"{dotted(path[: n + 1])} is no section", next_step="microclaw config check")
            return None
    return node
