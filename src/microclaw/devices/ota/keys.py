"""Keys that sign updates: RSA of 3,072 bits with PSS (docs/protocols/ota.md). It sends nothing and asks no question."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)
from msgspec import Struct

from microclaw.devices.ota.manifest import TrustedKey
from microclaw.durable import read_given, read_private, write_given
from microclaw.errors import ConfigError
from microclaw.hardware.firmware_modules import ota_check

SIGNATURE_BYTES: Final[int] = ota_check.MODULUS_BYTES
KEY_BITS: Final = SIGNATURE_BYTES * 8
EXPONENT: Final = 65_537
SALT_BYTES: Final = 32
MAX_PEM_BYTES: Final = 16_384
_PSS: Final = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=SALT_BYTES)
_MAKE: Final = "make one: microclaw firmware keygen"


class BadSignature(ConfigError):
    """The signature is of other bytes, or of another key."""


class SigningPublicKey(Struct, frozen=True):
    """A public key; `der` is its SubjectPublicKeyInfo. Made by `public_key`, which checks it."""

    der: bytes
    key_id: str

    def verify(self, data: bytes, signature: bytes) -> None:
        """Raise BadSignature unless the signature is of these bytes and by this key."""
        try:
            self._key.verify(signature, data, _PSS, SHA256())
        except InvalidSignature:
            raise BadSignature(
                f"the signature is not of these bytes by the key {self.key_id}",
                next_step="sign the manifest byte by byte as it was written, with that key (RSA-PSS, SHA-256, salt 32)",
            ) from None

    @property
    def pem(self) -> bytes:
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def trusted(self) -> TrustedKey:
        """The key in the form of a manifest of kind `keys`."""
        modulus = self._key.public_numbers().n.to_bytes(SIGNATURE_BYTES, "big")
        return TrustedKey(self.key_id, base64.b64encode(modulus).decode())

    @property
    def _key(self) -> rsa.RSAPublicKey:
        key = load_der_public_key(self.der)
        assert isinstance(key, rsa.RSAPublicKey)
        return key


class SigningKey:
    """A private key in memory."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key
        self.public = public_key(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key, which takes up to a second."""
        return cls(rsa.generate_private_key(EXPONENT, KEY_BITS))

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data, _PSS, SHA256())

    def write(self, path: Path, password: str | None) -> None:
        """Write a new file with mode 0600; ConfigError if it exists, or cannot be written completely."""
        lock = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
        if path.exists():
            text = f"{path} exists already, and a key is never overwritten"
            step = f"use it: microclaw firmware publish --key {shlex.quote(str(path))}; or name a new file: --out FILE"
            raise ConfigError(text, next_step=step)
        write_given(path, [pem], next_step="name a file in a folder of your own: --out FILE")


def public_key(data: bytes) -> SigningPublicKey:
    """Read a public key in PEM or DER form; raise ConfigError if it is not of the kind that signs updates."""
    try:
        if data.lstrip().startswith(b"-----"):
            key = load_pem_public_key(data)
        else:
            key = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ConfigError("that is not a public key in PEM form", next_step=_MAKE) from exc
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != KEY_BITS or key.public_numbers().e != EXPONENT:
        text = f"updates need an RSA key of {KEY_BITS} bits with the exponent {EXPONENT}, not this key"
        raise ConfigError(text, next_step=_MAKE)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SigningPublicKey(der, hashlib.sha256(der).hexdigest()[:16])


def read_public_key(path: Path) -> SigningPublicKey:
    """Read a public key from a file. Raises ConfigError with the fault of an invalid file."""
    data = read_given(path, MAX_PEM_BYTES)
    if b"PRIVATE KEY" in data:
        text = f"{path} holds a private key, which belongs on no host"
        raise ConfigError(text, next_step="give its public key: the file that keygen wrote beside it, .pub.pem")
    return public_key(data)


def read_signing_key(path: Path, password: Callable[[], str] = str) -> SigningKey:
    """Read a private key from a file; `password` is called only if the key is locked.

    Raises ConfigError; StoreError if other users can read the file.
    """
    pem = read_private(path)
    if pem is None:
        raise ConfigError(f"there is no key {path}", next_step=_MAKE)
    secret = None
    if b"ENCRYPTED" in pem:
        # cryptography takes None for "no password", not an empty one.
        secret = password().encode() or None
    try:
        key = load_pem_private_key(pem, secret)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        step = "give its password (--password @FILE, or - to be asked), and the file that keygen wrote"
        raise ConfigError(f"{path} is not a private key, or its password is wrong or missing", next_step=step) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ConfigError(f"{path} is not an RSA key", next_step=_MAKE)
    return SigningKey(key)
