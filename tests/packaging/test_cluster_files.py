"""The files of a cluster in containers: their settings are ones, and real programs take them. No engine runs here."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from shutil import which
from typing import Any, Final

import pytest
import yaml

from microclaw.config.load import find_mistakes, load_settings

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "packaging/container"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((FOLDER / "cluster.yaml").read_text())
SERVERS: Final = "nats://n1:4222,nats://n2:4222,nats://n3:4222"


def kubernetes() -> list[dict[str, Any]]:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/cluster.md").read_text(), re.S)
    return list(yaml.safe_load_all(text))


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_host_of_the_compose_file_joins_the_cluster(name: str, tmp_path: Path) -> None:
    service = COMPOSE["services"][name]
    environ = {**service["environment"], "MICROCLAW_HOME": str(tmp_path), "MICROCLAW_HOST__HTTP_TLS": "own"}
    assert not find_mistakes(environ, tmp_path)
    found = load_settings(environ)
    assert (found.cluster.nats, found.cluster.host, found.cluster.user) == (SERVERS, name, "microclaw")
    assert found.cluster.password_file == "/run/secrets/nats_password"
    assert found.host.link == "0.0.0.0:8443"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["volumes"] == [f"{name}:/data"]


def test_services_of_the_compose_file_have_no_more_rights_than_needed() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"]
        assert "privileged" not in service
        assert ("ports" in service) == (name in "abc"), "NATS is reached by the hosts alone"
        assert name == "authority" or service["read_only"] is True
    assert {COMPOSE["services"][name]["networks"][0] for name in ("n1", "n2", "n3")} == {"inside"}
    assert COMPOSE["networks"]["inside"]["internal"] is True
    used = {name for service in COMPOSE["services"].values() for name in service.get("secrets", ())}
    assert {tuple(COMPOSE["secrets"][name]) for name in used} == {("file",)}, "none else goes with read_only"


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


def test_nats_server_takes_the_configuration() -> None:
    found = which("nats-server", path=f"{os.environ['PATH']}:/usr/sbin")
    assert found is not None, "nats-server is missing: make setup-system"
    words = [found, "-t", "-c", str(FOLDER / "nats.conf"), "--name", "n1"]
    environ = {**os.environ, "MICROCLAW_NATS_PASSWORD": "some-words"}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_hosts_of_kubernetes_join_the_cluster(tmp_path: Path) -> None:
    hosts, service = kubernetes()
    template = hosts["spec"]["template"]["spec"]
    (container,) = template["containers"]
    environ = {one["name"]: one.get("value", "microclaw-0") for one in container["env"]}
    environ |= {"MICROCLAW_HOME": str(tmp_path), "MICROCLAW_HOST__HTTP_TLS": "own"}
    assert not find_mistakes(environ, tmp_path)
    found = load_settings(environ)
    assert (found.cluster.host, found.cluster.replicas) == ("microclaw-0", 3)
    mounted = {one["mountPath"] for one in container["volumeMounts"]}
    assert str(Path(found.cluster.password_file or "").parent) in mounted
    assert service["spec"]["selector"] == hosts["spec"]["selector"]["matchLabels"]
    assert {port["port"] for port in service["spec"]["ports"]} == {8443, 8080}
