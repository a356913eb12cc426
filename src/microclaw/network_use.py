"""The network that a program uses, as a value: the hosts that it talks to and the ports that it opens.

It is read from the program's source, shown to its owner, stored with the program, and held by the board.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

MAX_HOSTS: Final = 16
"""The most that a program may talk to (firmware/fw/net_rules.py)."""


class NetworkUse(Struct, frozen=True):
    """`hosts` are "HOST:PORT", or "HOST" for every port of it, in small letters; `ports` are those that it opens."""

    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """Say it: "talks to api.example.org:443; opens port 80". Empty if the program uses no network."""
        parts = []
        if self.hosts:
            parts.append(f"talks to {', '.join(self.hosts)}")
        if self.ports:
            noun = "port" if len(self.ports) == 1 else "ports"
            parts.append(f"opens {noun} {', '.join(map(str, self.ports))}")
        return "; ".join(parts)

    def with_hosts(self, hosts: Iterable[str]) -> NetworkUse:
        """Return it with the hosts that the owner names, in order; "HOST:PORT" takes the place of "HOST"."""
        named = set(hosts)
        narrowed = {host.partition(":")[0] for host in named}
        own = [host for host in self.hosts if host not in narrowed]
        return NetworkUse(tuple(sorted({*own, *named})), tuple(sorted({*self.ports})))


NO_NETWORK = NetworkUse()
