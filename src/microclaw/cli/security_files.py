"""Permissions of the host's files, folders and sockets, for `doctor --security`. It changes none."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from microclaw.audit.files import FOLDER as AUDIT
from microclaw.cli.findings import Finding, problem, warning
from microclaw.config.settings import Settings

_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022


def file_findings(settings: Settings) -> Iterator[Finding]:
    """What other users of this machine could read or change."""
    yield from _home(settings.home)
    for path in private_paths(settings):
        yield from _private(path)
    for named in (settings.home / "config.toml", settings.home / "egress.yaml"):
        yield from _only_ours_to_write(named)
    if settings.backup is not None and settings.backup.folder is not None:
        yield from _backups(Path(settings.backup.folder).expanduser(), settings.home)


def private_paths(settings: Settings) -> list[Path]:
    """What holds a secret, a person's words, or opens the host. Those that are not there are no matter."""
    home = settings.home
    inside = list(settings.identity.iterdir()) if settings.identity.is_dir() else []
    stores = (home / "microclaw.db", settings.cluster_copy, settings.cluster_index)
    store = [path.with_name(path.name + end) for path in stores for end in ("", "-wal", "-shm")]
    cluster = settings.cluster
    given = [settings.mqtt.password_file, None if settings.backup is None else settings.backup.password_file]
    given += [cluster.password_file, cluster.credentials_file, cluster.key_file]
    return [
        home / "secrets.toml",
        *store,
        settings.identity,
        *inside,
        settings.gateway_token,
        settings.control_socket,
        *(() if settings.control_socket.parent == home else (settings.control_socket.parent,)),
        home / AUDIT,
        settings.sessions,
        settings.memory,
        settings.chat_history,
        *(Path(name).expanduser() for name in given if name is not None),
    ]


def _home(home: Path) -> Iterator[Finding]:
    found = home.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & _OTHERS:
        yield problem("file", f"the home {home} is open to other users (mode {mode:03o})", f"chmod 700 {home}")
    for folder in home.resolve().parents:
        above = folder.stat()
        loose = stat.S_IMODE(above.st_mode) & _OTHERS_WRITE and not above.st_mode & stat.S_ISVTX
        if loose or above.st_uid not in (0, os.getuid()):
            text = f"{folder}, which the home is in, is not yours alone: others can put another home in its place"
            yield problem("file", text, f"chmod go-w {folder}, or move the home")


def _private(path: Path) -> Iterator[Finding]:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        yield problem("file", f"{path} is a symbolic link", "put the file itself there")
    elif found.st_uid != os.getuid():
        yield problem("file", f"{path} belongs to another user (uid {found.st_uid})", f"chown {os.getuid()} {path}")
    elif mode & _OTHERS:
        wanted = "700" if stat.S_ISDIR(found.st_mode) else "600"
        text = f"{path} is open to other users (mode {mode:03o})"
        yield problem("file", text, f"chmod {wanted} {path}; what it holds may be known to them")


def _only_ours_to_write(path: Path) -> Iterator[Finding]:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if found.st_uid != os.getuid() or (not stat.S_ISLNK(found.st_mode) and found.st_mode & _OTHERS_WRITE):
        yield problem("file", f"{path} can be changed by other users", f"chmod go-w {path}; chown {os.getuid()} {path}")


def _backups(folder: Path, home: Path) -> Iterator[Finding]:
    try:
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as exc:
        yield warning(
            "backup", f"backup.folder {folder} cannot be looked at: {exc.strerror}", "mount it, or set another"
        )
        return
    if mode & _OTHERS_WRITE:
        text = f"backup.folder {folder} can be changed by other users: they can remove or replace backups"
        yield problem("backup", text, f"chmod go-w {folder}")
    if folder.resolve().is_relative_to(home.resolve()):
        text = "backups lie in the home itself: they are lost together"
        yield problem("backup", text, "microclaw config set backup.folder FOLDER, on another disk")
