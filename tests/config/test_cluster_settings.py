"""The settings of a cluster: what is refused before anybody is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.config.load import load_settings, read_nats
from microclaw.errors import ConfigError


@pytest.mark.parametrize(
    ("variable", "value"),
    [("REPLICAS", "-1"), ("HOST", "-"), ("NATS", "nats://h:4222/x")],
)
def test_a_value_out_of_range_is_refused_by_its_name(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(ConfigError):
        load_settings({f"MICROCLAW_CLUSTER__{variable}": value}, home=tmp_path)


def test_good_values_are_taken(tmp_path: Path) -> None:
    for replicas in ("0", "1", "3", "5"):
        found = load_settings({"MICROCLAW_CLUSTER__REPLICAS": replicas}, home=tmp_path)
        assert found.cluster.replicas == int(replicas)
    assert load_settings({"MICROCLAW_CLUSTER__HOST": "4-b"}, home=tmp_path).cluster.host == "4-b"
    with pytest.raises(ConfigError):
        read_nats("nats://h:4222/x")
    assert read_nats("nats://h:4222/") == "nats://h:4222/"
