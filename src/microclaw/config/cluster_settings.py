"""The settings of a cluster; settings.py has the others."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import Literal

from microclaw.config.forms import ClusterName, Line, Nats, WholePath, setting


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """The NATS servers that this host shares its devices and people over (docs/cluster.md); else it is alone."""

    nats: Nats | None = setting(None, "nats://HOST:PORT, or tls:// for TLS; several with commas")
    name: ClusterName = setting("microclaw", "the cluster's name: hosts of one name are one fleet")
    host: ClusterName | None = setting(None, "this host's name in it; the machine's when left out")
    user: Line | None = setting(None, "the name that NATS knows this host by")
    password_file: WholePath | None = setting(
        None, "a private file with the password, or the token without cluster.user"
    )
    ca_file: WholePath | None = setting(None, "the authority of the servers' certificates (PEM); else the system's")
    cert_file: WholePath | None = setting(None, "this host's certificate (PEM), for servers that want one")
    key_file: WholePath | None = setting(None, "its key (PEM, no password), where it is not in cert_file too")
    replicas: Literal[0, 1, 3, 5] = setting(0, "on how many servers each thing is kept; 0: on 3 where there are 3")

    @property
    def host_name(self) -> str:
        """What this host is called in its cluster."""
        name = self.host or re.sub(r"[^a-z0-9-]+", "-", platform.node().lower()).strip("-")
        return name[:24] or "host"

    @property
    def with_tls(self) -> bool:
        """`nats` has addresses of one kind."""
        return (self.nats or "").lstrip().lower().startswith("tls://")
