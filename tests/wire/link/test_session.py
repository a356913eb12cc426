from __future__ import annotations

from random import Random

import pytest
from tests.wire.link.ends import End, ManualClock, connect, exchange, join, welcome
from tests.wire.link.examples import ID

from microclaw.errors import DeviceUnreachable, ProtocolError
from microclaw.wire.link import actions
from microclaw.wire.link.lanes import Lane
from microclaw.wire.link.messages import (
    Call,
    CancelStream,
    Event,
    Log,
    Notify,
    PairRequest,
    Result,
    StartAsr,
    TaskStatus,
    Telemetry,
    TtsEnd,
    TtsStart,
)
from microclaw.wire.link.session import LinkConfig
from microclaw.wire.link.values import Sender, TaskState

AUDIO = bytes(640)
FINAL_LAST: tuple[TaskState, ...] = ("running", "done")  # one that is durable


class Pair:
    def __init__(self, **device: object) -> None:
        self.clock = ManualClock()
        config = LinkConfig()
        self.host = End(Sender.HOST, self.clock, Random(1), config=config)
        self.device = End(Sender.DEVICE, self.clock, Random(2), config=config, **device)  # type: ignore[arg-type]
        join(self.host, self.device)

    def up(self) -> Pair:
        connect(self.host, self.device)
        exchange(self.host, self.device)
        return self

    def settle(self) -> None:
        exchange(self.host, self.device)

    def pass_ms(self, ms: float) -> None:
        self.clock.ms += ms
        for end in (self.host, self.device):
            end.session.tick()
            end.work()


@pytest.fixture
def pair() -> Pair:
    return Pair().up()


def test_a_devices_clock_that_runs_ahead_is_set_by_a_pong(pair: Pair) -> None:
    pair.device.session._host_ahead_ms = 3_600_000 + (
        pair.device.session._host_ahead_ms or 0
    )  # as a crystal does over months
    pair.pass_ms(pair.device.session.config.heartbeat_s * 1000 + 100)
    expires_ms = int(pair.host.session.host_unix_ms or 0) + 5_000
    pair.host.session.send(Notify("in time", False, expires_ms))
    pair.settle()
    assert len(pair.device.inbox.effects) == 1


def test_cancelled_stream_is_purged_and_its_late_audio_dropped(pair: Pair) -> None:
    pair.host.session.send(TtsStart(2, "pcm16", 16_000))
    assert pair.host.session.send_audio(AUDIO)
    pair.host.work()
    pair.settle()
    pair.device.session.send(CancelStream(2))
    pair.device.work()
    assert pair.host.session.send_audio(AUDIO)  # queued when the device says stop
    pair.host.session.receive(pair.host.arriving.popleft())
    assert pair.host.session.lanes.count == 0
    pair.settle()
    assert not pair.host.session.send_audio(AUDIO)
    pair.host.session.send(TtsEnd(2, "cancelled"))


def test_silence_ends_a_greeting_a_pairing_and_a_ready_connection() -> None:
    for side in ("host", "device"):
        pair = Pair()
        end: End = getattr(pair, side)
        connect(end)
        pair.pass_ms(4_999)
        assert not end.closes
        pair.pass_ms(1)
        assert [close.code for close in end.closes] == [4408]
    pair = Pair(pairing=PairRequest("virtual", token_wanted=True)).up()
    for _ in range(30):
        pair.pass_ms(10_000)
        pair.settle()
    assert [close.code for close in pair.host.closes] == [4408]
    pair = Pair().up()
    for _ in range(10):
        pair.pass_ms(15_000)
        pair.clock.ms += 7
        pair.settle()
    assert not pair.host.closes
    assert {action.rtt_ms for action in pair.host.seen if isinstance(action, actions.ReportRtt)} == {7.0}
    for ended in ([], [], [4408]):  # the third ping finds two without an answer
        pair.pass_ms(15_000)
        assert [close.code for close in pair.host.closes] == ended


def test_sixteen_applied_messages_are_acked_at_once(pair: Pair) -> None:
    for n in range(17):
        pair.device.session.send(Event("n", {"n": n}))
    pair.device.work()
    pair.settle()
    assert sorted(pair.device.outbox.rows) == [17]


def test_messages_take_their_lanes_and_those_of_the_other_end_or_over_its_limit_are_not_sent() -> None:
    pair = Pair()
    with pytest.raises(DeviceUnreachable):
        pair.host.session.send(Call("gpio.get", {}, True))
    pair.host.session.opening = welcome(control_bytes=1_000)
    pair.up()
    pair.device.session.send(StartAsr(1, "pcm16", 16_000, "vad", 0))
    pair.device.session.send(Log("info", "blink", 1, "hi"))
    pair.device.session.send(Result(True), re=ID)
    assert [pair.device.session.lanes.depth(lane) for lane in Lane] == [1, 1, 1, 0]
    pair.device.work()
    with pytest.raises(ProtocolError):
        pair.device.session.send(Log("info", "blink", 1, "x" * 1_000))
    with pytest.raises(ProtocolError):
        pair.host.session.send(Telemetry(1, 1, ()))
    for state in FINAL_LAST:
        pair.host.session.send(TaskStatus("t", state))
    pair.host.work()
    assert len(pair.host.outbox.rows) == 1
