"""Finds the host to use, on this machine or at an address, and its token. It opens no connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast
from urllib.parse import urlsplit

from msgspec import Struct

from microclaw.addresses import DEFAULT_PORTS, bracketed, is_loopback
from microclaw.durable import read_private
from microclaw.errors import ConfigError, StoreError
from microclaw.host.config.places import home_folder, text_of

OPTION: Final = "--host"
VARIABLE: Final = "MICROCLAW_HOST"
TOKEN_VARIABLE: Final = "MICROCLAW_TOKEN"  # noqa: S105  a variable's name
TOKEN_FILE: Final = "hosts.toml"  # noqa: S105  a file's name
CA_VARIABLE: Final = "MICROCLAW_CA"
CA_FILE: Final = "host-ca.pem"
# auth.authority writes it if this home has a host.
OWN_AUTHORITY: Final = "identity/authority.pem"
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
# `--host local` is this machine's host, whatever the variable says.
HERE: Final = "local"
MAX_FILE_BYTES: Final = 64 << 10
MAX_TOKEN_CHARS: Final = 512
_IN_FILE: Final = re.compile(r"[A-Za-z0-9._~/%-]*")


class HostAddress(Struct, frozen=True):
    """A host's address, and the option or variable that named it (`said_by`).

    `prefix` is put before each path and does not end with a slash.
    """

    scheme: Literal["http", "https"]
    name: str
    port: int
    prefix: str
    said_by: str

    @property
    def netloc(self) -> str:
        name = bracketed(self.name)
        if self.port == DEFAULT_PORTS[self.scheme]:
            return name
        return f"{name}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.prefix}"


@dataclass(frozen=True, slots=True)
class HostToken:
    """A token, and the variable or file that had it; "" if the caller gave it."""

    secret: str = field(repr=False)
    found_in: str = ""


def named_host(option: str | None, environ: Mapping[str, str], said_by: str = OPTION) -> HostAddress | None:
    """Return the host of `--host`, else of MICROCLAW_HOST; None is this machine's own host.

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
    """Return MICROCLAW_TOKEN, else the token in the host's line of hosts.toml.

    Raises ConfigError, which says how to get a token, if there is none.
    """
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
    """Return the token; ConfigError, which does not show it, if it cannot be a token."""
    has_form = secret.isascii() and secret.isprintable() and " " not in secret
    if not has_form or not 0 < len(secret) <= MAX_TOKEN_CHARS:
        raise ConfigError(f"the value in {found_in} is not a token", next_step=how_to_get_one(path))
    return HostToken(secret, found_in)


def trusted_authorities(home: Path | None, environ: Mapping[str, str]) -> str:
    """Return the authorities (PEM) that are trusted besides the system's, as from `microclaw person ca FILE`.

    They are in the file that MICROCLAW_CA names, else in host-ca.pem in the home; the authority of this home's own host
    is added. Only certificates are read from a file: the authority's own file also has its key.
    """
    folder = (home or home_folder(environ)).expanduser().absolute()
    file = text_of(environ, CA_VARIABLE)
    path = Path(file).expanduser() if file else folder / CA_FILE
    certificates = _read_certificates(path)
    if file and not certificates:
        raise ConfigError(f"{CA_VARIABLE}: no certificate in {file}", next_step="microclaw person ca FILE on the host")
    return "\n".join((*certificates, *_read_certificates(folder / OWN_AUTHORITY)))


def _read_certificates(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            return _CERTIFICATE.findall(file.read(MAX_FILE_BYTES).decode("ascii", "replace"))
    except OSError:
        # Missing, or not readable for us: the system's authorities remain.
        return []


def how_to_get_one(path: Path | str = TOKEN_FILE) -> str:
    """Return the next step for a missing token."""
    return f"microclaw person tokens --add NAME on the host's machine, then set {TOKEN_VARIABLE} or put it into {path}"


def _read_address(text: str, said_by: str) -> HostAddress:
    form = f"{said_by} https://HOST[:PORT], or {HERE} for this machine's host"
    if "@" in text:
        # Neither shown nor used: the process list and the shell's history have it already.
        text = f"{said_by}: an address must not have a name or token; other programs can read the command line"
        raise ConfigError(text, next_step=f"{form}; the token goes into {TOKEN_VARIABLE}")
    wrong = ConfigError(f"{said_by}: {text[:80]!r} is not the address of a host", next_step=form)
    try:
        parts = urlsplit(text)
        name = parts.hostname
        port = parts.port
        prefix = parts.path.rstrip("/")
    except ValueError as exc:
        raise wrong from exc
    is_plain = text.isprintable() and _IN_FILE.fullmatch(prefix) and not set(text) & set("?# \\")
    if not is_plain or parts.scheme not in ("http", "https"):
        raise wrong
    if not name or port == 0:
        raise wrong
    scheme = cast("Literal['http', 'https']", parts.scheme)
    address = HostAddress(scheme, name, port or DEFAULT_PORTS[scheme], prefix, said_by)
    if scheme == "http" and not is_loopback(name):
        raise _unencrypted(address)
    return address


def _unencrypted(address: HostAddress) -> ConfigError:
    port = 8080 if address.port == DEFAULT_PORTS["http"] else address.port
    return ConfigError(
        f"{address} would carry the token in the clear: http:// is for this machine alone",
        next_step=f"https://{address.name}, or a tunnel (ssh -N -L {port}:127.0.0.1:{port} {address.name}) "
        f"and {OPTION} http://127.0.0.1:{port}",
    )


def _token_of_file(path: Path, address: HostAddress) -> str | None:
    """Return the token for only this host: a token of one host is never shown to another."""
    import tomllib

    try:
        entries = tomllib.loads((read_private(path.resolve()) or b"").decode("utf-8-sig"))
    except StoreError as exc:
        raise ConfigError(f"{path} is not used: {exc.message}", next_step=exc.next_step) from exc
    except ValueError as exc:
        # Not UTF-8, or not TOML; the error names a line and quotes nothing.
        raise ConfigError(f"{path}: {exc}", next_step=_line_of(address)) from exc
    for text, secret in entries.items():
        try:
            is_this_host = str(_read_address(text, path.name)) == str(address)
        except ConfigError:
            # A mistake in another host's line is reported when that host is used.
            continue
        if is_this_host:
            if not isinstance(secret, str) or not secret.strip():
                raise ConfigError(f"{path}: {text!r} has no token", next_step=_line_of(address))
            return secret.strip()
    return None


def _line_of(address: HostAddress) -> str:
    return f'one line for each host: "{address}" = "mc_..."'
