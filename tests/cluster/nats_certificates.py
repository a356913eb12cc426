"""An authority of the tests, and certificates by it, as files for NATS servers and their hosts."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY: Final = datetime.timedelta(days=1)


class Authority:
    """`pem` is its certificate."""

    def __init__(self, folder: Path, name: str = "tests") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._name = folder, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.pem = folder / "ca.pem"
        built = self._builder(self._name, self._key.public_key(), past=False)
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        signed = built.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.pem.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def certificate(self, name: str, *names: str, past: bool = False) -> tuple[Path, Path]:
        """A certificate for servers and clients, for these names and addresses, and its key. `past`: expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        built = self._builder(subject, key.public_key(), past=past).add_extension(both, critical=False)
        if names:
            built = built.add_extension(x509.SubjectAlternativeName([_name(one) for one in names]), critical=False)
        signed = built.sign(self._key, hashes.SHA256())
        pem, key_pem = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        pem.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        form, no_password = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        key_pem.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, no_password))
        key_pem.chmod(0o600)
        return pem, key_pem

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, past: bool) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        begin, end = (now - 9 * DAY, now - 2 * DAY) if past else (now - DAY, now + 9 * DAY)
        builder = x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number(), begin, end)
        own = x509.SubjectKeyIdentifier.from_public_key(key)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return builder.add_extension(own, critical=False).add_extension(issuer, critical=False)


def tls_block(pair: tuple[Path, Path], *, clients_of: Authority | None = None, more: str = "") -> str:
    """Text for a server's configuration; `clients_of`: clients need a certificate by that authority."""
    verify = "" if clients_of is None else f'ca_file: "{clients_of.pem}", verify: true,'
    return f'tls {{ cert_file: "{pair[0]}", key_file: "{pair[1]}", {verify} timeout: 30 }}\n{more}'


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
