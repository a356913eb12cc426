"""The checks of a device's own rules, from the host's side. as_host.py has the connections."""

from __future__ import annotations

import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from microclaw.auth.certificates import device_certificate, read_csr
from microclaw.auth.device_tokens import mint_token
from microclaw.errors import ProtocolError
from microclaw.link_check.as_host import HostBench
from microclaw.link_check.both_ends import Check, ping_once, until_acked
from microclaw.link_check.listening import Arrival, serial
from microclaw.link_check.report import RuleBroken, RuleNotTried
from microclaw.link_check.run import Findings
from microclaw.link_check.talk import Talk, settle
from microclaw.wire.link.messages import (
    AsrPartial,
    Bye,
    Call,
    Envelope,
    Hello,
    Notify,
    PairCode,
    PairDone,
    PairRequest,
    Ping,
    Result,
    Token,
    TtsChunk,
    TtsEnd,
    TtsStart,
    UiState,
)

CODE_S: Final = 120
LATE: Final = timedelta(days=7 * 365)  # of a certificate's ten years: its last third has begun
BACK_S: Final = 5.0
SOONEST_BACK_S: Final = 0.45  # 0.5 by the page; clocks and the way there take some
LONGEST_BACK_S: Final = 65.0
REFUSED_S: Final = 60.0
TOKEN_LIFE_MS: Final = 90 * 24 * 3_600_000
_BOARD: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


# From nothing to a credential


async def let_in(bench: HostBench, findings: Findings) -> None:
    """Wait for the device, with a wrong authority at first; then pair it, with a certificate that is due already."""
    bench.listener.is_rogue = bench.listener.lies = findings.wants("L-04")
    await bench.wait_for_device()
    await findings.run("L-04", lambda: refuses_rogues(bench))
    bench.listener.is_rogue = bench.listener.lies = False
    await findings.run("L-05", lambda: pairs(bench, findings), is_needed=True)
    if bench.is_paired:
        await findings.run("L-91", lambda: comes_back(bench, findings), is_needed=True)


async def refuses_rogues(bench: HostBench) -> None:
    """Two wrong hosts, one try of the device each; nothing but `/ca.pem` is asked for within a second of it."""
    for lies, what in ((True, "a wrong authority and its certificate"), (False, "a certificate of another authority")):
        bench.listener.lies = lies
        found = await bench.arrival("no_tls", "link", *(["authority"] if lies else []))
        if found.kind != "link":
            try:
                found = await bench.arrival("link", timeout_s=1.0)
            except RuleBroken:
                continue  # nothing more came: as it must be
        assert found.peer is not None
        found.peer.abort()
        raise RuleBroken(what, "a WebSocket")


async def pairs(bench: HostBench, findings: Findings) -> None:
    """Its first WebSocket, and pairing on it."""
    async with bench.connected() as (talk, arrival):
        offered = arrival.request.headers.get("Sec-WebSocket-Protocol", "") if arrival.request else ""
        if "microclaw.v1" not in [name.strip() for name in offered.split(",")]:
            raise RuleBroken("nothing", f"a WebSocket that offers {offered!r}")
        if arrival.token is not None:
            raise RuleBroken("nothing", "a token of another host: the device wants a factory reset first")
        envelope, request = await talk.expect(PairRequest)
        await findings.run("L-37", lambda: asks_well(bench, request))
        talk.said = "nothing yet, while it pairs"
        await findings.run("L-39", lambda: ping_once(talk))
        await _give(bench, talk, envelope, request)


async def asks_well(bench: HostBench, request: PairRequest) -> None:
    said = "nothing: it asks"
    if not _BOARD.fullmatch(request.board):
        raise RuleBroken(said, f"the board's name {request.board!r}")
    if bench.secret is not None and _plain(request.secret or "") != bench.secret:
        raise RuleBroken(said, "another secret, or none" if request.secret else "no secret")
    if request.csr is not None:
        try:
            read_csr(request.csr)
        except ProtocolError as exc:
            raise RuleBroken(said, exc.message) from exc


def _plain(secret: str) -> str:
    return "".join(secret.split()).replace("-", "").upper()


async def _give(bench: HostBench, talk: Talk, envelope: Envelope, request: PairRequest) -> None:
    """A code, when there is no secret, then the credential; the device closes with 1000."""
    if request.secret is None:
        code = f"{secrets.randbelow(1_000_000):06d}"
        await talk.say(PairCode(code, CODE_S), re=envelope.id)
        if bench.told.show_code is not None:
            bench.told.show_code(code)
        await talk.expect_alive()
    await talk.say(_credential(bench, request, LATE), re=envelope.id)
    await talk.expect_close(1000)


def _credential(bench: HostBench, request: PairRequest, age: timedelta) -> PairDone:
    if request.csr is None:
        bench.tokens.append(mint_token(bench.device_id, secrets.token_bytes(32)))
        return PairDone(token=bench.tokens[-1])
    made = datetime.now(UTC) - age
    certificate = device_certificate(bench.listener.authority, read_csr(request.csr), bench.device_id, made, serial())
    bench.certificates.append(certificate.public_bytes(Encoding.DER))
    return PairDone(certificate=bench.certificates[-1])


def _judge_credential(bench: HostBench, arrival: Arrival, after: str) -> None:
    assert arrival.peer is not None
    if not bench.knows(arrival):
        has = "a certificate" if arrival.peer.certificate else "a token" if arrival.token else "nothing"
        raise RuleBroken(after, f"a connection with {has}, not with the credential that it was given last")
    if arrival.peer.certificate is not None and arrival.peer.is_resumed:
        raise RuleBroken(after, "a resumed TLS session, which brings the old credential along")


async def comes_back(bench: HostBench, findings: Findings) -> None:
    """Its connection after pairing: with what it was given, and where that is due, to have it renewed."""
    began_s = time.monotonic()
    async with bench.connected(timeout_s=BACK_S + 5) as (talk, arrival):
        await findings.run("L-38", lambda: _is_back(bench, arrival, began_s))
        if bench.tokens:
            raise RuleNotTried("the device has a token")
        talk.said = "pair_done with a certificate in its last third"
        first = await talk.next(BACK_S)
        request = first.body if isinstance(first, Envelope) else None
        if isinstance(request, Hello):
            raise RuleNotTried("it asked for no new certificate with one in its last third, which it may")
        if not isinstance(first, Envelope) or not isinstance(request, PairRequest) or request.csr is None:
            raise RuleBroken(talk.said, f"{first}"[:200])
        await talk.say(_credential(bench, request, timedelta(0)), re=first.id)
        await talk.expect_close(1000)
    async with bench.connected(timeout_s=BACK_S + 5) as (talk, arrival):
        _judge_credential(bench, arrival, "pair_done with the new certificate")


async def _is_back(bench: HostBench, arrival: Arrival, began_s: float) -> None:
    _judge_credential(bench, arrival, "pair_done")
    if arrival.at_s - began_s > BACK_S:
        raise RuleBroken("pair_done", f"a connection after {arrival.at_s - began_s:.1f} s")


# With a credential


async def greets(bench: HostBench) -> None:
    async with bench.ready() as talk:
        before = bench.hello
        message_id, seq = await talk.say_durable(bench.durable())
        await talk.expect(Result, re=message_id)
        await until_acked(talk, seq)
    async with bench.connected() as (talk, _):
        hello = await bench.greet(talk)
        assert before is not None
        talk.said = f"welcome after it had acked number {seq}"
        if (hello.boot_id, hello.tx_epoch) != (before.boot_id, before.tx_epoch):
            raise RuleBroken(talk.said, "hello with another boot_id or tx_epoch")
        if (hello.rx_epoch, hello.rx_seq) != (bench.cursors.tx_epoch, seq):
            raise RuleBroken(talk.said, f"hello with rx_seq {hello.rx_seq}, or of another epoch")
        await talk.bye()


async def pings_and_gives_up(bench: HostBench) -> None:
    bench.heartbeat_s = 1
    try:
        async with bench.connected() as (talk, _):
            await bench.greet(talk)
            talk.is_deaf = True
            talk.said = "welcome with heartbeat_s 1, and no pong to its pings"
            await talk.expect(Ping, timeout_s=4)
            await talk.expect_close(4408)
    finally:
        bench.heartbeat_s = 15


async def renews_its_epoch(bench: HostBench) -> None:
    async with bench.connected() as (talk, _):
        hello = await bench.greet(talk, rx_seq=2**40)
        talk.said = "welcome with rx_seq 2^40 of its epoch"
        await talk.expect_close(1000)
    async with bench.connected(timeout_s=BACK_S) as (talk, _):
        again = await bench.greet(talk)
        if again.tx_epoch == hello.tx_epoch:
            raise RuleBroken("welcome with rx_seq 2^40 of its epoch", "hello with the same tx_epoch")
        await talk.bye()


async def answers_calls(bench: HostBench) -> None:
    async with bench.ready() as talk:
        message_id = await talk.say(Call(bench.method, {}, True))
        envelope, _ = await talk.expect(Result, re=message_id)
        if envelope.seq is not None:
            raise RuleBroken(talk.said, f"a durable result, number {envelope.seq}")
        message_id, _ = await talk.say_durable(Call(bench.method, {}, True))
        envelope, _ = await talk.expect(Result, re=message_id)
        if envelope.seq is None:
            raise RuleBroken(talk.said, "a result without seq")


async def answers_again(bench: HostBench) -> None:
    async with bench.ready() as talk:
        message_id = await talk.say(call := Call(bench.method, {}, False))
        _, first = await talk.expect(Result, re=message_id)
        await settle(0.05)  # so that an answer that is made anew tells another time
        await talk.say(call, message_id=message_id)
        talk.said += ", a second time with its id"
        _, again = await talk.expect(Result, re=message_id)
        if again != first:
            raise RuleBroken(talk.said, f"another answer: {again!r}, before {first!r}")


async def refuses_other_methods(bench: HostBench) -> None:
    async with bench.ready() as talk:
        await _refused(talk, Call("link_check.no_such_method", {}, True), "not_supported")


async def refuses_late_calls(bench: HostBench) -> None:
    async with bench.ready() as talk:
        await _refused(talk, Call(bench.method, {}, True, expires_ms=1), "expired")


async def _refused(talk: Talk, call: Call, code: str) -> None:
    message_id = await talk.say(call)
    _, result = await talk.expect(Result, re=message_id)
    if result.ok or result.error is None or result.error.code != code:
        raise RuleBroken(talk.said, f"ok {result.ok}, error {result.error}; expected {code}")


async def takes_what_it_cannot_show(bench: HostBench) -> None:
    async with bench.ready() as talk:
        _, seq = await talk.say_durable(Notify("link check", speak=False))
        await talk.expect_ack(seq)
        speech = (TtsStart(7, "pcm16", 16_000), TtsChunk(7, 0, "link check", 320), TtsEnd(7, "done"))
        for body in (UiState(thinking=False, text="link check"), AsrPartial(7, "link"), *speech):
            await talk.say(body)
        await talk.expect_alive()


async def takes_a_new_token(bench: HostBench) -> None:
    if not bench.tokens:
        raise RuleNotTried("the device has a certificate")
    async with bench.ready() as talk:
        new = mint_token(bench.device_id, secrets.token_bytes(32))
        await talk.say(Token(new, time.time_ns() // 1_000_000 + TOKEN_LIFE_MS))
        await talk.expect_alive()
        bench.tokens.append(new)
    async with bench.connected() as (talk, arrival):
        _judge_credential(bench, arrival, "token")
        await bench.greet(talk)
        await talk.bye()


async def comes_back_in_time(bench: HostBench) -> None:
    for retry_after_s, soonest_s in ((2, 2.0), (None, SOONEST_BACK_S)):
        async with bench.connected() as (talk, _):
            await bench.greet(talk)
            await talk.expect_alive()
            if retry_after_s is not None:
                await talk.say(Bye("link check", retry_after_s))
            left_s = time.monotonic()
            await talk.peer.close(1001, "link check")
        arrival = await bench.arrival("link", timeout_s=LONGEST_BACK_S)
        assert arrival.peer is not None
        arrival.peer.abort()
        waited_s = arrival.at_s - left_s
        if waited_s < soonest_s - 0.05:
            said = "1001" if retry_after_s is None else f"bye with retry_after_s {retry_after_s}"
            raise RuleBroken(said, f"a connection after {waited_s:.2f} s")


async def waits_when_refused(bench: HostBench) -> None:
    """Slow: a minute and more."""
    async with bench.connected() as (talk, _):
        await talk.peer.close(4401, "link check")
        left_s = time.monotonic()
    arrival = await bench.arrival("link", timeout_s=100)
    assert arrival.peer is not None
    arrival.peer.abort()
    if arrival.at_s - left_s < REFUSED_S:
        raise RuleBroken("4401", f"a connection after {arrival.at_s - left_s:.1f} s")
    _judge_credential(bench, arrival, "4401")


READY: Final[dict[str, Check]] = {
    "L-42": greets,
    "L-51": pings_and_gives_up,
    "L-66": renews_its_epoch,
    "L-70": answers_calls,
    "L-71": answers_again,
    "L-72": refuses_other_methods,
    "L-73": refuses_late_calls,
    "L-74": takes_what_it_cannot_show,
    "L-92": takes_a_new_token,
    "L-93": comes_back_in_time,
    "L-94": waits_when_refused,
}
SLOW: Final = frozenset({"L-94"})
