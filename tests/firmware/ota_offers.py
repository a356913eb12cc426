"""Keys, manifests and signatures of updates for tests, made with `cryptography`; the firmware's modules on CPython."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

NOW = "2026-11-23T00:00:00Z"
NAME = "microclaw-micropython"
ANY_TIME = {"created": "2025-01-01T00:00:00Z", "expires": "2099-01-01T00:00:00Z"}


class Signer:
    """An RSA key of 3,072 bits."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 3072)
        public = self.key.public_key()
        spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = hashlib.sha256(spki).hexdigest()[:16]
        self.modulus = public.public_numbers().n.to_bytes(384, "big")
        self.n = base64.b64encode(self.modulus).decode()

    def sign(self, data: bytes, *, salt_bytes: int = 32) -> bytes:
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt_bytes)
        return self.key.sign(data, scheme, hashes.SHA256())


def signer(number: int = 0) -> Signer:
    """The same key for the same number as long as the tests run."""
    return _made(number)


@cache
def _made(_number: int) -> Signer:
    return Signer()


def manifest(**changes: Any) -> dict[str, Any]:
    """One that the device of `facts` takes; None as a value leaves the key out."""
    update = {"kind": "files", "board": "esp32s3", "channel": "stable", "version": "1.4.0", "security_version": 3}
    return _signed_by_the_first({**update, "sha256": "9f" * 32, "size": 163_840, **changes})


def keys_manifest(**changes: Any) -> dict[str, Any]:
    add = [{"key_id": signer(1).key_id, "n": signer(1).n}]
    remove = [signer().key_id]
    return _signed_by_the_first({"kind": "keys", "serial": 2, "add": add, "remove": remove, **changes})


def _signed_by_the_first(values: dict[str, Any]) -> dict[str, Any]:
    every = {
        "schema": 1,
        "name": "microclaw-firmware",
        "created": "2026-11-22T10:00:00Z",
        "expires": "2027-02-20T10:00:00Z",
        "key_id": signer().key_id,
        "alg": "rsa3072-pss-sha256",
    }
    return {key: value for key, value in (every | values).items() if value is not None}


def offered(payload: bytes, number: int = 0, **changes: Any) -> dict[str, bytes]:
    """This payload for an ESP32 with our MicroPython: the body of an offer, signed by the key of that number."""
    about = {"name": NAME, "board": "esp32", "sha256": hashlib.sha256(payload).hexdigest(), "size": len(payload)}
    data = packed(manifest(**about | ANY_TIME | {"key_id": signer(number).key_id} | changes))
    return {"manifest": data, "signature": signer(number).sign(data)}


def packed(values: object) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode()
