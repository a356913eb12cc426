"""The settings of hosts that share a database; settings.py has the others."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass

from microclaw.config.forms import ClusterName, Database, Place, setting


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """The database that this host shares with others, and with it devices and people (docs/cluster.md); else it is
    alone."""

    database: Database | None = setting(None, "postgresql://USER@HOST/NAME, which several hosts share")
    host: ClusterName | None = setting(None, "this host's name among the others; the machine's when left out")
    address: Place | None = setting(None, "where other hosts call this one; by default on its way to the database")

    @property
    def host_name(self) -> str:
        """What this host is called among the others."""
        name = self.host or re.sub(r"[^a-z0-9-]+", "-", platform.node().lower()).strip("-")
        return name[:24] or "host"
