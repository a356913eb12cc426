"""Finds the host that is meant: this machine's own, or one at an address, and its token. It connects nowhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast
from urllib.parse import urlsplit

from msgspec import Struct

from microclaw.addresses import bracketed, is_loopback
from microclaw.config.places import home_folder, text_of
from microclaw.durable import read_private
from microclaw.errors import ConfigError, StoreError

OPTION: Final = "--host"
VARIABLE: Final = "MICROCLAW_HOST"
TOKEN_VARIABLE: Final = "MICROCLAW_TOKEN"  # noqa: S105  a variable's name
TOKEN_FILE: Final = "hosts.toml"  # noqa: S105  a file's name
CA_VARIABLE: Final = "MICROCLAW_CA"
CA_FILE: Final = "host-ca.pem"
OWN_AUTHORITY: Final = "identity/authority.pem"  # auth.authority's, of a host in this home
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
HERE: Final = "local"  # `--host local`: this machine's host, whatever the variable says
MAX_FILE_BYTES: Final = 64 << 10
MAX_TOKEN_CHARS: Final = 512
_PORTS: Final = {"http": 80, "https": 443}
_IN_FILE: Final = re.compile(r"[A-Za-z0-9._~/%-]*")


class HostAddress(Struct, frozen=True):
    """A host's place as it was named; `prefix` stands before each path and ends without a slash."""

    scheme: Literal["http", "https"]
    name: str
    port: int
    prefix: str
    said_by: str

    @property
    def netloc(self) -> str:
        return bracketed(self.name) + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.prefix}"


@dataclass(frozen=True, slots=True)
class HostToken:
    """A token, and where it was found; "" where its owner sent it."""

    secret: str = field(repr=False)
    found_in: str = ""


def named_host(option: str | None, environ: Mapping[str, str], said_by: str = OPTION) -> HostAddress | None:
    """Return the host of `--host`, else of MICROCLAW_HOST; None is this machine's own.

    Raises ConfigError if the address cannot be used.
    """
    if option is not None and option.strip():
        text = option.strip()
    else:
        text = text_of(environ, VARIABLE) or HERE
        said_by = VARIABLE
    if text == HERE:
        return None
    return _read_address(text, said_by)


def token_for(address: HostAddress, home: Path | None, environ: Mapping[str, str]) -> HostToken:
    """MICROCLAW_TOKEN, else this very host's line of hosts.toml. ConfigError says where one is made and put."""
    path = (home or home_folder(environ)).expanduser().absolute() / TOKEN_FILE
    secret = text_of(environ, TOKEN_VARIABLE)
    found_in = TOKEN_VARIABLE
    if secret is None:
        secret = _token_of_file(path, address)
        found_in = str(path)
    if secret is None:
        raise ConfigError(f"no token for {address}", next_step=how_to_get_one(path))
    return checked_token(secret, found_in, path)


def checked_token(secret: str, found_in: str, path: Path | str = TOKEN_FILE) -> HostToken:
    """ConfigError for what cannot be a token; it is not shown."""
    if not 0 < len(secret) <= MAX_TOKEN_CHARS or not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise ConfigError(f"what is in {found_in} is no token", next_step=how_to_get_one(path))
    return HostToken(secret, found_in)


def trusted_authorities(home: Path | None, environ: Mapping[str, str]) -> str:
    """Certificates (PEM) that a host may prove itself with besides the system's: of `microclaw person ca FILE`.

    The file that MICROCLAW_CA names, else host-ca.pem in the home; and the authority of this home's own host. Only
    certificates are taken out of a file: the authority's own file has its key, too.
    """
    folder = (home or home_folder(environ)).expanduser().absolute()
    named = text_of(environ, CA_VARIABLE)
    found = _certificates(Path(named).expanduser() if named else folder / CA_FILE)
    if named and not found:
        raise ConfigError(f"{CA_VARIABLE}: no certificate in {named}", next_step="microclaw person ca FILE on the host")
    return "\n".join((*found, *_certificates(folder / OWN_AUTHORITY)))


def _certificates(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            return _CERTIFICATE.findall(file.read(MAX_FILE_BYTES).decode("ascii", "replace"))
    except OSError:
        return []  # not there, or not ours to read: the system's authorities are left


def how_to_get_one(path: Path | str = TOKEN_FILE) -> str:
    return f"microclaw person tokens --add NAME on the host's machine, then set {TOKEN_VARIABLE} or put it into {path}"


def _read_address(text: str, said_by: str) -> HostAddress:
    form = f"{said_by} https://HOST[:PORT], or {HERE} for this machine's host"
    if "@" in text:  # neither shown again nor used: the process list and the shell's history have it already
        text = f"{said_by}: an address carries no name and no token, as other programs can read the command line"
        raise ConfigError(text, next_step=f"{form}; the token goes into {TOKEN_VARIABLE}")
    wrong = ConfigError(f"{said_by}: {text[:80]!r} is no host's address", next_step=form)
    try:
        parts = urlsplit(text)
        name = parts.hostname
        port = parts.port
        prefix = parts.path.rstrip("/")
    except ValueError as exc:
        raise wrong from exc
    is_plain = text.isprintable() and _IN_FILE.fullmatch(prefix) and not set(text) & set("?# \\")
    if not is_plain or parts.scheme not in _PORTS or not name or port == 0:
        raise wrong
    scheme = cast("Literal['http', 'https']", parts.scheme)
    address = HostAddress(scheme, name, port or _PORTS[scheme], prefix, said_by)
    if scheme == "http" and not is_loopback(name):
        local = 8080 if address.port == _PORTS["http"] else address.port
        raise ConfigError(
            f"{address} would carry the token in the clear: http:// is for this machine alone",
            next_step=f"https://{name}, or a tunnel (ssh -N -L {local}:127.0.0.1:{local} {name}) "
            f"and {OPTION} http://127.0.0.1:{local}",
        )
    return address


def _token_of_file(path: Path, address: HostAddress) -> str | None:
    """Return the token for only this host: a token of one host is never shown to another."""
    import tomllib

    try:
        entries = tomllib.loads((read_private(path.resolve()) or b"").decode("utf-8-sig"))
    except StoreError as exc:
        raise ConfigError(f"{path} is not used: {exc.message}", next_step=f"chmod 600 {path}") from exc
    except ValueError as exc:  # not UTF-8, or no TOML; the error names a line, and quotes nothing
        raise ConfigError(f"{path}: {exc}", next_step=_line_of(address)) from exc
    for named, secret in entries.items():
        try:
            here = str(_read_address(named, path.name)) == str(address)
        except ConfigError:
            continue  # another line's mistake: it is reported when that host is meant
        if here:
            if not isinstance(secret, str) or not secret.strip():
                raise ConfigError(f"{path}: {named!r} has no token", next_step=_line_of(address))
            return secret.strip()
    return None


def _line_of(address: HostAddress) -> str:
    return f'one line for each host: "{address}" = "mc_..."'
