from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace
from tests.wire.link.ends import End, ManualClock, connect, cut, exchange, hello, join
from tests.wire.link.examples import ID

from microclaw.errors import DeviceUnreachable, LinkViolation, ProtocolError, StoreError
from microclaw.wire.link import actions
from microclaw.wire.link.codec import decode, encode
from microclaw.wire.link.config import LinkConfig
from microclaw.wire.link.frame import FrameLimits, FrameType, encode_frame
from microclaw.wire.link.messages import (
    MESSAGES,
    Ack,
    AnyMessage,
    Call,
    CancelStream,
    Envelope,
    ErrorMessage,
    Event,
    Log,
    Notify,
    PairRequest,
    Result,
    StartAsr,
    StopAsr,
    TaskStatus,
    Telemetry,
    TtsEnd,
    TtsStart,
    Unknown,
)
from microclaw.wire.link.sequence import OutboxCursor, StoredMessage
from microclaw.wire.link.states import MOVES, Phase, move
from microclaw.wire.link.values import Sender, TaskState

SHA256 = bytes(range(32))
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


def control(body: AnyMessage | Unknown, seq: int | None = None) -> bytes:
    return encode_frame(FrameType.CONTROL, encode(Envelope(ID, body, 0, seq)))


def give(end: End, *messages: bytes) -> None:
    for message in messages:
        end.session.receive(message)
        end.work()


def said(end: End) -> list[AnyMessage | Unknown]:
    """The messages that `end` sent last and the other has not taken."""
    return [decode(message[1:]).body for message in end.peer.arriving if message[0] == 1]


def delivered(end: End) -> list[AnyMessage | Unknown]:
    return [action.envelope.body for action in end.seen if isinstance(action, actions.Deliver)]


def test_unacked_messages_are_sent_again_after_the_timeout(pair: Pair) -> None:
    pair.device.session.send(Event("button", {}))
    pair.device.work()
    pair.host.arriving.clear()
    pair.pass_ms(14_000)
    pair.settle()
    pair.pass_ms(15_999)
    pair.host.arriving.clear()
    pair.pass_ms(1)
    assert said(pair.device) == [Event("button", {})]
    assert pair.device.session.outgoing.replayed == 1


def test_expired_message_keeps_its_number_and_has_no_effect(pair: Pair) -> None:
    expires_ms = int(pair.host.session.host_unix_ms or 0) + 50
    pair.host.session.send(Notify("late", False, expires_ms))
    pair.host.session.send(Notify("in time", False))
    pair.host.work()
    pair.clock.ms += 60
    pair.settle()
    assert len(pair.device.inbox.effects) == 1
    assert pair.device.inbox.seq == 2


def test_a_devices_clock_that_runs_ahead_is_set_by_a_pong(pair: Pair) -> None:
    pair.device.session._host_ahead_ms = 3_600_000 + (
        pair.device.session._host_ahead_ms or 0
    )  # as a crystal does over months
    pair.pass_ms(pair.device.session.config.heartbeat_s * 1000 + 100)
    expires_ms = int(pair.host.session.host_unix_ms or 0) + 5_000
    pair.host.session.send(Notify("in time", False, expires_ms))
    pair.settle()
    assert len(pair.device.inbox.effects) == 1


def test_a_hole_in_the_outbox_is_an_error() -> None:
    pair = Pair()
    for _ in range(3):
        pair.host.session.send(Notify("n", False))
    pair.host.work()
    rows = pair.host.outbox.rows
    del rows[2]
    with pytest.raises(StoreError):
        pair.up()


def test_answers_of_the_stores_to_a_lost_connection_are_ignored(pair: Pair) -> None:
    pair.host.session.loaded(7, [StoredMessage(8, b"")])
    cut(pair.host, pair.device)
    pair.host.session.loaded(0, [StoredMessage(1, b"")])
    pair.host.session.epoch_renewed(OutboxCursor(b"epoch--2", 0, 0))
    assert pair.host.session.next_action() is None
    assert pair.host.session.outgoing.epoch == b"epoch--2"


def test_audio_is_heard_within_its_stream_only(pair: Pair) -> None:
    give(pair.host, b"\x02" + AUDIO)
    give(pair.host, control(StartAsr(3, "pcm16", 16_000, "wake", 0)), b"\x02" + AUDIO)
    give(pair.host, control(StopAsr(4, "not this one")), b"\x02" + AUDIO)
    give(pair.host, control(StopAsr(3, "silence")), b"\x02" + AUDIO)
    heard = [action for action in pair.host.seen if isinstance(action, actions.Hear)]
    assert [(hear.stream, len(hear.payload)) for hear in heard] == [(3, 640)] * 2


def test_cancelled_stream_is_purged_and_its_late_audio_dropped(pair: Pair) -> None:
    pair.host.session.send(TtsStart(2, "pcm16", 16_000))
    assert pair.host.session.send_audio(AUDIO)
    pair.host.work()
    pair.settle()
    pair.device.session.send(CancelStream(2))
    assert pair.host.session.send_audio(AUDIO)  # on its way when the device says stop
    pair.host.work()
    pair.device.work()
    pair.settle()
    assert actions.PurgeAudio(2) in pair.host.seen
    assert not pair.host.session.send_audio(AUDIO)
    pair.host.session.send(TtsEnd(2, "cancelled"))


def test_every_message_has_one_place_and_a_sender() -> None:
    assert {type_ for _, type_ in MOVES} == MESSAGES.keys()
    assert move(Phase.READY, "of a later version") is Phase.READY
    for phase in (Phase.DOWN, Phase.OPEN, Phase.OFFERED, Phase.PAIRING, Phase.LEFT):
        with pytest.raises(LinkViolation):
            move(phase, "of a later version")


def test_a_breach_is_told_once_and_nothing_after_it_is_heard(pair: Pair) -> None:
    """Every other breach: the page's vectors and tests/link."""
    for message, code, reason in (
        (b"\x02" + bytes(2_049), 4413, "too_large"),
        (control(hello()), 4400, "unexpected_message"),
        (control(PairRequest("virtual", token_wanted=True)), 4400, "unexpected_message"),
        (b"\x04" + bytes(13), 4400, "unexpected_message"),
        (control(Telemetry(1, 1, ()), 1), 4400, "malformed"),
        (control(Event("no number", {})), 4400, "malformed"),
        (control(Ack(1)), 4400, "malformed"),
        (b"\x03" + AUDIO, 4400, "unexpected_message"),
        (control(Notify("from a device", False), 1), 4400, "unexpected_message"),
        (control(Event("two before one", {}), 2), 4400, "sequence_gap"),
        (control(Unknown("ü" * 5_000, {}), 2), 4400, "sequence_gap"),
    ):
        pair = Pair().up()
        give(pair.host, message)
        last = said(pair.host)[-1]
        assert isinstance(last, ErrorMessage)
        assert (last.code, last.fatal) == (reason, True)
        assert [close.code for close in pair.host.closes] == [code]
        assert len(pair.host.closes[0].reason.encode()) <= 123
        give(pair.host, control(Event("after the end", {}), 1))
        assert delivered(pair.host) == []


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


def test_more_unapplied_messages_than_allowed_is_overload_and_sixteen_applied_ones_are_acked_at_once(
    pair: Pair,
) -> None:
    for n in range(17):
        pair.device.session.send(Event("n", {"n": n}))
    pair.device.work()
    pair.settle()
    assert sorted(pair.device.outbox.rows) == [17]
    for n in range(257):
        give(pair.host, control(Event("n", {"n": n}), n + 18))
    assert [close.code for close in pair.host.closes] == [1013]
    assert len(pair.host.to_apply) == 256


def test_a_piece_of_an_update_goes_last_and_from_the_host_alone(pair: Pair) -> None:
    message = b"\x04" + SHA256[:8] + (16_384).to_bytes(4, "big") + b"piece"
    assert pair.host.session.send_blob(SHA256, 16_384, b"piece")
    assert pair.host.session.next_action() == actions.Send(message, actions.Lane.BLOB)
    give(pair.device, message)
    assert pair.device.seen[-1] == actions.TakeBlob(SHA256[:8], 16_384, b"piece")
    assert not pair.device.session.send_blob(SHA256, 0, b"piece")


def test_messages_take_their_lanes_and_those_of_the_other_end_or_over_its_limit_are_not_sent() -> None:
    pair = Pair()
    with pytest.raises(DeviceUnreachable):
        pair.host.session.send(Call("gpio.get", {}, True))
    pair.host.config = replace(pair.host.config, limits=FrameLimits(control_bytes=1_000))
    pair.host.restart()
    pair.up()
    pair.device.session.send(StartAsr(1, "pcm16", 16_000, "vad", 0))
    pair.device.session.send(Log("info", "blink", 1, "hi"))
    pair.device.session.send(Result(True), re=ID)
    pair.device.work()
    lanes = [action.lane for action in pair.device.seen[-3:] if isinstance(action, actions.Send)]
    assert lanes == [actions.Lane.MEDIA, actions.Lane.TELEMETRY, actions.Lane.CONTROL]
    with pytest.raises(ProtocolError):
        pair.device.session.send(Log("info", "blink", 1, "x" * 1_000))
    with pytest.raises(ProtocolError):
        pair.host.session.send(Telemetry(1, 1, ()))
    for state in FINAL_LAST:
        pair.host.session.send(TaskStatus("t", state))
    pair.host.work()
    assert len(pair.host.outbox.rows) == 1
