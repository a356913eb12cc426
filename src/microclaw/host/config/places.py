"""The places of the host's files, closed to other users. It reads no settings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from microclaw.durable import make_private_folder, mode_step
from microclaw.errors import ConfigError, StoreError

# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS and BSD, the final NUL included.
MAX_SOCKET_PATH_BYTES = 103


def home_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the host's data: MICROCLAW_HOME or the platform's user data folder."""
    named = text_of(environ, "MICROCLAW_HOME")
    if named:
        return Path(named)
    from platformdirs import user_data_path

    return user_data_path("microclaw")


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder for files that can be made again: MICROCLAW_CACHE or the platform's cache folder."""
    named = text_of(environ, "MICROCLAW_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("microclaw")


def make_private(folder: Path) -> None:
    """Make a folder that only its owner may enter, or check that it is one; an empty one is closed to others."""
    try:
        # A folder with files may be shared by others (--home /tmp), so only an empty folder is closed.
        if folder.is_dir() and not any(folder.iterdir()):
            folder.chmod(0o700)
        make_private_folder(folder)
    except (OSError, StoreError) as exc:
        step = "give --home or MICROCLAW_HOME a folder of your own"
        if any(place.is_file() for place in (folder, *folder.parents)):
            raise ConfigError(f"{folder} is no folder", next_step=step) from exc
        close = mode_step(", or: ", "700", folder)
        if close is not None:
            step += close
        raise ConfigError(f"cannot use {folder}: {exc}", next_step=step) from exc


def control_socket(home: Path, environ: Mapping[str, str]) -> Path:
    """`home`/control.sock, or a short private path of its own where the kernel could not bind that one."""
    wanted = home / "control.sock"
    if len(os.fsencode(wanted)) <= MAX_SOCKET_PATH_BYTES:
        return wanted
    name = Path(f"microclaw-{os.getuid()}", f"{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}.sock")
    places = (text_of(environ, "XDG_RUNTIME_DIR"), "/tmp")  # noqa: S108  short is the point; mode and owner are checked
    paths = [Path(base) / name for base in places if base]
    short = next(path for path in paths if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES)
    # In /tmp another user may have made a link to a folder of this user.
    if short.parent.is_symlink():
        raise ConfigError(f"{short.parent} is a symbolic link", next_step="remove it, or give a shorter --home")
    make_private(short.parent)
    return short


def text_of(environ: Mapping[str, str], name: str) -> str | None:
    """Return the text of a variable, or None if it is unset or empty."""
    return environ.get(name, "").strip() or None
