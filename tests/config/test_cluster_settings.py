"""The settings of a cluster: what is refused before anybody is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.config.load import load_settings, read_database
from microclaw.errors import ConfigError

URL = "postgresql://microclaw@db/microclaw"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOST", "-"),
        ("DATABASE", "mysql://h/x"),
        ("DATABASE", "postgresql://h"),
        ("DATABASE", "postgresql://microclaw:secret@db/microclaw"),
        ("ADDRESS", "nowhere"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({f"MICROCLAW_CLUSTER__{variable}": value}, home=tmp_path)
    assert "secret" not in str(refused.value)


def test_good_values_are_taken(tmp_path: Path) -> None:
    environ = {"MICROCLAW_CLUSTER__HOST": "4-b", "MICROCLAW_CLUSTER__DATABASE": URL}
    found = load_settings(environ, home=tmp_path).cluster
    assert (found.host, found.host_name, found.database) == ("4-b", "4-b", URL)
    with pytest.raises(ConfigError):
        read_database("postgresql://db")
    assert read_database(URL) == URL
