"""A device of this machine joins the host that runs here: where it is, and a secret that pairs without a question."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from microclaw.cli.known_devices import known_devices
from microclaw.cli.options import GlobalOptions
from microclaw.durable import replace_file
from microclaw.errors import ConfigError
from microclaw.link_server.operations import provision
from microclaw.operations.client import Client
from microclaw.operations.connection import HostError
from microclaw.ota import operations as firmware

LINK_FOLDER: Final = "link"
"""In a device's own folder: what it keeps of its host."""
_KEYS_FILE: Final = "update-keys.pem"
_MAX_KEYS: Final = 4  # that a device trusts


@dataclass(frozen=True, slots=True)
class HostToJoin:
    """`secret` is None for a device that is paired already."""

    url: str
    ca_sha256: str
    secret: str | None = field(repr=False)


def join_host(options: GlobalOptions, name: str, board: str, folder: Path, *, is_ours: bool, again: str) -> HostToJoin:
    """The device keeps its credential in `folder`; one of a device that the host does not know is removed if `is_ours`.

    Raises ConfigError when that name is another kind of device; `again` is the command line with another name.
    """
    client = options.host()
    known = next((row for row in known_devices(client) if row.name == name), None)
    if known is not None and known.link is None:
        raise ConfigError(f"{name} is a device without the link", next_step=again)
    if known is not None and known.voice_only:
        raise ConfigError(f"{name} is a device of another kind: {known.title}", next_step=again)
    paired = known is not None and (folder / LINK_FOLDER).is_dir()
    if not paired and is_ours:
        shutil.rmtree(folder / LINK_FOLDER, ignore_errors=True)  # of a device that this host does not know any more
    made = client.call(provision, name=name, board=board, secret=not paired)
    return HostToJoin(f"wss://{made.host}:{made.port}/link", made.ca_sha256, made.secret)


def published_keys(client: Client, folder: Path) -> Path | None:
    """The host's public keys for updates as a file for a virtual board, as `flash` gives them to a real one.

    None where there are none, or where they are not for this person to see: the board takes no updates then.
    """
    try:
        keys = client.call(firmware.list_keys).keys
    except HostError as exc:
        if exc.status not in (403, 404):
            raise
        return None
    if not keys:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(folder / _KEYS_FILE, "".join(key.public for key in keys[:_MAX_KEYS]).encode())
    return folder / _KEYS_FILE
