"""Hosts that break one rule each are said to; the same host without its fault keeps that rule."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.virtual.link.conftest import ScriptedHost

from microclaw.errors import LinkViolation
from microclaw.link_check.as_device import HostUnderCheck, check_host
from microclaw.link_check.report import Finding
from microclaw.link_check.run import Findings
from microclaw.wire.link import actions
from microclaw.wire.link.codec import decode
from microclaw.wire.link.frame import FrameLimits
from microclaw.wire.link.messages import PairDone, PairRequest, RunTask, TaskStatus
from microclaw.wire.link.session import LinkSession

FAULTS = [
    ("lets-strangers-in", "L-30"),
    ("waits-for-ever", "L-41"),
    ("takes-large", "L-12"),
    ("forgives-garbage", "L-20"),
    ("no-pong", "L-50"),
    ("never-acks", "L-60"),
    ("applies-twice", "L-61"),
    ("forgets-ids", "L-62"),
    ("takes-gaps", "L-64"),
    ("wrong-epoch", "L-65"),
    ("keeps-its-epoch", "L-66"),
    ("another-key", "L-31"),
]


class FaultySession(LinkSession):
    """A host's session that breaks the rule of `fault`."""

    fault: ClassVar[str] = ""

    def receive(self, message: bytes) -> bool:
        kind = _kind(message)
        if self.fault == "takes-large" and len(message) > 16_385:
            return False
        if self.fault == "forgives-garbage" and kind is None:
            return False
        if self.fault == "no-pong" and kind == "ping":
            return False
        if self.fault == "takes-gaps" and kind == "run_task":
            self.incoming.received = (decode(message[1:]).seq or 1) - 1
        return super().receive(message)

    def ack_applied(self, epoch: bytes | None, seq: int) -> None:
        if self.fault != "never-acks":
            super().ack_applied(epoch, seq)

    def connected(self) -> None:
        if self.fault == "wrong-epoch":
            self.incoming.start = lambda epoch: None  # type: ignore[method-assign]  # it goes on counting in the old one
        if self.fault == "keeps-its-epoch":
            self.outgoing.fits = lambda peer: True  # type: ignore[method-assign]
        super().connected()


def _kind(message: bytes) -> str | None:
    try:
        return decode(message[1:]).body.type
    except LinkViolation:
        return None


class FaultyHost(ScriptedHost):
    """It refuses tasks, as a host without a sandbox does."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.session_class = type("Session", (FaultySession,), {"fault": fault})
        self.fault = fault
        self.lets_strangers_in = fault == "lets-strangers-in"
        if fault == "waits-for-ever":
            self.config = replace(self.config, hello_timeout_ms=60_000)
        if fault == "takes-large":
            self.config = replace(self.config, limits=FrameLimits(1_000_000, 2_048))

    def _deliver(self, deliver: actions.Deliver, session: LinkSession) -> None:
        envelope = deliver.envelope
        before = len(self.mail.applied)
        super()._deliver(deliver, session)
        is_new = len(self.mail.applied) > before or self.fault == "forgets-ids"
        if isinstance(envelope.body, RunTask) and is_new:
            session.send(TaskStatus(envelope.body.task, "failed", text="no_sandbox: none; next: none"), re=envelope.id)

    def _credential(self, request: PairRequest) -> PairDone:
        if self.fault == "another-key" and request.csr is not None:
            from microclaw.link_check.as_device import request_for

            request = PairRequest(request.board, csr=request_for(ec.generate_private_key(ec.SECP256R1())))
        return super()._credential(request)


class TwiceApplying(FaultySession):
    """A number that was seen is handed on again."""

    def _deliver(self, envelope, theirs):  # type: ignore[no-untyped-def]
        if envelope.seq is not None and envelope.seq <= self.incoming.received:
            self.send(TaskStatus("again", "failed", text="no_sandbox: none; next: none"), re=envelope.id)
        super()._deliver(envelope, theirs)


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def faulty_host(fault: str) -> Iterator[FaultyHost]:
    host = FaultyHost(fault)
    if fault == "applies-twice":
        host.session_class = TwiceApplying
    yield host
    host.close()


async def checked(host: FaultyHost, *rule_ids: str) -> dict[str, Finding]:
    der = host.authority.certificate.public_bytes(Encoding.DER)
    target = HostUnderCheck("127.0.0.1", host.port, hashlib.sha256(der).hexdigest())
    findings = Findings("host", print, only=rule_ids)
    await check_host(target, findings)
    return {finding.rule_id: finding for finding in findings.all}


@pytest.mark.parametrize(("fault", "rule_id"), FAULTS, indirect=["fault"])
async def test_a_host_that_breaks_a_rule_is_said_to(faulty_host: FaultyHost, rule_id: str) -> None:
    found = (await checked(faulty_host, rule_id))[rule_id]
    assert found.verdict == "broken", found
    assert found.sent
    assert found.came


@pytest.mark.parametrize("fault", ["none"], indirect=True)
async def test_the_same_host_without_its_fault_keeps_these_rules(faulty_host: FaultyHost) -> None:
    rule_ids = tuple(rule_id for _, rule_id in FAULTS)
    found = await checked(faulty_host, *rule_ids)
    assert {rule_id: found[rule_id].verdict for rule_id in rule_ids} == dict.fromkeys(rule_ids, "kept")
