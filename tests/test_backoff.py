from __future__ import annotations

from random import Random

from microclaw.backoff import Backoff


def test_waits_grow_to_a_minute_with_full_jitter() -> None:
    longest = Backoff(lambda: 1.0)
    shortest = Backoff(lambda: 0.0)
    assert [longest.next_wait_s() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert {shortest.next_wait_s() for _ in range(2_000)} == {0.5}


def test_a_thousand_devices_do_not_return_together() -> None:
    random = Random(1)
    waits = []
    for _ in range(1_000):
        backoff = Backoff(random.random)
        backoff.failures = 6
        waits.append(backoff.next_wait_s(5))
    assert min(waits) >= 5.5
    assert max(sum(low <= wait < low + 1 for wait in waits) for low in range(66)) < 50


def test_retry_after_is_honoured_and_zero_is_at_once() -> None:
    backoff = Backoff(lambda: 0.5)
    assert backoff.next_wait_s(10) == 10.75
    assert backoff.next_wait_s(0) == 0
    backoff.succeeded()
    assert backoff.next_wait_s() == 0.75
