"""Manifests: the contract's samples, vectors both ways, refusals. Forms of values: tests/firmware/test_ota_check.py."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.devices.ota.manifest import KeyChange, ManifestError, Release, read_manifest, write_manifest

PAGE = (Path(__file__).parents[3] / "docs/protocols/ota.md").read_text(encoding="utf-8")
SAMPLES = {name: text.encode() for name, text in re.findall(r"```(manifest|keys)\n(.*?)```", PAGE, re.DOTALL)}
GOOD: dict[str, Any] = json.loads(SAMPLES["manifest"])


def refused(value: object) -> str:
    if isinstance(value, bytes):
        data = value
    else:
        data = json.dumps(value).encode()
    with pytest.raises(ManifestError) as caught:
        read_manifest(data)
    assert caught.value.next_step
    return caught.value.reason


def test_the_pages_manifest_is_read_and_unknown_keys_are_ignored() -> None:
    read = read_manifest(SAMPLES["manifest"])
    assert isinstance(read, Release)
    assert (read.kind, read.board, read.version, read.size, read.device) == (
        "files", "esp32s3", "1.4.0", 163_840, None,
    )  # fmt: skip
    assert read_manifest(json.dumps({**GOOD, "later": {"a": [1.5]}}).encode()) == read


def test_the_pages_change_of_keys_is_one_but_for_its_cut_modulus(signed: Any) -> None:
    value = json.loads(SAMPLES["keys"])
    assert refused(value) == "malformed"
    value["add"] = json.loads(signed["keys"]["manifest"])["add"]
    read = read_manifest(json.dumps(value).encode())
    assert isinstance(read, KeyChange)
    assert (read.version, read.remove) == ("keys-2", ("3f1c2a9b8d7e6f50",))
    value["add"][0]["key_id"] = "0" * 16
    assert refused(value) == "malformed"


@pytest.mark.parametrize("name", ["release", "keys"])
def test_vectors_are_read_and_written_byte_by_byte(signed: Any, name: str) -> None:
    data = signed[name]["manifest"].encode()
    assert write_manifest(read_manifest(data)) == data


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({**GOOD, "version": "1.4.65536"}, "malformed"), ({**GOOD, "board": "esp8266"}, "malformed"),
        ({**GOOD, "board": "esp32s3-large"}, "malformed"), ({**GOOD, "alg": "ed25519"}, "unsupported_schema"),
        ({**GOOD, "kind": "image", "board": "esp32-small"}, "malformed"), ({**GOOD, "name": "\ud800"}, "malformed"),
        (SAMPLES["manifest"].replace(b'"size":', b'"size":1,"size":'), "malformed"),
    ],
)  # fmt: skip
def test_a_manifest_that_boards_refuse_is_refused(value: object, reason: str) -> None:
    assert refused(value) == reason


@given(at=st.integers(0, 2_000), bit=st.integers(0, 7), name=st.sampled_from(["manifest", "keys"]))
def test_a_flipped_bit_is_read_or_refused_and_a_cut_one_is_malformed(at: int, bit: int, name: str) -> None:
    data = bytearray(SAMPLES[name])
    data[at % len(data)] ^= 1 << bit
    with suppress(ManifestError):
        read_manifest(bytes(data))
    assert refused(SAMPLES[name].rstrip()[: at % len(SAMPLES[name].rstrip())]) == "malformed"
