"""What a host checks before it serves as one of a cluster: its name is its own, its authority the fleet's.

It changes nothing. What is wrong later, `cluster status` names (cluster/status.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from microclaw.auth.authority import BEGIN_ANEW_FILE
from microclaw.errors import ConfigError, StoreError
from microclaw.store.identity import IdentityTable
from microclaw.text import count_text

if TYPE_CHECKING:
    from microclaw.cluster.host_facts import HostStanding
    from microclaw.cluster.hosts import Hosts

LOOK_S: Final = 0.1
MAX_CONSENT_BYTES: Final = 256
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")  # Linux: another at each start of the machine


def home_key(home: Path) -> str:
    """The same for one folder of one machine until it starts again. Whoever has its lock is alone in that folder."""
    machine = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else platform.node()
    folder = home.stat()
    return hashlib.sha256(f"{machine} {folder.st_dev} {folder.st_ino}".encode()).hexdigest()[:16]


async def check_name(hosts: Hosts, name: str, key: str) -> None:
    """ConfigError when another live host has this name. It waits where one was there that may be dead.

    A host that was killed has a lease for some seconds more: only one that renews it lives. One with the `home_key`
    `key` is this host's own predecessor, and is dead. Of two that start at once the first in the bucket's order wins.
    """
    time = asyncio.get_running_loop().time
    began = time()
    earlier = set(takewhile(lambda host_id: host_id != hosts.host_id, hosts.live))

    def namesakes() -> list[HostStanding]:
        here = [one for one in hosts.standing() if one.facts.host_id in earlier and one.facts.name == name]
        return [one for one in here if one.facts.home != key]

    # The time is taken before each look, so that nothing that came before this began counts as a renewal.
    while (waited_s := time() - began) < 3 * hosts.times.renew_s and (found := namesakes()):
        for one in found:
            if one.seen_s < waited_s:
                where = "" if one.facts.api is None else f" ({one.facts.api})"
                raise ConfigError(
                    f"another host of the cluster is called {name}, and runs{where}",
                    next_step="give this one a name of its own: microclaw config set cluster.host NAME, "
                    "or MICROCLAW_CLUSTER__HOST=NAME",
                )
        await asyncio.sleep(LOOK_S)


async def check_begin_anew(hosts: Hosts, key: str, table: IdentityTable, folder: Path, cluster_name: str) -> None:
    """StoreError where `identity/begin-anew` would end a fleet without a person's word that it is to be.

    In a cluster the file says that by the cluster's name in it, and no other host runs then.
    """
    path = folder / BEGIN_ANEW_FILE
    said = await asyncio.to_thread(_content, path)
    if said is None:
        return
    others = sorted(one.facts.name for one in hosts.standing() if one.facts.home != key)
    devices = await table.trusting()
    known = await table.authority()
    if not others and (said == cluster_name or (not devices and known is None)):
        return
    running = f", and other hosts run: {', '.join(others)}" if others else ""
    raise StoreError(
        f"{path} would end the authority of all hosts of the cluster {cluster_name}, and "
        f"{count_text(devices, 'device')} would have to be paired again{running}",
        next_step=f"remove that file, and copy identity/authority.pem of another host to {folder} (mode 600); or, to "
        f"give up every device of the cluster: stop all other hosts, write the cluster's name into that file "
        f"(echo {cluster_name} > {path}), and start this host",
    )


def _content(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CONSENT_BYTES).decode(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise StoreError(f"{path} cannot be read: {exc.strerror}", next_step="check its owner and mode") from exc
