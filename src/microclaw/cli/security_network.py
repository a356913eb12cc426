"""What listens beyond this machine, and the state of certificates, for `doctor --security`. It opens no connection."""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from microclaw.addresses import bracketed, host_of, is_loopback
from microclaw.auth.authority import AUTHORITY_FILE, SERVER_FILE
from microclaw.auth.certificates import HostNames, KeyPair, check_authority, is_late, lan_names, to_ms
from microclaw.auth.people_tls import OWN_FILE, ends_soon, names_in, read_given
from microclaw.cli.findings import Finding, problem, warning
from microclaw.config.host_settings import HostSettings
from microclaw.config.settings import DEFAULT_LINK_PORT, Settings

_LISTENING: Final = "0A"  # TCP_LISTEN in /proc/net/tcp
_PROC: Final = Path("/proc")
DAY_MS: Final = 86_400_000
AUTHORITY_WARNS_MS: Final = 365 * DAY_MS
MIN_RSA_BITS: Final = 2048
MIN_EC_BITS: Final = 256
_RESTART: Final = "start the host again: it makes a new one (microclaw up)"


def plane_findings(settings: Settings) -> Iterator[Finding]:
    """Doors that the settings open beyond this machine without a lock of their own."""
    gateway = settings.gateway
    if gateway is not None and gateway.enabled and gateway.open:
        text = "gateway.open is true: every program and account of this machine is the owner in the gateway's chats"
        yield problem("listen", text, "microclaw config unset gateway.open, and give clients a token")
    if gateway is not None and gateway.enabled and not is_loopback(gateway.host):
        text = (
            f"the chat gateway listens at {gateway.host} without TLS: who is in that network can read tokens and words"
        )
        yield problem("listen", text, "microclaw config unset gateway.host, or put a TLS proxy in front of it")
    voice = settings.voice
    if voice.enabled and voice.wyoming_port is not None and not is_loopback(voice.wyoming_host):
        text = f"Wyoming listens at {voice.wyoming_host} without authentication: who reaches it is {voice.person}"
        yield problem("listen", text, "microclaw config unset voice.wyoming_host, or make voice.person a guest")
    if voice.enabled and voice.xiaozhi is not None and not is_loopback(host_of(voice.xiaozhi)):
        text = f"voice.xiaozhi listens at {voice.xiaozhi} in clear text: speech and tokens can be read in that network"
        yield warning("listen", text, "a network of their own for those devices")


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP port on which a process takes connections."""

    address: str
    port: int


def listening_findings(pid: int | None, settings: Settings, https_port: int | None = None) -> Iterator[Finding]:
    """Ports of the running host beyond loopback that no setting names. `https_port`: where it says it has HTTPS."""
    listeners = None if pid is None else listeners_of(pid)
    if listeners is None:
        why = "no host runs here" if pid is None else "this system does not tell"
        yield Finding("socket", True, f"{why}: on which ports it listens was not looked at")
        return
    known = _known_ports(settings)
    if _pages_are_open(settings):
        known |= {settings.host.http_port} if https_port is None else {https_port}
    for found in listeners:
        if not is_loopback(found.address) and found.port not in known:
            text = f"the host listens at {bracketed(found.address)}:{found.port}, which no setting names"
            yield problem("socket", text, "see how it was started (its options), and what it says: microclaw status")


def listeners_of(pid: int) -> list[Listener] | None:
    """The ports that a process listens on; None where /proc does not tell."""
    inodes = set()
    try:
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                name = str(entry.readlink())
                inodes |= {name[8:-1]} if name.startswith("socket:[") else set()
    except OSError:
        return None
    return [found for table in ("tcp", "tcp6") for found in _table(_PROC / str(pid) / "net" / table, inodes)]


def _table(path: Path, inodes: set[str]) -> Iterator[Listener]:
    try:
        rows = path.read_text().splitlines()[1:]
    except OSError:
        return
    for row in rows:
        words = row.split()
        if len(words) > 9 and words[3] == _LISTENING and words[9] in inodes:
            address, _, port = words[1].partition(":")
            yield Listener(_address(address), int(port, 16))


def _address(text: str) -> str:
    """An address of /proc/net/tcp: 32-bit words in this machine's byte order."""
    raw = b"".join(bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    parsed = ipaddress.ip_address(raw)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _known_ports(settings: Settings) -> set[int]:
    """Of doors with a finding or a lock of their own: the link, ingress, the gateway, Wyoming, xiaozhi."""
    voice, gateway = settings.voice, settings.gateway
    ports = {DEFAULT_LINK_PORT}
    named = (settings.host.link, settings.host.ingress, voice.xiaozhi)
    ports |= {int(place.rpartition(":")[2]) for place in named if place is not None and place != "off"}
    ports |= {port for port in (None if gateway is None else gateway.port, voice.wyoming_port) if port}
    return ports


def certificate_findings(settings: Settings, now_ms: int) -> Iterator[Finding]:
    """The host's own authority, the devices' server certificate, the pages' one. Nothing before the first start."""
    authority = _pair(settings.identity / AUTHORITY_FILE)
    server = _pair(settings.identity / SERVER_FILE)
    for name, found in (("authority", authority), ("server", server)):
        if isinstance(found, str):
            step = "restore the folder identity from a backup (microclaw restore)"
            yield problem("certs", f"the {name}'s certificate cannot be used: {found}", step)
    if isinstance(authority, KeyPair):
        yield from _authority(authority, now_ms)
    if isinstance(server, KeyPair):
        yield from _server("server", server, authority, now_ms)
        missing = _missing(server.certificate, HostNames((), lan_names().addresses))
        if missing and _link_is_open(settings):
            text = f"the server's certificate lacks {missing}: devices that use it are refused"
            yield warning("certs", text, _RESTART)
    if settings.host.http_tls == "own":
        yield from _own_pages(authority, settings, now_ms)
    elif settings.host.http_tls == "files":
        yield from _given_pages(settings.host, now_ms)


def _own_pages(authority: KeyPair | str | None, settings: Settings, now_ms: int) -> Iterator[Finding]:
    """The certificate that browsers and programs see, which the host makes and renews itself."""
    pages = _pair(settings.identity / OWN_FILE)
    if isinstance(pages, str):
        yield problem("certs", f"the page server's certificate cannot be used: {pages}", _RESTART)
    elif pages is not None:
        yield from _server("page server", pages, authority, now_ms)
        missing = _missing(pages.certificate, lan_names(settings.host.http_host, *settings.host.http_names))
        if missing and _pages_are_open(settings):
            yield warning(
                "certs", f"the page server's certificate lacks {missing}: who calls it so is refused", _RESTART
            )


def _given_pages(host: HostSettings, now_ms: int) -> Iterator[Finding]:
    """Somebody else's certificate, in two files. ConfigError where the host would not start with them."""
    assert host.http_cert is not None  # config.load says so
    assert host.http_key is not None
    certificate, key = Path(host.http_cert).expanduser(), Path(host.http_key).expanduser()
    found = read_given(certificate, key, now_ms)
    yield from _strength("page server", found)
    if ends_soon(found, now_ms):
        end = _day(to_ms(found.not_valid_after_utc))
        yield warning("certs", f"{certificate} ends on {end}", "renew it: the host reads changed files by itself")
    for path in (key, certificate):
        about = path.stat()
        if about.st_mode & 0o022 or about.st_uid not in (0, os.getuid()):
            text = f"{path} can be changed by other users (mode {stat.S_IMODE(about.st_mode):03o})"
            yield problem("certs", text, f"chmod go-w {path}; chown {os.getuid()} {path}")
    names = names_in(found)
    here = [name for name in names.names if name != "localhost"]
    near = [address for address in names.addresses if not address.is_loopback]
    if not is_loopback(host.http_host) and not here and not near:
        text = f"{certificate} has no name or address by which other machines could call {host.http_host}"
        yield warning("certs", text, "get one for this machine's name")


def _pair(path: Path) -> KeyPair | str | None:
    """Key and certificate; why they cannot be used; None where there is no file."""
    try:
        return KeyPair.from_pem(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        return str(exc)


def _authority(pair: KeyPair, now_ms: int) -> Iterator[Finding]:
    try:
        check_authority(pair)
    except ValueError as exc:
        yield problem("certs", f"the authority's certificate: {exc}", "restore the folder identity from a backup")
    yield from _strength("authority", pair.certificate)
    end_ms = to_ms(pair.certificate.not_valid_after_utc)
    if end_ms - now_ms < AUTHORITY_WARNS_MS:
        text = f"the authority's certificate ends on {_day(end_ms)}: no device trusts this host after that"
        yield problem("certs", text, "pair the devices with a new authority before that day (docs/backup.md)")


def _server(name: str, pair: KeyPair, authority: KeyPair | str | None, now_ms: int) -> Iterator[Finding]:
    certificate = pair.certificate
    yield from _strength(name, certificate)
    begin_ms, end_ms = to_ms(certificate.not_valid_before_utc), to_ms(certificate.not_valid_after_utc)
    if end_ms <= now_ms:
        yield problem("certs", f"the {name}'s certificate ended on {_day(end_ms)}", _RESTART)
    elif begin_ms > now_ms:
        text = f"the {name}'s certificate begins on {_day(begin_ms)}: this machine's clock is behind"
        yield problem("certs", text, "set the clock")
    elif is_late(begin_ms, end_ms, now_ms):
        yield warning("certs", f"the {name}'s certificate ends on {_day(end_ms)} and was not renewed yet", _RESTART)
    if isinstance(authority, KeyPair):
        try:
            certificate.verify_directly_issued_by(authority.certificate)
        except (ValueError, TypeError, InvalidSignature):
            yield problem("certs", f"the {name}'s certificate is not signed by this host's authority", _RESTART)


def _link_is_open(settings: Settings) -> bool:
    """Whether devices of the network can connect, as far as the settings say it."""
    link = settings.host.link
    return link not in (None, "off") and not is_loopback(host_of(str(link)))


def _pages_are_open(settings: Settings) -> bool:
    """Whether the settings open the pages and the API to the network, by HTTPS."""
    return settings.host.http_tls != "off" and not is_loopback(settings.host.http_host)


def _missing(certificate: x509.Certificate, wanted: HostNames) -> str:
    """The first of the names and addresses that are not in the certificate; "" where all are."""
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "every name"
    names, addresses = held.get_values_for_type(x509.DNSName), held.get_values_for_type(x509.IPAddress)
    lacking = [name for name in wanted.names if name not in names]
    lacking += [str(address) for address in wanted.addresses if address not in addresses]
    return ", ".join(lacking[:3])


def _strength(name: str, certificate: x509.Certificate) -> Iterator[Finding]:
    key = certificate.public_key()
    match key:
        case ec.EllipticCurvePublicKey():
            weak = key.key_size < MIN_EC_BITS
        case rsa.RSAPublicKey():
            weak = key.key_size < MIN_RSA_BITS
        case _:
            weak = not isinstance(key, ed25519.Ed25519PublicKey)
    if weak:
        size = getattr(key, "key_size", "?")
        step = "make a new identity: restore a backup, or pair the devices again"
        yield problem("certs", f"the {name}'s key is weak ({type(key).__name__}, {size} bits)", step)


def _day(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}"
