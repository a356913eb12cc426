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
from microclaw.config.checks import is_folder
from microclaw.config.document import Path, dotted
from microclaw.config.load import find_mistakes
from microclaw.config.schema import Setting, all_settings, did_you_mean, find
from microclaw.config.sources import CONFIG, SECRETS, text_of_file
from microclaw.config.values import Mistake, plain_value
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


def _missing_paths(changes: Iterable[SettingChange]) -> Iterator[Mistake]:
    """New folders and files that are not there. They are no mistakes yet: a disk may be mounted later."""
    for change in changes:
        _, setting = read_key(change.key)
        if change.value is None or setting.check is not is_folder or "${" in change.value:
            continue
        found = plain_value(setting.kind, change.value)
        for place in found if isinstance(found, list | tuple) else [found]:
            if not FilePath(str(place)).expanduser().exists():
                text = f"{change.key}: {place} is not there, and the host does not make it"
                yield Mistake(CONFIG, None, change.key, text, "make it, or mount the disk that has it", fatal=False)


def write_secret(home: FilePath, environ: Mapping[str, str], name: str, value: str | None) -> None:
    """Set or remove (None) one of the secrets that tasks use, in secrets.toml. Raises ConfigError."""
    with _alone(home):
        document = _parsed(_text(home / SECRETS), home / SECRETS)
        table = _table_of(document, ("secrets", "values", name), make=value is not None)
        if value is not None:
            table[name] = value.replace("${", "$${")
        elif table is not None:
            table.pop(name, None)
        text = document.as_string()
        fatal = [m for m in find_mistakes(environ, home, {SECRETS: text}) if m.fatal and m.key.startswith("secrets.")]
        if fatal:
            raise ConfigError(f"nothing was written: {fatal[0].message}", next_step=fatal[0].next_step)
        _note(home, [SettingChange(f"secrets.values.{name}", value)])
        write_file(home / SECRETS, text)


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


def read_key(text: str) -> tuple[Path, Setting]:
    """`model.fallback[1].name` as a path and its key; ConfigError with the nearest name for one there is not."""
    path: list[str | int] = []
    for part in text.split("."):
        found = _PART.fullmatch(part)
        if found is None:
            raise ConfigError(f"{text!r} is no setting's name", next_step="microclaw config get")
        path += [found[1]] if found[2] is None else [found[1], int(found[2]) - 1]
    key = find(tuple(path))
    if not isinstance(key, Setting):
        hint = did_you_mean(text, (name for name, _ in all_settings()))
        raise ConfigError(f"{text} is no setting{hint}", next_step="microclaw config get --all")
    return tuple(path), key


def write_file(path: FilePath, text: str) -> None:
    """Replace a file, or what a link of that name points to, as a whole (mode 0600); ConfigError."""
    try:
        replace_file(path.resolve(), text.encode())
    except OSError as exc:
        raise ConfigError(f"{path} cannot be written: {exc.strerror or exc}", next_step="free space there") from exc


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
    wanted = None
    if change.value is not None:
        wanted = SECRETS if setting.secret and "${" not in change.value else CONFIG
    for name, document in documents.items():
        table = _table_of(document, path, make=name == wanted)
        if name == wanted:
            plain = "${" in str(change.value) and setting.kind != "texts"
            table[path[-1]] = change.value if plain else plain_value(setting.kind, str(change.value))
        elif table is not None:
            table.pop(path[-1], None)


def _table_of(document: Any, path: Path, *, make: bool) -> Any:
    """The table that has the last name of a path; None where it is missing and not to be made."""
    import tomlkit

    node = document
    for n, part in enumerate(path[:-1]):
        before = node
        node = before[part] if (part < len(before) if isinstance(part, int) else part in before) else None
        if node is None and make:
            if isinstance(part, int) and part > len(before):
                raise ConfigError(f"{dotted(path[: n + 1])}: there are {len(before)} before it", next_step="count on")
            if isinstance(part, int):
                before.append(tomlkit.table())
            else:
                rows = isinstance(path[n + 1], int)
                before[part] = tomlkit.aot() if rows else tomlkit.table(is_super_table=n + 2 < len(path))
            node = before[part]
        if not isinstance(node, list if isinstance(path[n + 1], int) else dict):
            if make:
                raise ConfigError(f"{dotted(path[: n + 1])} is no section", next_step="microclaw config check")
            return None
    return node
