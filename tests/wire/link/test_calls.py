from __future__ import annotations

import pytest

from microclaw.errors import Overloaded
from microclaw.wire.link.calls import PendingCall, PendingCalls, ReplyCache
from microclaw.wire.link.messages import Call, Result

ONCE = Call("apps.undo", {}, False)
AGAIN = Call("gpio.get", {}, True)


def pending(call: Call, boot: bytes | None = None) -> PendingCall:
    return PendingCall(call=call, sent_in_boot=boot)


def calls_of(*waiting: PendingCall) -> PendingCalls[PendingCall]:
    calls = PendingCalls[PendingCall]()
    for number, one in enumerate(waiting):
        calls.add(b"%d" % number, one)
    return calls


def test_a_call_is_sent_again_within_one_boot() -> None:
    never_sent, sent = pending(ONCE), pending(ONCE, b"boot")
    calls = calls_of(never_sent, sent)
    assert calls.reconnected(b"boot") == ([(b"0", never_sent), (b"1", sent)], [])
    assert calls.take(b"1") is sent
    assert calls.take(b"1") is None


def test_what_the_device_has_is_taken_and_the_rest_waits_on() -> None:
    calls = calls_of(pending(ONCE), had := pending(AGAIN, b"boot"))
    assert calls.take_sent() == [had]
    assert len(calls) == 1


def test_pending_calls_are_bounded() -> None:
    calls = PendingCalls[PendingCall](most=1)
    calls.add(b"1", pending(ONCE))
    with pytest.raises(Overloaded):
        calls.add(b"2", pending(ONCE))


def test_a_repeated_call_has_its_first_answer() -> None:
    cache = ReplyCache()
    assert cache.begin(b"1", 0) == (True, None)
    assert cache.begin(b"1", 1) == (False, None)
    cache.finish(b"1", Result(True, 7), 2)
    assert cache.begin(b"1", 600_001) == (False, Result(True, 7))
    assert cache.begin(b"1", 600_002) == (True, None)


def test_replies_are_bounded_and_the_oldest_answer_goes() -> None:
    cache = ReplyCache(most=2)
    for message_id in (b"1", b"2"):
        cache.begin(message_id, 0)
    with pytest.raises(Overloaded):
        cache.begin(b"3", 0)
    cache.finish(b"2", Result(True), 0)
    assert cache.begin(b"3", 0) == (True, None)
    assert len(cache) == 2
    assert cache.begin(b"1", 0) == (False, None)
