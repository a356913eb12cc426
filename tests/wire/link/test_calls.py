from __future__ import annotations

import pytest

from microclaw.errors import Overloaded
from microclaw.wire.link.calls import Fate, PendingCalls, ReplyCache
from microclaw.wire.link.messages import Call, Result

ONCE = Call("apps.undo", {}, False)
AGAIN = Call("gpio.get", {}, True)


def test_a_call_is_sent_again_within_one_boot() -> None:
    calls = PendingCalls()
    calls.add(b"1", ONCE)
    assert calls.reconnected(b"boot") == ([(b"1", ONCE)], [])
    calls.sent(b"1", b"boot")
    assert calls.reconnected(b"boot") == ([(b"1", ONCE)], [])
    assert calls.answered(b"1") == ONCE
    assert calls.answered(b"1") is None


def test_after_a_reboot_what_is_not_idempotent_is_unknown() -> None:
    calls = PendingCalls()
    for message_id, call in ((b"1", ONCE), (b"2", AGAIN), (b"3", ONCE)):
        calls.add(message_id, call)
    calls.sent(b"1", b"boot")
    calls.sent(b"2", b"boot")
    assert calls.reconnected(b"other") == ([(b"2", AGAIN), (b"3", ONCE)], [(b"1", Fate.UNKNOWN)])
    assert len(calls) == 2


def test_a_call_that_is_given_up_says_whether_it_was_sent() -> None:
    calls = PendingCalls()
    calls.add(b"1", ONCE)
    calls.add(b"2", ONCE)
    calls.sent(b"2", b"boot")
    assert calls.give_up(b"1") is Fate.EXPIRED
    assert calls.give_up(b"2") is Fate.TIMED_OUT
    assert calls.give_up(b"2") is None
    assert len(calls) == 0


def test_pending_calls_are_bounded() -> None:
    calls = PendingCalls(most=1)
    calls.add(b"1", ONCE)
    with pytest.raises(Overloaded):
        calls.add(b"2", ONCE)


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
