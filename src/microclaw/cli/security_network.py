"""What listens beyond this machine, and the state of certificates, for `doctor --security`. It opens no connection."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from microclaw.addresses import bracketed, is_loopback
from microclaw.auth.authority import AUTHORITY_FILE, SERVER_FILE
from microclaw.auth.certificates import KeyPair, check_authority, is_late, lan_names, to_ms
from microclaw.cli.findings import Finding, problem, warning
from microclaw.config.settings import DEFAULT_LINK_PORT, Settings

_LISTENING: Final = "0A"  # TCP_LISTEN in /proc/net/tcp
_PROC: Final = Path("/proc")
DAY_MS: Final = 86_400_000
AUTHORITY_WARNS_MS: Final = 365 * DAY_MS
MIN_RSA_BITS: Final = 2048
MIN_EC_BITS: Final = 256


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
    if voice.enabled and voice.xiaozhi is not None and not is_loopback(voice.xiaozhi.rpartition(":")[0].strip("[]")):
        text = f"voice.xiaozhi listens at {voice.xiaozhi} in clear text: speech and tokens can be read in that network"
        yield warning("listen", text, "a network of their own for those devices")


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP port on which a process takes connections."""

    address: str
    port: int


def listening_findings(pid: int | None, settings: Settings) -> Iterator[Finding]:
    """Ports of the running host beyond loopback that no setting names."""
    listeners = None if pid is None else listeners_of(pid)
    if listeners is None:
        why = "no host runs here" if pid is None else "this system does not tell"
        yield Finding("socket", True, f"{why}: on which ports it listens was not looked at")
        return
    known = _known_ports(settings)
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
    """Of doors with a finding or a lock of their own: the link, the gateway, Wyoming, xiaozhi."""
    voice, gateway = settings.voice, settings.gateway
    ports = {DEFAULT_LINK_PORT}
    named = (settings.host.link, voice.xiaozhi)
    ports |= {int(place.rpartition(":")[2]) for place in named if place is not None and place != "off"}
    ports |= {port for port in (None if gateway is None else gateway.port, voice.wyoming_port) if port}
    return ports


def certificate_findings(settings: Settings, now_ms: int) -> Iterator[Finding]:
    """The host's own authority and server certificate. Nothing before the first start."""
    authority = _pair(settings.identity / AUTHORITY_FILE)
    server = _pair(settings.identity / SERVER_FILE)
    for name, found in (("authority", authority), ("server", server)):
        if isinstance(found, str):
            step = "restore the folder identity from a backup (microclaw restore)"
            yield problem("certs", f"the {name}'s certificate cannot be used: {found}", step)
    if isinstance(authority, KeyPair):
        yield from _authority(authority, now_ms)
    if isinstance(server, KeyPair):
        yield from _server(server, authority, settings, now_ms)


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


def _server(pair: KeyPair, authority: KeyPair | str | None, settings: Settings, now_ms: int) -> Iterator[Finding]:
    certificate = pair.certificate
    yield from _strength("server", certificate)
    begin_ms, end_ms = to_ms(certificate.not_valid_before_utc), to_ms(certificate.not_valid_after_utc)
    restart = "start the host again: it makes a new one (microclaw up)"
    if end_ms <= now_ms:
        yield problem("certs", f"the server's certificate ended on {_day(end_ms)}", restart)
    elif begin_ms > now_ms:
        text = f"the server's certificate begins on {_day(begin_ms)}: this machine's clock is behind"
        yield problem("certs", text, "set the clock")
    elif is_late(begin_ms, end_ms, now_ms):
        yield warning("certs", f"the server's certificate ends on {_day(end_ms)} and was not renewed yet", restart)
    if isinstance(authority, KeyPair):
        try:
            certificate.verify_directly_issued_by(authority.certificate)
        except (ValueError, TypeError, InvalidSignature):
            yield problem("certs", "the server's certificate is not signed by this host's authority", restart)
    missing = _missing_names(certificate) if _link_is_open(settings) else []
    if missing:
        text = f"the server's certificate lacks {', '.join(missing[:3])}: devices that use it are refused"
        yield warning("certs", text, restart)


def _link_is_open(settings: Settings) -> bool:
    """Whether devices of the network can connect, as far as the settings say it."""
    link = settings.host.link
    return link not in (None, "off") and not is_loopback(str(link).rpartition(":")[0].strip("[]"))


def _missing_names(certificate: x509.Certificate) -> list[str]:
    """This machine's addresses of now that are not in the certificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ["every name"]
    held = set(names.get_values_for_type(x509.IPAddress))
    return [str(address) for address in lan_names().addresses if address not in held]


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
