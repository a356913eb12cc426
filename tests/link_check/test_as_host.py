"""The check as a host against the virtual board: every rule that can be tried is kept."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.virtual.conftest import StartBoard
from tests.virtual.conftest import start_board as start_board

from microclaw.auth.provisioning import Provision
from microclaw.errors import DeviceUnreachable
from microclaw.link_check.as_host import CheckHost, check_device
from microclaw.link_check.report import Finding
from microclaw.link_check.run import Findings


async def checked(
    start: Callable[[Provision], None], *, with_secret: bool = False, only: tuple[str, ...] = ()
) -> dict[str, Finding]:
    findings = Findings("device", print, only=only)
    told = CheckHost(start, address="127.0.0.1", with_secret=with_secret, wait_s=60)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await check_device(told, listening, findings)
    return {finding.rule_id: finding for finding in findings.all}


OF_A_TOKEN = ("L-05", "L-37", "L-38", "L-39", "L-92")


def starter(start_board: StartBoard, flash: Path, credential: str) -> Callable[[Provision], None]:
    def start(made: Provision) -> None:
        url = f"wss://{made.host}:{made.port}/link"
        words = ["--link", url, "--link-ca-sha256", made.ca_sha256, "--link-credential", credential]
        if made.secret:
            secret = flash.with_name("secret")
            secret.write_text(made.secret)
            words += ["--link-secret-file", str(secret)]
        start_board("--serial", "none", "--flash", str(flash), *words)

    return start


async def test_the_virtual_board_keeps_every_rule(start_board: StartBoard, tmp_path: Path) -> None:
    found = await checked(starter(start_board, tmp_path, "certificate"))
    assert [f for f in found.values() if f.verdict == "broken"] == []
    untried = {rule_id for rule_id, f in found.items() if f.verdict == "not tried"}
    assert untried == {"L-69", "L-92", "L-94", "L-99"}


async def test_the_virtual_board_keeps_the_rules_of_a_token(start_board: StartBoard, tmp_path: Path) -> None:
    found = await checked(starter(start_board, tmp_path, "token"), with_secret=True, only=OF_A_TOKEN)
    assert {rule_id: f.verdict for rule_id, f in found.items()} == dict.fromkeys(OF_A_TOKEN, "kept")


async def test_no_device_at_all_is_unreachable() -> None:
    told = CheckHost(lambda _: None, address="127.0.0.1", wait_s=0.05)
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(DeviceUnreachable, match="no device came"):
        await check_device(told, listening, Findings("device", print))
