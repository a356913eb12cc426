"""The checks of a host's own rules, from the device's side. as_device.py has the connections."""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
import warnings
from datetime import timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from microclaw.errors import DeviceUnreachable
from microclaw.link_check.as_device import Credential, DeviceBench, device_of, fetch_authority, request_for
from microclaw.link_check.both_ends import Check, ping_once
from microclaw.link_check.peer import CONNECT_S, Closed, UpgradeRefused, dial
from microclaw.link_check.report import RuleBroken, RuleNotTried
from microclaw.link_check.run import Findings
from microclaw.link_check.talk import QUIET_S, Talk, settle
from microclaw.wire.link.messages import (
    Bye,
    CancelStream,
    CancelTask,
    ErrorMessage,
    PairCode,
    PairDone,
    PairRequest,
    StartAsr,
    StopAsr,
    TaskStatus,
)

CONSTANT_NAME: Final = "host.microclaw.internal"
URN: Final = "urn:microclaw:device:"
TEN_YEARS: Final = timedelta(days=10 * 365)
FLOOD: Final = 64
CODE_S: Final = 180.0  # for a person to type the code in
_TOKEN: Final = re.compile(r"mc1_[A-Za-z0-9._-]{1,64}_[A-Za-z0-9_-]{43}")


# Without a credential


async def refuses_old_tls(bench: DeviceBench) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        await _handshake(bench, context, bench.target.host)
    except ssl.SSLError as exc:
        if "ALERT" not in (exc.reason or ""):
            raise RuleNotTried(f"this computer's TLS library speaks no TLS 1.1: {exc.reason}") from exc
    except OSError:
        return  # it hung up without an alert
    else:
        raise RuleBroken("a TLS handshake of at most 1.1", "a finished handshake")


async def has_its_authority(bench: DeviceBench) -> None:
    await fetch_authority(bench.target)


async def has_both_names(bench: DeviceBench) -> None:
    for name in (bench.target.host, CONSTANT_NAME):
        try:
            await _handshake(bench, bench.tls(with_certificate=False), name)
        except ssl.SSLError as exc:
            raise RuleBroken(f"a TLS handshake for {name}", f"a certificate that is refused: {exc}") from exc


async def _handshake(bench: DeviceBench, context: ssl.SSLContext, name: str) -> None:
    target = bench.target
    async with asyncio.timeout(CONNECT_S):
        _, writer = await asyncio.open_connection(target.host, target.port, ssl=context, server_hostname=name)
    writer.transport.abort()


async def upgrades_as_told(bench: DeviceBench) -> None:
    target, tls = bench.target, bench.tls(with_certificate=False)
    peer = await dial(target.host, target.port, tls, offers_compression=True)
    peer.abort()
    if peer.protocol.extensions:
        raise RuleBroken("an offer of compression", "compression")
    if peer.protocol.subprotocol != "microclaw.v1":
        raise RuleBroken("an offer of microclaw.v1", f"the subprotocol {peer.protocol.subprotocol}")
    try:
        peer = await dial(target.host, target.port, tls, subprotocols=())
    except UpgradeRefused as exc:
        if exc.status != 400:
            raise RuleBroken("a WebSocket without a subprotocol", f"HTTP {exc.status}, expected 400") from exc
    else:
        peer.abort()
        raise RuleBroken("a WebSocket without a subprotocol", "an open WebSocket")


async def tells_later_versions(bench: DeviceBench) -> None:
    target = bench.target
    try:
        peer = await dial(
            target.host, target.port, bench.tls(with_certificate=False), subprotocols=("microclaw.v2", "microclaw.v9")
        )
    except (UpgradeRefused, DeviceUnreachable) as exc:
        raise RuleBroken("an offer of microclaw.v2 and v9", str(exc)) from exc
    talk = Talk(peer, bench.cursors, bench.ours)
    talk.said = "an offer of microclaw.v2 and v9"
    try:
        await talk.expect_close(4400, "unsupported_version")
    finally:
        peer.abort()


async def takes_no_hello_of_strangers(bench: DeviceBench) -> None:
    async with bench.stranger() as talk:
        hello: dict[str, object] = {
            "boot_id": bytes(16),
            "firmware": {"name": "x", "version": "1"},
            "board": bench.target.board,
        }
        hello |= {"capabilities": [], "tx_epoch": bytes(8), "rx_seq": 0, "reset_reason": "power_on"}
        await talk.say_map("hello without a credential", type="hello", body=hello)
        await talk.expect_close(4401, "not_authenticated")


async def shows_a_code(bench: DeviceBench) -> None:
    async with bench.stranger() as talk:
        message_id = await talk.say(bench.pair_request("token", None))
        _, code = await talk.expect(PairCode, re=message_id)
        if not 0 < code.expires_s <= 3600:
            raise RuleBroken(talk.said, f"a code that is good for {code.expires_s} s")


async def answers_pings_while_pairing(bench: DeviceBench) -> None:
    async with bench.stranger() as talk:
        message_id = await talk.say(bench.pair_request("token", None))
        await talk.expect(PairCode, re=message_id)
        await ping_once(talk)


async def refuses_a_wrong_secret(bench: DeviceBench) -> None:
    async with bench.stranger() as talk:
        await talk.say(bench.pair_request("token", "AAAA-" + secrets.token_hex(8)))
        talk.said = "pair_request with a wrong secret"
        await talk.expect_close(4401, "wrong_secret")


async def refuses_bad_requests(bench: DeviceBench) -> None:
    signed = bytearray(bench.csr())
    signed[-1] ^= 1
    requests = (
        ("a request whose signature is wrong", PairRequest(bench.target.board, csr=bytes(signed))),
        (
            "a request for a P-384 key",
            PairRequest(bench.target.board, csr=request_for(ec.generate_private_key(ec.SECP384R1()))),
        ),
        ("a request that is no PKCS #10", PairRequest(bench.target.board, csr=b"0\x82csr")),
        ("the board's name 'my board!'", PairRequest("my board!", token_wanted=True)),
        ("a board's name of 65 characters", PairRequest("x" * 65, token_wanted=True)),
    )
    for what, request in requests:
        async with bench.stranger() as talk:
            await talk.say(request)
            talk.said = f"pair_request with {what}"
            await talk.expect_close(4400)


async def closes_the_silent(bench: DeviceBench) -> None:
    async with bench.stranger() as talk:
        talk.said = "nothing for 5 s"
        await talk.expect_close(4408)


async def limits_strangers(bench: DeviceBench) -> None:
    async with bench.stranger() as talk:
        for _ in range(FLOOD):
            await talk.say_bytes(b"\x7f", f"{FLOOD} messages at once, without a credential")
        closed = await talk.next(CONNECT_S)
        while not isinstance(closed, Closed):
            closed = await talk.next(CONNECT_S)
        if closed.code not in (4429, None):  # a reset may swallow the code of who still writes
            raise RuleBroken(talk.said, f"{closed}, expected 4429")


# Pairing


async def pair(bench: DeviceBench, findings: Findings) -> None:
    """Get the credential: by the secret both kinds, the wanted one last; by a code the wanted one."""
    target = bench.target
    if target.secret is not None:
        other: Credential = "token" if target.credential == "certificate" else "certificate"
        for wanted in (other, target.credential):
            await _pair_by_secret(bench, findings, wanted)
        if target.credential == "token":
            bench.certificate = None
        else:
            bench.token = None
        return
    await findings.run("L-31", lambda: _pair_by_code(bench), is_needed=True, limit_s=CODE_S)


async def _pair_by_secret(bench: DeviceBench, findings: Findings, wanted: Credential) -> None:
    done: list[PairDone] = []

    async def ask() -> None:
        async with bench.stranger() as talk:
            message_id = await talk.say(bench.pair_request(wanted, bench.target.secret))
            talk.said = f"pair_request with the secret, for a {wanted}"
            _, answer = await talk.expect(PairDone, re=message_id)
            done.append(answer)

    async def take() -> None:
        if not done:
            await ask()
        await _accepts(bench, done[0], wanted)

    rule_id = "L-33" if wanted == "certificate" else "L-34"
    if wanted == bench.target.credential:
        await findings.run("L-32", ask, is_needed=True)
        await findings.run(rule_id, take, is_needed=True)
    else:
        await findings.run(rule_id, take)


async def _pair_by_code(bench: DeviceBench) -> None:
    wanted = bench.target.credential
    async with bench.stranger() as talk:
        message_id = await talk.say(bench.pair_request(wanted, None))
        _, code = await talk.expect(PairCode, re=message_id)
        if bench.target.show_code is not None:
            bench.target.show_code(code.code, code.expires_s)
        try:
            _, done = await talk.expect(PairDone, re=message_id, timeout_s=min(code.expires_s, CODE_S - CONNECT_S))
        except RuleBroken as exc:
            raise RuleNotTried(f"nobody typed the code in ({exc.came})") from exc
    await _accepts(bench, done, wanted)


async def _accepts(bench: DeviceBench, done: PairDone, wanted: Credential) -> None:
    """Take the credential; RuleBroken for one that is not as the page has it."""
    said = f"pair_request for a {wanted}"
    if wanted == "token":
        if done.token is None or not _TOKEN.fullmatch(done.token):
            raise RuleBroken(said, "no token of the form mc1_ID_ and 43 characters")
        bench.token, bench.device_id = done.token, device_of(done.token)
        return
    if done.certificate is None:
        raise RuleBroken(said, "no certificate")
    try:
        certificate = x509.load_der_x509_certificate(done.certificate)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(bench.authority_pem))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as exc:
        raise RuleBroken(said, f"a certificate that the authority did not sign, or cannot be read: {exc}") from exc
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    if certificate.public_key() != bench.key.public_key():
        raise RuleBroken(said, "a certificate for another key")
    if len(uris) != 1 or not uris[0].startswith(URN) or ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise RuleBroken(said, f"a certificate with the names {uris}, uses {[use.dotted_string for use in usage]}")
    if not TEN_YEARS <= life <= TEN_YEARS + timedelta(days=7):
        raise RuleBroken(said, f"a certificate for {life.days} days")
    bench.certificate, bench.device_id = certificate, uris[0].removeprefix(URN)


# With a credential


async def welcomes(bench: DeviceBench) -> None:
    async with bench.ready() as talk:
        _, seq = await talk.say_durable(bench.durable())
        await talk.expect_ack(seq)
    async with bench.connected() as talk:
        welcome = await bench.greet(talk)
        talk.said = f"hello, after number {seq} was acked"
        if (welcome.rx_epoch, welcome.rx_seq) != (bench.cursors.tx_epoch, seq):
            raise RuleBroken(talk.said, f"welcome with rx_seq {welcome.rx_seq} of another epoch or number")
        if welcome.heartbeat_s < 1 or welcome.limits.control_bytes < 1 or welcome.time_ms < 1:
            raise RuleBroken(talk.said, f"welcome with heartbeat_s {welcome.heartbeat_s}, {welcome.limits}")


async def takes_a_token(bench: DeviceBench) -> None:
    if bench.token is None:
        raise RuleNotTried("the check came with a certificate: add --credential token")
    async with bench.ready() as talk:
        await talk.expect_alive()


async def replaces_the_older(bench: DeviceBench) -> None:
    async with bench.connected() as older:
        await bench.greet(older)
        older.said = "a second connection of the same device"
        closing = asyncio.create_task(older.expect_close(4409), name="the older connection")
        try:
            async with bench.ready() as newer:
                await newer.expect_alive()
            await closing
        finally:
            closing.cancel()


async def renews_its_epoch(bench: DeviceBench) -> None:
    async with bench.ready():
        before = bench.cursors.rx_epoch
    async with bench.connected() as talk:
        welcome = await bench.greet(talk, rx_seq=2**40)
        if welcome.tx_epoch == before:
            raise RuleBroken("hello with rx_seq 2^40 of the host's epoch", "welcome with the same tx_epoch")


async def pings_and_gives_up(bench: DeviceBench) -> None:
    """Slow: three heartbeats."""
    async with bench.connected() as talk:
        welcome = await bench.greet(talk)
        talk.is_deaf = True
        talk.said = "no pong to two pings"
        await talk.expect_close(4408, timeout_s=welcome.heartbeat_s * 3 + 10)


async def ends_each_task_once(bench: DeviceBench) -> None:
    async with bench.ready() as talk:
        message_id, _ = await talk.say_durable(bench.durable())
        _, status = await talk.expect(TaskStatus, re=message_id)
        if status.state != "failed" or not status.text or ":" not in status.text:
            raise RuleBroken(talk.said, f"task_status {status.state}, {status.text!r}; expected failed and 'CODE: ...'")
        await talk.expect_no_more(TaskStatus, re=message_id)


async def knows_no_such_task(bench: DeviceBench) -> None:
    async with bench.ready() as talk:
        message_id, _ = await talk.say_durable(CancelTask("link-check-none"))
        _, error = await talk.expect(ErrorMessage, re=message_id)
        if error.code != "unknown_task":
            raise RuleBroken(talk.said, f"error {error.code}, expected unknown_task")


async def hears_or_says_so(bench: DeviceBench) -> None:
    async with bench.ready() as talk:
        message_id = await talk.say(StartAsr(1, "pcm16", 16_000, "button", 0))
        await talk.expect_alive()
        await settle(QUIET_S)
        cancelled = any(isinstance(e.body, CancelStream) and e.body.stream == 1 for e in talk.got)
        errors = [e.body.code for e in talk.got if isinstance(e.body, ErrorMessage) and e.re == message_id]
        if cancelled != ("no_listener" in errors):
            raise RuleBroken(talk.said, f"errors {errors}, cancel_stream {'came' if cancelled else 'did not come'}")
        if not cancelled:
            await talk.say(StopAsr(1, "cancelled"))


async def refuses_an_early_renewal(bench: DeviceBench) -> None:
    async with bench.connected() as talk:
        await talk.say(PairRequest(bench.target.board, csr=bench.csr()))
        talk.said = "pair_request with a credential that is new"
        await talk.expect_close(4400, "too_early")


async def answers_a_bye(bench: DeviceBench) -> None:
    async with bench.connected() as talk:
        await bench.greet(talk)
        await talk.say(Bye("link check"))
        await talk.expect_close(1000)


STRANGER: Final[dict[str, Check]] = {
    "L-02": has_its_authority,
    "L-03": has_both_names,
    "L-01": refuses_old_tls,
    "L-05": upgrades_as_told,
    "L-06": tells_later_versions,
    "L-30": takes_no_hello_of_strangers,
    "L-36": refuses_bad_requests,
    "L-35": refuses_a_wrong_secret,
    "L-39": answers_pings_while_pairing,
    "L-41": closes_the_silent,
    "L-96": limits_strangers,
}
READY: Final[dict[str, Check]] = {
    "L-31": shows_a_code,
    "L-40": welcomes,
    "L-44": takes_a_token,
    "L-43": replaces_the_older,
    "L-51": pings_and_gives_up,
    "L-66": renews_its_epoch,
    "L-80": ends_each_task_once,
    "L-81": knows_no_such_task,
    "L-82": hears_or_says_so,
    "L-90": refuses_an_early_renewal,
    "L-95": answers_a_bye,
}
SLOW: Final = frozenset({"L-51"})
