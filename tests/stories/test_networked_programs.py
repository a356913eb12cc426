"""Programs on the network: a person sees the hosts before the yes, and again if they change. Nothing is sent."""

from __future__ import annotations

from pathlib import Path

from tests.interfaces.cli.screen import TIMEOUT_S, Screen
from tests.stories.conftest import Host

SENDER = """
#include <mqtt_client.h>
#include "microclaw.h"

void on_init(void) {
    esp_mqtt_client_config_t config = {.broker.address.uri = "mqtt://%s"};
    esp_mqtt_client_start(esp_mqtt_client_init(&config));
    gpio_set(gpio_open(%d, GPIO_OUT), 1);
}
"""


def _write(folder: Path, host: str, pin: int = 4) -> str:
    path = folder / "sender.c"
    path.write_text(SENDER % (host, pin))
    return str(path)


def _network(host: Host, board: str) -> dict[str, list[object]]:
    shown = host.run("--json", "app", "show", "sender", "-d", board)
    network: dict[str, list[object]] = shown.json["network"]
    return network


def test_a_command_asks_for_the_network_once_and_again_when_it_changes(host: Host, tmp_path: Path) -> None:
    run = ("run", _write(tmp_path, "broker.example.org"), "-d", "virtual-1")
    with Screen(host.home, *run) as screen:
        screen.wait_for("broker.example.org:1883")
        screen.wait_for("do it?")
        screen.type("n\r")
        assert screen.process.wait(TIMEOUT_S) != 0
    assert host.run("app", "show", "sender", "-d", "virtual-1").code != 0
    with Screen(host.home, *run) as screen:
        screen.wait_for("do it?")
        screen.type("y\r")
        assert screen.process.wait(TIMEOUT_S) == 0
    assert _network(host, "virtual-1") == {"hosts": ["broker.example.org:1883"], "ports": []}
    # No one is at this terminal, and no one is asked: the list is the same.
    _write(tmp_path, "broker.example.org", pin=5)
    assert host.run(*run).code == 0
    _write(tmp_path, "other.example.org", pin=5)
    with Screen(host.home, *run) as screen:
        screen.wait_for("other.example.org:1883")
        screen.wait_for("until now")
        screen.wait_for("do it?")
        screen.type("y\r")
        assert screen.process.wait(TIMEOUT_S) == 0
    assert host.run("app", "undo").code == 0
    assert _network(host, "virtual-1")["hosts"] == ["broker.example.org:1883"]


def test_named_hosts_are_kept_by_an_upgrade_and_wrong_ones_are_refused(host: Host, tmp_path: Path) -> None:
    source = _write(tmp_path, "broker.example.org")
    refused = host.run("run", source, "--hosts", "*.example.org", "-d", "virtual-1")
    assert refused.code != 0
    assert "*.example.org" in refused.err
    named = host.run("--yes", "run", source, "--hosts", "nas.home:80,log.home", "-d", "virtual-1")
    assert named.code == 0
    _write(tmp_path, "broker.example.org", pin=5)
    assert host.run("app", "upgrade", "sender", source, "-d", "virtual-1").code == 0
    assert _network(host, "virtual-1")["hosts"] == ["broker.example.org:1883", "log.home", "nas.home:80"]


def test_a_fleet_asks_once_and_names_the_hosts(host: Host, tmp_path: Path) -> None:
    _write(tmp_path, "fleet.example.org", pin=5)
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("programs:\n  - {file: sender.c, devices: [virtual-1]}\n")
    with Screen(host.home, "fleet", "apply", "-f", str(fleet)) as screen:
        screen.wait_for("fleet.example.org:1883")
        screen.wait_for("[y/N]")
        screen.type("y\r")
        assert screen.process.wait(TIMEOUT_S) == 0
    assert _network(host, "virtual-1")["hosts"] == ["fleet.example.org:1883"]
    assert host.run("fleet", "apply", "-f", str(fleet)).code == 0


def test_without_a_terminal_a_command_says_at_once_how_to_allow_the_network(host: Host, tmp_path: Path) -> None:
    refused = host.run("run", _write(tmp_path, "broker.example.org"), "-d", "virtual-1")
    assert refused.code != 0
    assert "broker.example.org:1883" in refused.out
    assert "--yes" in refused.out
