"""The check as a device against the real host: every rule that can be tried is kept."""

from __future__ import annotations

import pytest
from tests.link_server.conftest import Plane

from microclaw.link_check.as_device import Credential, HostUnderCheck, check_host
from microclaw.link_check.report import Finding
from microclaw.link_check.run import Findings


async def checked(
    plane: Plane, credential: Credential = "certificate", only: tuple[str, ...] = ()
) -> dict[str, Finding]:
    made = await plane.plane.provision("checked", host="127.0.0.1")
    target = HostUnderCheck(made.host, made.port, made.ca_sha256, made.secret, credential=credential)
    findings = Findings("host", print, only=only)
    await check_host(target, findings)
    return {finding.rule_id: finding for finding in findings.all}


@pytest.mark.parametrize("credential", ["certificate", "token"])
async def test_the_real_host_keeps_every_rule(plane: Plane, credential: Credential) -> None:
    found = await checked(plane, credential)
    assert [f for f in found.values() if f.verdict == "broken"] == []
    untried = {rule_id for rule_id, f in found.items() if f.verdict == "not tried"}
    slow = {"L-51", "L-69"}
    assert untried - {"L-01"} == {"L-97", "L-98", *slow} | ({"L-44"} if credential == "certificate" else set())
