"""What a host checks before it serves as one of many: its home known, its authority the fleet's."""

from __future__ import annotations

import asyncio
import hashlib
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Final

from microclaw.auth.authority import BEGIN_ANEW_FILE
from microclaw.errors import StoreError
from microclaw.store.identity import IdentityTable
from microclaw.text import count_text

if TYPE_CHECKING:
    from microclaw.cluster.hosts import Hosts

MAX_CONSENT_BYTES: Final = 256
CONSENT: Final = "end the fleet"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")  # Linux: another at each start of the machine


def home_key(home: Path) -> str:
    """The same for one folder of one machine until it starts again. Whoever has its lock is alone in that folder."""
    machine = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else platform.node()
    folder = home.stat()
    return hashlib.sha256(f"{machine} {folder.st_dev} {folder.st_ino}".encode()).hexdigest()[:16]


async def check_begin_anew(hosts: Hosts, table: IdentityTable, folder: Path) -> None:
    """StoreError where `identity/begin-anew` would end a fleet without a person's word that it is to be.

    With many hosts the file says that by CONSENT in it, and no other host runs then.
    """
    path = folder / BEGIN_ANEW_FILE
    said = await asyncio.to_thread(_content, path)
    if said is None:
        return
    others = sorted(hosts.live[host_id].name for host_id in hosts.others())
    devices = await table.trusting()
    known = await table.authority()
    if not others and (said == CONSENT or (not devices and known is None)):
        return
    running = f", and other hosts run: {', '.join(others)}" if others else ""
    raise StoreError(
        f"{path} would end the authority of all hosts of this database, and "
        f"{count_text(devices, 'device')} would have to be paired again{running}",
        next_step=f"remove that file, and copy identity/authority.pem of another host to {folder} (mode 600); or, to "
        f"give up every device: stop all other hosts, write the words {CONSENT} into that file, and start this host",
    )


def _content(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CONSENT_BYTES).decode(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise StoreError(f"{path} cannot be read: {exc.strerror}", next_step="check its owner and mode") from exc
