"""The check as a host against the virtual board: every rule that can be tried is kept."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.virtual.conftest import StartBoard
from tests.virtual.conftest import start_board as start_board

from microclaw.auth.provisioning import Provision
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


@pytest.mark.parametrize("credential", ["certificate", "token"])
async def test_the_virtual_board_keeps_every_rule(start_board: StartBoard, tmp_path: Path, credential: str) -> None:
    def start(made: Provision) -> None:
        url = f"wss://{made.host}:{made.port}/link"
        words = ["--link", url, "--link-ca-sha256", made.ca_sha256, "--link-credential", credential]
        words += ["--link-secret", made.secret] if made.secret else []
        start_board("--serial", "none", "--flash", str(tmp_path / "flash"), *words)

    found = await checked(start, with_secret=credential == "token")
    assert [f for f in found.values() if f.verdict == "broken"] == []
    untried = {rule_id for rule_id, f in found.items() if f.verdict == "not tried"}
    assert untried == {"L-69", "L-94", "L-99", "L-92" if credential == "certificate" else "L-91"}
