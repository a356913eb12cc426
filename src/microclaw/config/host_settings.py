"""The section `host` of the settings: where people, programs and devices reach the host. It opens nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from microclaw.config.checks import is_bind, is_called, is_folder, is_link
from microclaw.config.declaration import about

DEFAULT_HTTP_PORT = 8080
HttpTls: TypeAlias = Literal["off", "own", "files"]


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Where `up` listens when its own options do not say otherwise."""

    http_host: Annotated[
        str, about("the address where the API and its pages listen; off loopback with http_tls", check=is_bind)
    ] = "127.0.0.1"
    http_port: Annotated[int, about("the API's port; 0 takes any free one", 0, 65_535)] = DEFAULT_HTTP_PORT
    http_tls: Annotated[
        HttpTls, about("HTTPS there: by a certificate of the host's own authority, or by http_cert and http_key")
    ] = "off"
    http_cert: Annotated[str, about("certificate and chain (PEM), for http_tls files", check=is_folder)] | None = None
    http_key: Annotated[str, about("its private key (PEM), not readable by everybody", check=is_folder)] | None = None
    http_names: Annotated[
        tuple[str, ...],
        about("more names and addresses for the own certificate, as people call the host", check=is_called),
    ] = ()
    ingress: Annotated[
        str,
        about(
            "HOST:PORT for Home Assistant's ingress, without TLS; only its Supervisor (172.30.32.2) is answered",
            check=is_link,
        ),
    ] = "off"
    link: Annotated[str, about('where devices connect: HOST:PORT or "off"', check=is_link)] | None = None
