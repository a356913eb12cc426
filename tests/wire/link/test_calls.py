from __future__ import annotations

import pytest

from microclaw.errors import Overloaded
from microclaw.wire.link.calls import PendingCall, PendingCalls, ReplyCache
from microclaw.wire.link.messages import Call, Result

ONCE = Call("apps.undo", {}, False)
AGAIN = Call("gpio.get", {}, True)


def test_a_call_is_sent_again_within_one_boot_and_what_the_device_has_is_taken() -> None:
    calls = PendingCalls[PendingCall](most=3)
    never_sent, sent, had = PendingCall(call=ONCE), PendingCall(call=ONCE), PendingCall(call=AGAIN)
    sent.sent_in_boot = had.sent_in_boot = b"boot"
    for number, one in enumerate((never_sent, sent, had)):
        calls.add(b"%d" % number, one)
    with pytest.raises(Overloaded):
        calls.add(b"9", PendingCall(call=ONCE))
    assert calls.reconnected(b"boot") == ([(b"0", never_sent), (b"1", sent), (b"2", had)], [])
    assert (calls.take(b"1"), calls.take(b"1")) == (sent, None)
    assert calls.take_sent() == [had]
    assert len(calls) == 1


def test_a_repeated_call_has_its_first_answer_and_answers_are_bounded_and_the_oldest_goes() -> None:
    cache = ReplyCache(most=2)
    assert cache.begin(b"1", 0) == (True, None)
    assert cache.begin(b"1", 1) == (False, None)
    cache.finish(b"1", Result(True, 7), 2)
    assert cache.begin(b"1", 600_001) == (False, Result(True, 7))
    assert cache.begin(b"1", 600_002) == (True, None)
    cache.begin(b"2", 600_002)
    with pytest.raises(Overloaded):
        cache.begin(b"3", 600_002)
    cache.finish(b"2", Result(True), 600_002)
    assert cache.begin(b"3", 600_002) == (True, None)
    assert len(cache) == 2
    assert cache.begin(b"1", 600_002) == (False, None)
