"""X.509 as microclaw uses it: the host's authority, its server certificate, a device's certificate. Does no IO.

All keys are P-256, because the hardware of an ESP32 and mbedTLS are quick at it. A certificate that lives for years
begins with the release, whatever this machine's clock says: the clock may be set later. A server's certificate begins
a day before it was made, because clocks differ, and is made again when the clock was set.
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
# Only in the certificates by which hosts know each other.
HOSTS_NAME: Final = "hosts.microclaw.internal"
MAX_ADDRESSES: Final = 64
_LABELS: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")


class HostNames(Struct, frozen=True):
    """DNS names, the best name first, and addresses."""

    names: tuple[str, ...]
    addresses: tuple[IPAddress, ...]

    def covers(self, other: HostNames) -> bool:
        """Return True if all of the other's names and addresses are among these."""
        return set(other.names) <= set(self.names) and set(other.addresses) <= set(self.addresses)

    @classmethod
    def of(cls, certificate: x509.Certificate) -> HostNames:
        """Return the names and addresses of a certificate; raises x509.ExtensionNotFound if it has none."""
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(name.lower() for name in extension.get_values_for_type(x509.DNSName))
        values = extension.get_values_for_type(x509.IPAddress)
        addresses = tuple(value for value in values if isinstance(value, IPAddress))
        return cls(names, addresses)


def host_names(hostname: str, addresses: tuple[str, ...], *extra: str) -> HostNames:
    """Return the names of a host: from its own name, its addresses, and what the operator adds."""
    full = hostname.lower().rstrip(".")
    short = full.split(".")[0]
    names = [f"{short}.local", short, full, "localhost", CONSTANT_NAME]
    usable_addresses: list[IPAddress] = [ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")]
    for text in (*extra, *addresses):
        try:
            address = ipaddress.ip_address(text.split("%")[0])
        except ValueError:
            names.append(text.lower().rstrip("."))
        else:
            if _is_usable(address):
                usable_addresses.append(address)
    valid_names = [name for name in names if len(name) <= 253 and _LABELS.fullmatch(name)]
    # A dictionary removes duplicates, and keeps the order.
    unique_addresses = tuple(dict.fromkeys(usable_addresses))
    return HostNames(tuple(dict.fromkeys(valid_names)), unique_addresses[:MAX_ADDRESSES])


def _is_usable(address: IPAddress) -> bool:
    if address.is_unspecified or address.is_multicast:
        return False
    return address.version == 4 or not address.is_link_local


def lan_names(*extra: str) -> HostNames:
    """Return this machine's names and addresses now. Blocks, but only for the kernel."""
    # The standard library cannot list the addresses of every interface.
    import ifaddr

    addresses: list[str] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            addresses.append(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
    return host_names(socket.gethostname(), tuple(addresses), *extra)


RELEASED: Final = datetime.fromisoformat(__released__).replace(tzinfo=UTC)
AUTHORITY_LIFE: Final = timedelta(days=30 * 365)
# A board that never renews works this long; a revocation ends its certificate earlier.
DEVICE_LIFE: Final = timedelta(days=10 * 365)
SERVER_LIFE: Final = timedelta(days=90)
BACKDATED: Final = timedelta(days=1)
MAX_CSR_BYTES: Final = 2048
URN: Final = "urn:microclaw:device:"
# The library raises these for input that it cannot read; half of them are not ValueErrors.
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
        """Return the key, then the certificate, in one text, so that neither exists without the other."""
        key_pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key_pem + self.certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def from_pem(cls, pem: bytes) -> KeyPair:
        """Read the self-signed authority that `to_pem` wrote; raises ValueError with the reason if it is damaged."""
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
    """Make a host's own certificate authority, which signs only servers' and devices' certificates."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"microclaw host {secrets.token_hex(4)}")
    certificate = _signed(
        key,
        name,
        name,
        key.public_key(),
        begin=_early(now),
        end=now + AUTHORITY_LIFE,
        extensions=(x509.BasicConstraints(ca=True, path_length=0), _key_usage("key_cert_sign", "crl_sign")),
    )
    return KeyPair(key, certificate)


def server_certificate(
    authority: KeyPair, names: Iterable[str], addresses: Iterable[IPAddress], now: datetime
) -> KeyPair:
    """Make a key and a certificate for the host's server under these names and addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _leaf(
        authority,
        "microclaw host",
        [*map(x509.DNSName, names), *map(x509.IPAddress, addresses)],
        usages=(ExtendedKeyUsageOID.SERVER_AUTH,),
        key=key.public_key(),
        begin=now - BACKDATED,
        end=now + SERVER_LIFE,
    )
    return KeyPair(key, certificate)


def host_certificate(authority: KeyPair, host_id: str) -> KeyPair:
    """Make a key and a certificate by which a host calls and answers other hosts of the fleet, for one run."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = since_release(datetime.now(UTC))
    certificate = _leaf(
        authority,
        host_id,
        [x509.DNSName(HOSTS_NAME)],
        usages=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
        key=key.public_key(),
        begin=_early(now),
        end=now + DEVICE_LIFE,
    )
    return KeyPair(key, certificate)


def device_certificate(
    authority: KeyPair, public_key: ec.EllipticCurvePublicKey, device_id: str, now: datetime
) -> x509.Certificate:
    """Sign a client certificate that says only which device its holder is."""
    if not DEVICE_ID.fullmatch(device_id):
        raise ValueError(f"{device_id!r} is not a device id")
    return _leaf(
        authority,
        device_id,
        [x509.UniformResourceIdentifier(URN + device_id)],
        usages=(ExtendedKeyUsageOID.CLIENT_AUTH,),
        key=public_key,
        begin=_early(now),
        end=now + DEVICE_LIFE,
    )


def read_csr(der: bytes) -> ec.EllipticCurvePublicKey:
    """Return the P-256 key that a certificate request (PKCS #10, DER) names and proves to have.

    The names in the request are ignored. Raises ProtocolError for anything else.
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
        raise ProtocolError("the certificate request is not signed by its own P-256 key")
    return key


def read_device_certificate(der: bytes, authority: x509.Certificate) -> tuple[str, x509.Certificate]:
    """Return the device id of a client certificate that this authority signed, and the certificate.

    Ignores its dates. Raises ProtocolError for any other certificate.
    """
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
    """Return the time, but at least the day of the release, because the clock may never have been set."""
    return max(now, RELEASED)


def _early(now: datetime) -> datetime:
    """Return when a new certificate begins if it must be valid even after the clock is set back."""
    return min(now, RELEASED) - BACKDATED


def from_ms(time_ms: int) -> datetime:
    """Convert milliseconds since the Unix epoch to X.509 time: whole seconds, UTC."""
    return datetime.fromtimestamp(time_ms // 1000, UTC)


def to_ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _leaf(
    authority: KeyPair,
    name: str,
    holders: Iterable[x509.GeneralName],
    *,
    usages: Iterable[x509.ObjectIdentifier],
    key: ec.EllipticCurvePublicKey,
    begin: datetime,
    end: datetime,
) -> x509.Certificate:
    """Sign the certificate of a server or a device, which cannot sign others itself."""
    extensions = (
        x509.BasicConstraints(ca=False, path_length=None),
        _key_usage("digital_signature"),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
        x509.SubjectAlternativeName(holders),
        x509.ExtendedKeyUsage(usages),
    )
    issuer = authority.certificate.subject
    return _signed(authority.key, issuer, _name(name), key, begin=begin, end=end, extensions=extensions)


def _signed(
    signer: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    *,
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


def _key_usage(*usages: str) -> x509.KeyUsage:
    """Return the usages of a key: an authority signs certificates, all others sign only their own messages."""
    return x509.KeyUsage(**{usage: usage in usages for usage in _USAGES})


_USAGES: Final = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
