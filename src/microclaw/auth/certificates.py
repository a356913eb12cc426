"""X.509 as microclaw uses it: the host's authority, its server certificate, a device's certificate. Does no IO.

All keys are P-256, which is what the hardware of an ESP32 and mbedTLS are quick at. What lives for years begins with
the release, whatever this machine's clock says: it may be set later. A server's certificate begins a day before it was
made, as clocks differ, and is made again when the clock was set.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from microclaw import __released__
from microclaw.errors import ProtocolError

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# In every server certificate: a device that knows the host by a changing address verifies this name instead.
CONSTANT_NAME: Final = "host.microclaw.internal"
HOSTS_NAME: Final = "hosts.microclaw.internal"  # in the certificates by which hosts know each other, and no others
MAX_ADDRESSES: Final = 64
_LABELS: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")


class HostNames(Struct, frozen=True):
    """DNS names, the best one first, and addresses."""

    names: tuple[str, ...]
    addresses: tuple[IPAddress, ...]

    def covers(self, other: HostNames) -> bool:
        """True if all of the other's names and addresses are among these."""
        return set(other.names) <= set(self.names) and set(other.addresses) <= set(self.addresses)

    @classmethod
    def of(cls, certificate: x509.Certificate) -> HostNames:
        """Those that a certificate is for. x509.ExtensionNotFound where it has none."""
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = [one for one in found.get_values_for_type(x509.IPAddress) if isinstance(one, IPAddress)]
        return cls(tuple(name.lower() for name in found.get_values_for_type(x509.DNSName)), tuple(addresses))


def host_names(hostname: str, addresses: tuple[str, ...], *extra: str) -> HostNames:
    """The names made of a host's name, its addresses, and names or addresses that the operator adds."""
    full = hostname.lower().rstrip(".")
    short = full.split(".")[0]
    names = [f"{short}.local", short, full, "localhost", CONSTANT_NAME]
    found: list[IPAddress] = [ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")]
    for text in (*extra, *addresses):
        try:
            address = ipaddress.ip_address(text.split("%")[0])
        except ValueError:
            names.append(text.lower().rstrip("."))
            continue
        if not (address.is_unspecified or address.is_multicast or (address.version == 6 and address.is_link_local)):
            found.append(address)
    kept = tuple(dict.fromkeys(name for name in names if len(name) <= 253 and _LABELS.fullmatch(name)))
    return HostNames(kept, tuple(dict.fromkeys(found))[:MAX_ADDRESSES])


def lan_names(*extra: str) -> HostNames:
    """This machine's names and addresses now. Blocking, but only for the kernel."""
    import ifaddr  # the addresses of every interface, which the standard library cannot list

    addresses = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    texts = tuple(text if isinstance(text, str) else text[0] for text in addresses)
    return host_names(socket.gethostname(), texts, *extra)


RELEASED: Final = datetime.fromisoformat(__released__).replace(tzinfo=UTC)
AUTHORITY_LIFE: Final = timedelta(days=30 * 365)
DEVICE_LIFE: Final = timedelta(days=10 * 365)  # a board that never renews works as long; revocation ends it earlier
SERVER_LIFE: Final = timedelta(days=90)
BACKDATED: Final = timedelta(days=1)
MAX_CSR_BYTES: Final = 2048
URN: Final = "urn:microclaw:device:"
# What the library raises for input it cannot read; half of them are no ValueErrors.
_UNREADABLE: Final = (
    ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature,
    x509.InvalidVersion, x509.DuplicateExtension, x509.ExtensionNotFound, x509.UnsupportedGeneralNameType,
)  # fmt: skip
DEVICE_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class KeyPair(Struct, frozen=True):
    """A private key and the certificate of its public half."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def to_pem(self) -> bytes:
        """Key, then certificate, in one text: never one without the other."""
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.key.private_bytes(*form) + self.certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def from_pem(cls, pem: bytes) -> KeyPair:
        """The authority that `to_pem` wrote, signed by itself; ValueError says what is wrong with it."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
            certificate = x509.load_pem_x509_certificate(pem)
            certificate.verify_directly_issued_by(certificate)
            is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except _UNREADABLE as exc:
            raise ValueError(str(exc) or type(exc).__name__) from exc
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not is_authority:
            raise ValueError("it is not an authority with an elliptic curve key")
        if key.public_key() != certificate.public_key():
            raise ValueError("the key is not the certificate's")
        return cls(key, certificate)


def new_authority(now: datetime) -> KeyPair:
    """A certificate authority of a host's own, which signs nothing but servers' and devices' certificates."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"microclaw host {secrets.token_hex(4)}")
    usages = (x509.BasicConstraints(ca=True, path_length=0), _key_usage("key_cert_sign", "crl_sign"))
    return KeyPair(key, _signed(key, name, name, key.public_key(), _early(now), now + AUTHORITY_LIFE, usages))


def server_certificate(
    authority: KeyPair, names: Iterable[str], addresses: Iterable[IPAddress], now: datetime
) -> KeyPair:
    """A new key and certificate for the host's server under these names and addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    whose = [*map(x509.DNSName, names), *map(x509.IPAddress, addresses)]
    usages = (ExtendedKeyUsageOID.SERVER_AUTH,)
    dates = (now - BACKDATED, now + SERVER_LIFE)
    return KeyPair(key, _leaf(authority, "microclaw host", whose, usages, key.public_key(), *dates))


def host_certificate(authority: KeyPair, host_id: str) -> KeyPair:
    """A new key and certificate by which a host asks others of the fleet, and answers them; for one run."""
    key = ec.generate_private_key(ec.SECP256R1())
    whose = [x509.DNSName(HOSTS_NAME)]
    usages = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    now = since_release(datetime.now(UTC))
    return KeyPair(key, _leaf(authority, host_id, whose, usages, key.public_key(), _early(now), now + DEVICE_LIFE))


def device_certificate(
    authority: KeyPair, public_key: ec.EllipticCurvePublicKey, device_id: str, now: datetime
) -> x509.Certificate:
    """A client certificate that says which device its holder is, and nothing else."""
    if not DEVICE_ID.fullmatch(device_id):
        raise ValueError(f"{device_id!r} is not a device id")
    whose = [x509.UniformResourceIdentifier(URN + device_id)]
    usages = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    return _leaf(authority, device_id, whose, usages, public_key, _early(now), now + DEVICE_LIFE)


def read_csr(der: bytes) -> ec.EllipticCurvePublicKey:
    """The P-256 key that a certificate request (PKCS #10, DER) asks for and proves to have; its names are ignored.

    Raises ProtocolError for anything else.
    """
    if len(der) > MAX_CSR_BYTES:
        raise ProtocolError(f"the certificate request has {len(der)} bytes, at most {MAX_CSR_BYTES} are read")
    try:
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
        is_proven = request.is_signature_valid
    except _UNREADABLE as exc:
        raise ProtocolError(f"the certificate request cannot be read: {exc or type(exc).__name__}") from exc
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1) or not is_proven:
        raise ProtocolError("the certificate request is not one that its own P-256 key signed")
    return key


def read_device_certificate(der: bytes, authority: x509.Certificate) -> tuple[str, x509.Certificate]:
    """The device id of a client certificate that this authority signed; ProtocolError for any other. Ignores time."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.verify_directly_issued_by(authority)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except _UNREADABLE as exc:
        raise ProtocolError(f"not a certificate of this host: {exc or type(exc).__name__}") from exc
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage or len(uris) != 1 or not uris[0].startswith(URN):
        raise ProtocolError("not a device's certificate")
    return uris[0].removeprefix(URN), certificate


def since_release(now: datetime) -> datetime:
    """Return the time by a clock that may never have been set: at least the day of the release."""
    return max(now, RELEASED)


def _early(now: datetime) -> datetime:
    """Return when a certificate made now begins that must be good also after the clock is set back."""
    return min(now, RELEASED) - BACKDATED


def from_ms(time_ms: int) -> datetime:
    """Milliseconds since the Unix epoch as X.509 counts time: whole seconds, UTC."""
    return datetime.fromtimestamp(time_ms // 1000, UTC)


def to_ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _leaf(
    authority: KeyPair,
    name: str,
    whose: Iterable[x509.GeneralName],
    usages: Iterable[x509.ObjectIdentifier],
    key: ec.EllipticCurvePublicKey,
    begin: datetime,
    end: datetime,
) -> x509.Certificate:
    issuer = authority.certificate
    extensions = (
        x509.BasicConstraints(ca=False, path_length=None),
        _key_usage("digital_signature"),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
        x509.SubjectAlternativeName(whose),
        x509.ExtendedKeyUsage(usages),
    )
    return _signed(authority.key, issuer.subject, _name(name), key, begin, end, extensions)


def _signed(
    signer: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begin: datetime,
    end: datetime,
    extensions: Iterable[x509.ExtensionType],
) -> x509.Certificate:
    builder = x509.CertificateBuilder().issuer_name(issuer).subject_name(subject).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(begin).not_valid_after(end)
    for extension in (x509.SubjectKeyIdentifier.from_public_key(key), *extensions):
        is_critical = isinstance(extension, x509.BasicConstraints | x509.KeyUsage)
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(signer, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_usage(*wanted: str) -> x509.KeyUsage:
    """An authority signs certificates, everybody else signs what they say."""
    return x509.KeyUsage(**{name: name in wanted for name in _USAGES})


_USAGES: Final = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
