"""The check as a device against the real host: every rule that can be tried is kept."""

from __future__ import annotations

import socket

import pytest
from tests.link_server.conftest import Plane

from microclaw.errors import ConfigError, DeviceUnreachable
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


SLOW = {"L-51", "L-69"}
OF_A_TOKEN = ("L-32", "L-33", "L-34", "L-44", "L-90")


async def test_the_real_host_keeps_every_rule(plane: Plane) -> None:
    found = await checked(plane)
    assert [f for f in found.values() if f.verdict == "broken"] == []
    untried = {rule_id for rule_id, f in found.items() if f.verdict == "not tried"}
    assert untried - {"L-01"} == {"L-44", "L-97", "L-98", *SLOW}  # L-01 is for who has a TLS library that speaks 1.1


async def test_the_real_host_keeps_the_rules_of_a_token(plane: Plane) -> None:
    found = await checked(plane, "token", OF_A_TOKEN)
    assert {rule_id: f.verdict for rule_id, f in found.items()} == dict.fromkeys(OF_A_TOKEN, "kept")


async def test_another_fingerprint_is_an_error_before_any_rule(plane: Plane) -> None:
    target = HostUnderCheck("127.0.0.1", plane.plane.port, "0" * 64)
    with pytest.raises(ConfigError, match="has the fingerprint"):
        await check_host(target, Findings("host", print))


async def test_nobody_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DeviceUnreachable, match="no host answers"):
        await check_host(HostUnderCheck("127.0.0.1", port, "0" * 64), Findings("host", print))


async def test_a_rule_whose_connection_fails_is_broken_and_the_run_goes_on() -> None:
    async def reset() -> None:
        raise ConnectionResetError("reset by peer")

    async def good() -> None:
        """Keeps it."""

    findings = Findings("host", print)
    await findings.run_all({"L-03": reset, "L-05": good})
    assert [(f.rule_id, f.verdict, f.came) for f in findings.all] == [
        ("L-03", "broken", "reset by peer"),
        ("L-05", "kept", None),
    ]


async def test_a_run_is_bounded_in_time() -> None:
    async def never() -> None:
        raise AssertionError("it was begun")

    findings = Findings("host", print, in_all_s=0)
    await findings.run("L-03", never)
    assert [(f.verdict, f.why) for f in findings.all] == [("not tried", "the time is over")]
