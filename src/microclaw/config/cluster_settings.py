"""The settings of hosts that share a database; settings.py has the others."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import Annotated

from microclaw.config.checks import is_cluster_name, is_database, is_link
from microclaw.config.declaration import about


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """The database that this host shares with others, and with it devices and people (docs/cluster.md); else it is
    alone."""

    database: Annotated[str, about("postgresql://USER@HOST/NAME", check=is_database)] | None = None
    host: (
        Annotated[str, about("this host's name among the others; the machine's when left out", check=is_cluster_name)]
        | None
    ) = None
    address: (
        Annotated[
            str,
            about(
                "HOST:PORT where other hosts call this one; its address towards the database by default",
                check=is_link,
            ),
        ]
        | None
    ) = None

    @property
    def host_name(self) -> str:
        """What this host is called among the others."""
        name = self.host or re.sub(r"[^a-z0-9-]+", "-", platform.node().lower()).strip("-")
        return name[:24] or "host"
