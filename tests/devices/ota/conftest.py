"""Two fixed keys (tests/vectors/ota, of no fleet), manifests of theirs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from microclaw.devices.ota.keys import SigningKey, read_signing_key
from microclaw.devices.ota.manifest import ALG, KeyChange, Release, moment

VECTORS: Final = Path(__file__).parents[2] / "vectors/ota"


def vector_key(name: str, folder: Path) -> SigningKey:
    """A copy that is its owner's alone: a checkout's files are not."""
    path = folder / f"{name}.pem"
    path.write_bytes((VECTORS / f"{name}.pem").read_bytes())
    path.chmod(0o600)
    return read_signing_key(path)


def change_of(key: SigningKey, added: SigningKey) -> KeyChange:
    """A change of keys that is valid for long."""
    return KeyChange(
        schema=1, kind="keys", name="microclaw-micropython", serial=2, add=(added.public.trusted,), remove=(),
        created="2026-11-22T10:00:00Z", expires="2999-02-20T10:00:00Z", key_id=key.public.key_id, alg=ALG,
    )  # fmt: skip


@pytest.fixture
def signed() -> Any:
    return json.loads((VECTORS / "signed.json").read_text(encoding="utf-8"))


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return vector_key("first", tmp_path)


@pytest.fixture
def other_key(tmp_path: Path) -> SigningKey:
    return vector_key("second", tmp_path)


@pytest.fixture
def release_of(key: SigningKey) -> Callable[..., Release]:
    """A manifest of a payload; `fields` are others than these."""

    def make(payload: bytes = b"payload", **fields: Any) -> Release:
        now_s = time.time()
        usual: dict[str, Any] = {
            "schema": 1,
            "kind": "files",
            "name": "microclaw-micropython",
            "board": "esp32s3",
            "channel": "stable",
            "version": "1.4.0",
            "security_version": 3,
            "sha256": hashlib.sha256(payload).hexdigest(),
            "size": len(payload),
            "created": moment(now_s),
            "expires": moment(now_s + 86_400),
            "key_id": key.public.key_id,
            "alg": ALG,
        }
        return Release(**{**usual, **fields})

    return make
