"""Keys: the vector's signatures, changed bytes, other keys, and what a key file must be."""

from __future__ import annotations

import stat
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from microclaw.devices.ota.keys import BadSignature, SigningKey, public_key, read_public_key, read_signing_key
from microclaw.errors import ConfigError, StoreError


@pytest.mark.parametrize("name", ["release", "keys"])
def test_the_vectors_verify_and_a_changed_byte_does_not(
    signed: Any, key: SigningKey, other_key: SigningKey, name: str
) -> None:
    data = signed[name]["manifest"].encode()
    signature = bytes.fromhex(signed[name]["signature"])
    key.public.verify(data, signature)
    assert (key.public.key_id, key.public.trusted.n) == (signed["key_id"], signed["n"])
    wrong = [b"", signature[:-1], signature + b"\0", other_key.sign(data)]
    wrong += [signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :] for at in range(0, len(signature), 17)]
    for salt in (20, 0, padding.PSS.MAX_LENGTH):
        wrong.append(key._key.sign(data, padding.PSS(padding.MGF1(SHA256()), salt), SHA256()))
    for one in wrong:
        with pytest.raises(BadSignature):
            key.public.verify(data, one)
    for at in range(0, len(data), 37):
        with pytest.raises(BadSignature):
            key.public.verify(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], signature)


def test_a_key_file_is_private_and_never_overwritten(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "fleet.pem"
    key.write(path, "open sesame")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_signing_key(path, lambda: "open sesame").public == key.public
    for wrong in ("", "other"):
        with pytest.raises(ConfigError):
            read_signing_key(path, partial(str, wrong))
    with pytest.raises(ConfigError):
        key.write(path, None)
    path.chmod(0o644)
    with pytest.raises(StoreError):
        read_signing_key(path)


def test_other_kinds_of_keys_and_what_is_none_are_refused(tmp_path: Path, key: SigningKey) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    short = rsa.generate_private_key(65_537, 2048)
    spki = [one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in (curve, short)]
    for data in (*spki, b"", b"\0" * 300, key.public.der[:-1], key.public.pem[:-40]):
        with pytest.raises(ConfigError):
            public_key(data)
    path = tmp_path / "curve.pem"
    path.write_bytes(curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        read_signing_key(path)
    with pytest.raises(ConfigError):
        read_public_key(path)
    assert public_key(key.public.pem) == key.public
