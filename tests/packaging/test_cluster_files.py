"""The files of a cluster in containers: their settings are ones. No engine runs here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import yaml

from microclaw.host.config.load import find_mistakes, load_settings

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "packaging/container"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((FOLDER / "cluster.yaml").read_text())


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_host_of_the_compose_file_joins_the_cluster(name: str, tmp_path: Path) -> None:
    service = COMPOSE["services"][name]
    environ = {**service["environment"], "MICROCLAW_HOME": str(tmp_path), "MICROCLAW_HOST__HTTP_TLS": "own"}
    assert not find_mistakes(environ, tmp_path)
    found = load_settings(environ)
    url = urlsplit(found.cluster.database or "")
    assert (url.hostname, url.username, found.cluster.host) == ("db", "microclaw", name)
    assert service["environment"]["PGPASSFILE"] == "/run/secrets/pgpass"
    assert service["secrets"] == ["pgpass"]
    assert found.host.link == "0.0.0.0:8443"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["cap_drop"] == ["ALL"]
    assert "privileged" not in service
    assert "ports" not in COMPOSE["services"]["db"], "the hosts alone reach it"
    assert service["volumes"] == [f"{name}:/data"]


def test_the_authority_is_copied_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    (text,) = COMPOSE["services"]["authority"]["command"]
    for home in "abc":
        (tmp_path / home).mkdir()
    (tmp_path / "a/home/identity").mkdir(parents=True)
    (tmp_path / "a/home/identity/authority.pem").write_text("first")
    script = text.replace("$$", "$").replace("/a/", f"{tmp_path}/a/").replace("/b /c", f"{tmp_path}/b {tmp_path}/c")
    script = script.replace("1000:1000", f"{os.getuid()}:{os.getgid()}")
    for _ in range(2):
        subprocess.run(["sh", "-euc", script], check=True, timeout=60)
        (tmp_path / "a/home/identity/authority.pem").write_text("another")
    for home in "bc":
        copied = tmp_path / home / "home/identity/authority.pem"
        assert copied.read_text() == "first"
        assert copied.stat().st_mode & 0o777 == 0o600
        assert copied.parent.stat().st_mode & 0o777 == 0o700
