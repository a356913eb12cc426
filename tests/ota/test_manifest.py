"""Manifests: the contract's samples, vectors both ways, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.ota.manifest import (
    KeyChange,
    ManifestError,
    Release,
    read_manifest,
    version_numbers,
    write_manifest,
)

PAGE = (Path(__file__).parents[2] / "docs/protocols/ota.md").read_text(encoding="utf-8")
SAMPLES = {name: text.encode() for name, text in re.findall(r"```(manifest|keys)\n(.*?)```", PAGE, re.DOTALL)}
GOOD: dict[str, Any] = json.loads(SAMPLES["manifest"])


def refused(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pytest.raises(ManifestError) as caught:
        read_manifest(data)
    assert caught.value.next_step
    return caught.value.reason


def test_the_page_s_manifest_is_read() -> None:
    read = read_manifest(SAMPLES["manifest"])
    assert isinstance(read, Release)
    assert (read.kind, read.board, read.version, read.size) == ("files", "esp32s3", "1.4.0", 163_840)
    assert read.device is None
    assert not read.allow_downgrade


def test_the_page_s_change_of_keys_is_one_but_for_its_cut_modulus() -> None:
    value = json.loads(SAMPLES["keys"])
    assert refused(value) == "malformed"
    value["add"][0]["n"] = "v" * 511 + "f"
    read = read_manifest(json.dumps(value).encode())
    assert isinstance(read, KeyChange)
    assert (read.version, read.remove) == ("keys-2", ("3f1c2a9b8d7e6f50",))


@pytest.mark.parametrize("name", ["release", "keys"])
def test_vectors_are_read_and_written_byte_by_byte(signed: Any, name: str) -> None:
    data = signed[name]["manifest"].encode()
    assert write_manifest(read_manifest(data)) == data


def test_unknown_keys_are_ignored() -> None:
    assert read_manifest(json.dumps({**GOOD, "later": {"a": [1.5]}}).encode()) == read_manifest(SAMPLES["manifest"])
    assert refused({**GOOD, "later": {"a": {"b": [[]]}}}) == "malformed"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "with space"), ("name", ""), ("name", "n" * 65), ("name", "lamp\n"), ("board", "esp8266"),
        ("board", "esp32s3-large"), ("channel", "Stable"), ("channel", "c" * 33), ("version", "1.4"),
        ("version", "01.4.0"), ("version", "1.4.65536"), ("version", "1.4.0\n"), ("security_version", -1),
        ("security_version", 65_536), ("security_version", 3.0), ("security_version", True), ("sha256", "9F" * 32),
        ("sha256", "9f" * 31), ("size", 0), ("size", (16 << 20) + 1), ("size", "163840"), ("created", "2026-11-22"),
        ("created", "2026-02-30T10:00:00Z"), ("expires", "2026-11-22T25:00:00Z"), ("key_id", "3F1C2A9B8D7E6F50"),
        ("device", ""), ("allow_downgrade", "false"), ("schema", "1"), ("schema", True), ("kind", 1),
    ],
)  # fmt: skip
def test_a_value_of_a_wrong_form_is_malformed(key: str, value: object) -> None:
    assert refused({**GOOD, key: value}) == "malformed"


@pytest.mark.parametrize("key", [key for key in GOOD if key != "allow_downgrade"])
def test_a_missing_key_is_malformed(key: str) -> None:
    assert refused({k: v for k, v in GOOD.items() if k != key}) == "malformed"


@pytest.mark.parametrize(("key", "value"), [("schema", 2), ("kind", "bootloader"), ("alg", "ed25519")])
def test_what_is_not_known_is_unsupported(key: str, value: object) -> None:
    assert refused({**GOOD, key: value}) == "unsupported_schema"


def test_an_image_is_for_a_chip_alone() -> None:
    assert refused({**GOOD, "kind": "image", "board": "esp32-small"}) == "malformed"
    assert read_manifest(json.dumps({**GOOD, "board": "esp32-small"}).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"\xff", b"{", SAMPLES["manifest"] + b"x", b"[" * 4_000,
        SAMPLES["manifest"].decode().encode("utf-16"),
        SAMPLES["manifest"].replace(b'"size":', b'"size":1,"size":'), SAMPLES["manifest"].replace(b"163840", b"NaN"),
        b'{"a":{"b":1,"b":1},' + SAMPLES["manifest"][1:], SAMPLES["manifest"] + b" " * 4_096,
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_malformed(data: bytes) -> None:
    assert refused(data) == "malformed"


def test_a_change_of_keys_names_each_key_once(signed: Any) -> None:
    value = json.loads(signed["keys"]["manifest"])
    assert refused({**value, "remove": [value["add"][0]["key_id"]]}) == "malformed"
    assert refused({**value, "add": [], "remove": []}) == "malformed"
    assert refused({**value, "add": value["add"] * 5}) == "malformed"
    assert refused({**value, "serial": 0}) == "malformed"


@given(at=st.integers(0, 2_000), bit=st.integers(0, 7), name=st.sampled_from(["manifest", "keys"]))
def test_a_flipped_bit_is_read_or_refused_and_nothing_else(at: int, bit: int, name: str) -> None:
    data = bytearray(SAMPLES[name])
    data[at % len(data)] ^= 1 << bit
    with suppress(ManifestError):
        read_manifest(bytes(data))


@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_with_a_reason(data: bytes) -> None:
    assert refused(data) in ("malformed", "unsupported_schema")


def test_a_cut_manifest_is_malformed() -> None:
    data = SAMPLES["manifest"].rstrip()
    assert {refused(data[:at]) for at in range(len(data))} == {"malformed"}


def test_versions_are_compared_as_numbers(release_of: Callable[..., Release]) -> None:
    assert version_numbers("1.10.0") > version_numbers("1.9.65535")  # type: ignore[operator]
    assert version_numbers("dev") is None
    assert version_numbers("1.2.99999") is None
    with pytest.raises(ManifestError):
        write_manifest(release_of(version="1.2"))
