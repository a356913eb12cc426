"""Keys: the vector's signatures, changed bytes, other keys, and what a key file must be."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from microclaw.errors import ConfigError, StoreError
from microclaw.ota.keys import (
    BadSignature,
    SigningKey,
    is_locked,
    public_key,
    read_public_key,
    read_signing_key,
)


@pytest.mark.parametrize("name", ["release", "keys"])
def test_the_vectors_verify_and_a_changed_byte_does_not(signed: Any, key: SigningKey, name: str) -> None:
    data, signature = signed[name]["manifest"].encode(), bytes.fromhex(signed[name]["signature"])
    key.public.verify(data, signature)
    for at in range(0, len(data), 37):
        with pytest.raises(BadSignature):
            key.public.verify(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], signature)
    for at in range(0, len(signature), 17):
        with pytest.raises(BadSignature):
            key.public.verify(data, signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :])
    for wrong in (b"", signature[:-1], signature + b"\0"):
        with pytest.raises(BadSignature):
            key.public.verify(data, wrong)


def test_the_key_id_and_modulus_are_the_vector_s(signed: Any, key: SigningKey) -> None:
    assert key.public.key_id == signed["key_id"]
    assert key.public.trusted.n == signed["n"]


def test_a_signature_is_one_of_the_contract_and_of_its_key_alone(key: SigningKey, other_key: SigningKey) -> None:
    signature = key.sign(b"manifest")
    assert len(signature) == 384
    key.public.verify(b"manifest", signature)
    with pytest.raises(BadSignature):
        other_key.public.verify(b"manifest", signature)


@pytest.mark.parametrize("salt", [20, 0, padding.PSS.MAX_LENGTH])
def test_another_salt_is_refused(tmp_path: Path, key: SigningKey, salt: Any) -> None:
    signature = key._key.sign(b"m", padding.PSS(padding.MGF1(SHA256()), salt), SHA256())
    with pytest.raises(BadSignature):
        key.public.verify(b"m", signature)


def test_a_key_file_is_private_and_never_overwritten(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "fleet.pem"
    key.write(path, "open sesame")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert is_locked(path)
    assert read_signing_key(path, "open sesame").public == key.public
    for wrong in (None, "", "other"):
        with pytest.raises(ConfigError):
            read_signing_key(path, wrong)
    with pytest.raises(ConfigError):
        key.write(path, None)
    path.chmod(0o644)
    with pytest.raises(StoreError):
        read_signing_key(path, "open sesame")


def test_a_key_of_another_size_is_refused() -> None:
    other = rsa.generate_private_key(65_537, 2048).public_key()
    with pytest.raises(ConfigError):
        public_key(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def test_other_kinds_of_keys_and_what_is_none_are_refused(tmp_path: Path, key: SigningKey) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ConfigError):
        public_key(curve.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    path = tmp_path / "curve.pem"
    path.write_bytes(curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        read_signing_key(path)
    with pytest.raises(ConfigError):
        read_public_key(path)
    for data in (b"", b"\0" * 300, key.public.der[:-1], key.public.pem[:-40]):
        with pytest.raises(ConfigError):
            public_key(data)
    assert public_key(key.public.pem) == key.public
