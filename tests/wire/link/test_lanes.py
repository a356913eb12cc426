from __future__ import annotations

import pytest

from microclaw.errors import LinkViolation
from microclaw.wire.link.lanes import Lane, LaneLimits, Lanes


def drain(lanes: Lanes, now_ms: float = 0) -> list[bytes]:
    return list(iter(lambda: lanes.take(now_ms), None))


def test_lanes_go_in_order_and_each_is_a_fifo() -> None:
    lanes = Lanes()
    for message, lane in ((b"\x01t", 2), (b"\x01c", 1), (b"\x04b", 3), (b"\x01s", 0), (b"\x02a", 0), (b"\x01d", 1)):
        lanes.put(message, Lane(lane), 0)
    assert drain(lanes) == [b"\x01s", b"\x02a", b"\x01c", b"\x01d", b"\x01t", b"\x04b"]
    assert not lanes.count


def test_full_telemetry_drops_the_oldest_and_counts_it_and_full_control_is_overload() -> None:
    lanes = Lanes(LaneLimits(telemetry=2, control=2))
    for n in range(5):
        lanes.put(bytes([1, n]), Lane.TELEMETRY, 0)
    assert drain(lanes) == [b"\x01\x03", b"\x01\x04"]
    assert lanes.telemetry_dropped == 3
    lanes.put(b"\x01a", Lane.CONTROL, 0)
    lanes.put(b"\x01b", Lane.CONTROL, 0)
    with pytest.raises(LinkViolation) as caught:
        lanes.put(b"\x01c", Lane.CONTROL, 0)
    assert caught.value.close_code == 1013


@pytest.mark.parametrize(("limits", "gap_ms"), [(LaneLimits(audio_age_ms=200), 100), (LaneLimits(media=3), 0)])
def test_old_audio_and_the_oldest_of_too_much_is_a_glitch_and_stream_messages_stay(
    limits: LaneLimits, gap_ms: int
) -> None:
    lanes = Lanes(limits)
    lanes.put(b"\x01start", Lane.MEDIA, 0)
    for n in range(4):
        lanes.put(bytes([3, n]), Lane.MEDIA, n * gap_ms)
    assert drain(lanes, 3.5 * gap_ms) == [b"\x01start", b"\x03\x02", b"\x03\x03"]
    assert lanes.glitches == 2


def test_bytes_are_limited_too_and_given_back() -> None:
    lanes = Lanes(LaneLimits(lane_bytes=10))
    for _ in range(5):
        lanes.put(bytes([1]) * 6, Lane.CONTROL, 0)
        assert lanes.depth(Lane.CONTROL) == 1
        assert lanes.take(0) == bytes([1]) * 6
    lanes.put(bytes([1]) * 6, Lane.CONTROL, 0)
    with pytest.raises(LinkViolation):
        lanes.put(bytes([1]) * 6, Lane.CONTROL, 0)
    for n in range(5):
        lanes.put(bytes([1]) * 6, Lane.TELEMETRY, n)
    assert lanes.depth(Lane.TELEMETRY) == 1
