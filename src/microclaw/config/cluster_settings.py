"""The settings of a cluster; settings.py has the others."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import Annotated

from microclaw.config.checks import is_cluster_name, is_folder, is_nats, is_replicas
from microclaw.config.declaration import about


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """The NATS servers that this host shares its devices and people over (docs/cluster.md); else it is alone."""

    nats: Annotated[str, about("nats://HOST:PORT, or tls:// for TLS; several with commas", check=is_nats)] | None = None
    name: Annotated[str, about("the cluster's name: hosts of one name are one fleet", check=is_cluster_name)] = (
        "microclaw"
    )
    host: Annotated[str, about("this host's name in it; the machine's when left out", check=is_cluster_name)] | None = (
        None
    )
    user: Annotated[str, about("the name that NATS knows this host by")] | None = None
    password_file: (
        Annotated[
            str,
            about(
                "a file with the password alone, which nobody else can read; without cluster.user it is a token",
                check=is_folder,
            ),
        ]
        | None
    ) = None
    ca_file: (
        Annotated[str, about("the authority of the servers' certificates (PEM); else the system's", check=is_folder)]
        | None
    ) = None
    cert_file: (
        Annotated[str, about("this host's certificate (PEM), for servers that want one", check=is_folder)] | None
    ) = None
    key_file: (
        Annotated[str, about("its key (PEM, no password), where it is not in cert_file too", check=is_folder)] | None
    ) = None
    replicas: Annotated[
        int, about("on how many servers each thing is kept: 1, 3 or 5; 0: on 3 where there are 3", check=is_replicas)
    ] = 0

    @property
    def host_name(self) -> str:
        """What this host is called in its cluster."""
        name = self.host or re.sub(r"[^a-z0-9-]+", "-", platform.node().lower()).strip("-")
        return name[:24] or "host"

    @property
    def with_tls(self) -> bool:
        """`nats` has addresses of one kind."""
        return (self.nats or "").lstrip().lower().startswith("tls://")
