"""Changes config.toml and secrets.toml: comments stay, a wrong value is never written, a half file never seen."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from microclaw.config.document import shown
from microclaw.config.keys import Key, find_key, key_names
from microclaw.config.load import find_mistakes
from microclaw.config.sources import CONFIG, MAX_FILE_BYTES, SECRETS
from microclaw.config.values import Mistake, plain_value
from microclaw.errors import ConfigError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

LOCK_S: Final = 5.0
_PART: Final = re.compile(r"([^.\[\]]+)(?:\[([1-9][0-9]{0,3})\])?")


@dataclass(frozen=True, slots=True)
class Change:
    """A key and its new value as a person gives it; None removes it."""

    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """Which files changed, and what is still missing (a variable that is not set)."""

    files: tuple[str, ...]
    warnings: tuple[Mistake, ...]


def write_changes(home: Path, environ: Mapping[str, str], changes: Iterable[Change]) -> Written:
    """All of them or none, and no two writers at once. Secrets go to secrets.toml unless they are `${ENV}`.

    Raises ConfigError.
    """
    with _alone(home):
        return _write_changes(home, environ, changes)


def _write_changes(home: Path, environ: Mapping[str, str], changes: Iterable[Change]) -> Written:
    before = {name: _text(home / name) for name in (SECRETS, CONFIG)}
    documents = {name: _parsed(text, home / name) for name, text in before.items()}
    for change in changes:
        path, key = read_key(change.key)
        place = None
        if change.value is not None:
            place = SECRETS if key.secret and "${" not in change.value else CONFIG
            _put(documents[place], path, _value(key, change.value))
        for name, document in documents.items():
            if name != place:
                _remove(document, path)
    texts = {name: document.as_string() for name, document in documents.items()}
    known = {(m.key, m.message) for m in find_mistakes(environ, home)}
    new = [m for m in find_mistakes(environ, home, texts) if (m.key, m.message) not in known]
    fatal = [m for m in new if m.fatal]
    if fatal:
        raise ConfigError(f"nothing was written: {fatal[0].message}", next_step=fatal[0].next_step)
    changed = tuple(name for name, text in texts.items() if text != before[name])
    for name in changed:  # secrets first: a secret that moves is never in no file
        write_private(home / name, texts[name])
    return Written(changed, tuple(new))


def read_key(text: str) -> tuple[tuple[str | int, ...], Key]:
    """`model.fallback[1].name` as a path and its key; ConfigError with the nearest name for one there is not."""
    path: list[str | int] = []
    for part in text.split("."):
        found = _PART.fullmatch(part)
        if found is None:
            raise ConfigError(f"{text!r} is no setting's name", next_step="microclaw config get")
        path += [found[1]] if found[2] is None else [found[1], int(found[2]) - 1]
    key = find_key(tuple(part for part in path if isinstance(part, str)))
    if key is None or (path[:2] == ["model", "fallback"] and not isinstance(path[2], int)):
        near = get_close_matches(text, key_names(), 1)
        hint = f": did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{text} is no setting{hint}", next_step="microclaw config get --all")
    return tuple(path), key


def write_private(path: Path, text: str) -> None:
    """Replace a file at once (0600): who reads it sees the old text or the new one."""
    target = path.resolve()
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=target.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(name).unlink()
            raise
    except OSError as exc:
        raise ConfigError(f"{path} cannot be written: {exc.strerror or exc}", next_step="free space there") from exc


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process; ConfigError when another writer does not end."""
    folder = os.open(home, os.O_RDONLY)
    try:
        until = time.monotonic() + LOCK_S
        while not _locked(folder):
            if time.monotonic() > until:
                raise ConfigError(f"another program is changing the settings in {home}", next_step="do it again")
            time.sleep(0.02)
        yield
    finally:
        os.close(folder)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(
                f"{path} is longer than {MAX_FILE_BYTES >> 10} KiB", next_step="is this the right file? make it shorter"
            )
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}", next_step="microclaw config check") from exc


def _parsed(text: str, path: Path) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text)
    except (TOMLKitError, ValueError, RecursionError) as exc:
        raise ConfigError(
            f"{path} is not TOML, nothing was written: {exc}", next_step="microclaw config check"
        ) from exc


def _value(key: Key, text: str) -> object:
    return text if "${" in text and key.kind != "texts" else plain_value(key.kind, text)


def _put(document: Any, path: tuple[str | int, ...], value: object) -> None:
    import tomlkit

    node = document
    for place, part in enumerate(path[:-1]):
        if isinstance(part, int):
            if part > len(node):
                raise ConfigError(f"{shown(path[: place + 1])}: there are {len(node)} before it", next_step="count on")
            if part == len(node):
                node.append(tomlkit.table())
        elif part not in node:
            rows = isinstance(path[place + 1], int)
            only_tables = place + 2 < len(path)
            node[part] = tomlkit.aot() if rows else tomlkit.table(is_super_table=only_tables)
        node = node[part]
        if not isinstance(node, dict | list):
            raise ConfigError(f"{shown(path[: place + 1])} is no section", next_step="microclaw config check")
    node[path[-1]] = value


def _remove(document: Any, path: tuple[str | int, ...]) -> None:
    node = document
    for part in path[:-1]:
        present = part < len(node) if isinstance(part, int) and isinstance(node, list) else part in node
        if not present:
            return
        node = node[part]
        if not isinstance(node, dict | list):
            return
    if isinstance(node, dict) and path[-1] in node:
        del node[path[-1]]
