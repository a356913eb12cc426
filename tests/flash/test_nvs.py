"""NVS partitions: byte for byte what Espressif's own generator makes, and nothing that does not fit."""

from __future__ import annotations

import hashlib

import pytest

from microclaw.errors import ConfigError
from microclaw.flash.nvs import nvs_partition

SIZE = 0x4000
# SHA-256 of what esp-idf-nvs-partition-gen 0.3.0 (Espressif, PyPI) made of the same values for a partition of 0x4000.
ESPRESSIFS = "03460ce30edf4a9d571df5d00fa713bd87400fd9dd8fc54bf6cec1701dce35a3"
VALUES = {
    "wifi": {
        "ssid": "kitchen",
        "password": "correct horse battery staple and more of it than a line",
        "ota_url": "http://192.168.1.5:8002/xiaozhi/ota/",
    }
}


def test_it_is_what_espressifs_generator_makes() -> None:
    assert hashlib.sha256(nvs_partition(VALUES, SIZE)).hexdigest() == ESPRESSIFS
    assert hashlib.sha256(nvs_partition({"wifi": {"ssid": "kitchen"}}, SIZE)).hexdigest() != ESPRESSIFS


def test_without_values_it_is_erased_flash() -> None:
    assert nvs_partition({}, SIZE) == b"\xff" * SIZE


@pytest.mark.parametrize("texts", [{"url": "x" * 4100}, {f"key{n}": "x" * 60 for n in range(50)}])
def test_more_than_a_page_is_refused(texts: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="more than") as failed:
        nvs_partition({"wifi": texts}, SIZE)
    assert failed.value.next_step
    assert "xxxx" not in str(failed.value)


@pytest.mark.parametrize(
    ("values", "size"), [({"a-name-of-16-byte": {}}, SIZE), ({"": {}}, SIZE), ({}, 0x2000), ({}, 0x4100)]
)
def test_names_and_sizes_that_nvs_has_not_are_a_fault_of_ours(values: dict[str, dict[str, str]], size: int) -> None:
    with pytest.raises(ValueError, match="NVS"):
        nvs_partition(values, size)
