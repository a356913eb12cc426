"""The board's identity on the link: its key and certificate or its token, and the only authority that it trusts.

The authority's certificate is fetched once over a connection that proves nothing, and accepted only if its SHA-256 is
the board's provisioned one. Every other connection is verified against it.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from msgspec import structs

from microclaw.authority_pem import pem_fingerprint, unproved_tls
from microclaw.durable import replace_file
from microclaw.errors import ConfigError, DeviceUnreachable, ProtocolError
from microclaw.virtual.link_client.flash import Flash
from microclaw.wire.link.messages import RENEW_BEFORE_MS, PairDone, PairRequest

CA_FILE: Final = "ca.pem"
KEY_FILE: Final = "key.pem"
# The key and the certificate are in one file, so that there is never only one of them.
CREDENTIAL_FILE: Final = "device.pem"
MAX_CA_BYTES: Final = 16_384
FETCH_TIMEOUT_S: Final = 10.0
_URN: Final = "urn:microclaw:device:"
_TOKEN: Final = re.compile(r"mc1_(.{1,64})_[A-Za-z0-9_-]{43}")

Credential: TypeAlias = Literal["certificate", "token"]


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """The host's address, and the fingerprint that proves it."""

    url: str
    ca_sha256: str | None
    secret: str | None = field(default=None, repr=False)
    wanted: Credential = "certificate"

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "wss" or not parts.hostname or parts.username is not None:
            raise ConfigError(f"{self.url!r} is not a link address", next_step="write it as wss://HOST:8443/link")
        if self.ca_sha256 is None:
            text = "a wss:// link needs the fingerprint of the host's authority"
            raise ConfigError(text, next_step="add --link-ca-sha256 as `microclaw device provision` prints it")
        if not re.fullmatch("[0-9a-f]{64}", self.ca_sha256):
            raise ConfigError("--link-ca-sha256 must be 64 hexadecimal digits", next_step="copy it again")

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 443


def read_device_id(credential: Path) -> str | None:
    """Return the host's id of the device that a certificate names, or None.

    Raises OSError, and ValueError if the file is not a certificate.
    """
    certificate = x509.load_pem_x509_certificate(credential.read_bytes())
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return next((uri.removeprefix(_URN) for uri in uris if uri.startswith(_URN)), None)


class LinkIdentity:
    """The credential in one boot's flash. Only the link's thread uses it."""

    def __init__(self, flash: Flash, address: LinkAddress) -> None:
        self._flash = flash
        self._address = address
        self._folder = flash.folder
        self._credential = flash.folder / CREDENTIAL_FILE

    @property
    def is_paired(self) -> bool:
        return self.token is not None or self._credential.exists()

    @property
    def token(self) -> str | None:
        token: str | None = self._flash.get("token")
        return token

    @property
    def device_id(self) -> str | None:
        """The host's id of this board, if the credential names it."""
        if self.token is not None:
            match = _TOKEN.fullmatch(self.token)
            return match[1] if match else None
        if self._credential.exists():
            return read_device_id(self._credential)
        return None

    def tls(self) -> ssl.SSLContext:
        """Make the TLS context of the next connection. Fetches the authority if it is not in flash."""
        path = self._folder / CA_FILE
        if not path.exists() or pem_fingerprint(path.read_bytes()) != self._address.ca_sha256:
            replace_file(path, fetch_authority(self._address), only_writer=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(path)
            if self._credential.exists():
                context.load_cert_chain(self._credential)
        except ssl.SSLError as exc:
            text = f"the credential in {self._folder} is damaged: {exc.reason}"
            raise ConfigError(text, next_step="do a factory reset") from exc
        return context

    def pair_request(self, board_id: str) -> PairRequest:
        secret = self._address.secret
        if self._address.wanted == "token":
            return PairRequest(board_id, token_wanted=True, secret=secret)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "microclaw device")])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self._key(), hashes.SHA256())
        return PairRequest(board_id, csr=request.public_bytes(Encoding.DER), secret=secret)

    @property
    def is_late(self) -> bool:
        """True if its certificate ends within RENEW_BEFORE_MS, by this computer's clock, and must be renewed."""
        if self.token is not None or not self._credential.exists():
            return False
        certificate = x509.load_pem_x509_certificate(self._credential.read_bytes())
        return datetime.now(UTC) >= certificate.not_valid_after_utc - timedelta(milliseconds=RENEW_BEFORE_MS)

    def renewal_request(self, board_id: str) -> PairRequest:
        """Build the request that replaces `hello`, on a connection with the old certificate."""
        return structs.replace(self.pair_request(board_id), secret=None)

    def accept(self, done: PairDone) -> None:
        """Store the credential of a pairing. Raises ProtocolError if the board requested another kind."""
        if done.token is not None and self._address.wanted == "token":
            self.keep_token(done.token)
            return
        if done.certificate is None or self._address.wanted == "token":
            raise ProtocolError(f"pairing gave another credential than the {self._address.wanted} asked for")
        try:
            certificate = x509.load_der_x509_certificate(done.certificate)
            is_own_key = certificate.public_key() == self._key().public_key()
        except ValueError as exc:
            raise ProtocolError(f"pairing gave a certificate that cannot be read: {exc}") from exc
        if not is_own_key:
            raise ProtocolError("pairing gave a certificate for another key")
        key = (self._folder / KEY_FILE).read_bytes()
        replace_file(self._credential, key + certificate.public_bytes(Encoding.PEM), only_writer=True)

    def keep_token(self, token: str) -> None:
        """Store a token in flash. The host takes its first use as proof that the board has it.

        Raises ProtocolError if no HTTP header can have it.
        """
        is_word = token.isascii() and token.isprintable() and " " not in token
        if not is_word or len(token) > 200:
            raise ProtocolError("the host sent a token that no header can carry")
        self._flash.commit({"token": token})

    def _key(self) -> ec.EllipticCurvePrivateKey:
        path = self._folder / KEY_FILE
        if not path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            replace_file(path, pem, only_writer=True)
            return key
        stored_key = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(stored_key, ec.EllipticCurvePrivateKey):
            raise ConfigError(f"{path} is not this board's key", next_step="do a factory reset and pair it again")
        return stored_key


def fetch_authority(address: LinkAddress) -> bytes:
    """Fetch the host's authority certificate (PEM) from /ca.pem.

    Raises ConfigError if it is not the provisioned one, DeviceUnreachable if the host does not answer with one.
    """
    import http.client

    tls = unproved_tls()
    connection = http.client.HTTPSConnection(address.host, address.port, timeout=FETCH_TIMEOUT_S, context=tls)
    try:
        connection.request("GET", "/ca.pem")
        response = connection.getresponse()
        body = response.read(MAX_CA_BYTES + 1)
    except (OSError, http.client.HTTPException) as exc:
        raise DeviceUnreachable(f"cannot fetch /ca.pem from {address.host}:{address.port}: {exc}") from exc
    finally:
        connection.close()
    if response.status != 200 or len(body) > MAX_CA_BYTES:
        raise DeviceUnreachable(f"{address.host}:{address.port} has no /ca.pem: status {response.status}")
    fingerprint = pem_fingerprint(body)
    if fingerprint != address.ca_sha256:
        shown = fingerprint or "of no certificate"
        text = f"the host's authority has the fingerprint {shown}, expected {address.ca_sha256}"
        step = "provision the board again; if the host was not changed, another computer answers in its place"
        raise ConfigError(text, next_step=step)
    return body
