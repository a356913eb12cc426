from __future__ import annotations

from random import Random

import cbor2
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
    Bye,
    Call,
    CancelStream,
    Envelope,
    ErrorMessage,
    Event,
    Hello,
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
    Welcome,
)
from microclaw.wire.link.sequence import OutboxCursor, StoredMessage
from microclaw.wire.link.states import MOVES, Phase, move
from microclaw.wire.link.values import Sender, TaskState

SHA256 = bytes(range(32))
AUDIO = bytes(640)


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


def test_handshake_tells_each_end_what_the_other_has(pair: Pair) -> None:
    assert pair.host.session.phase is pair.device.session.phase is Phase.READY
    greeting, welcome = pair.host.session.peer, pair.device.session.peer
    assert isinstance(greeting, Hello)
    assert isinstance(welcome, Welcome)
    assert (greeting.tx_epoch, greeting.rx_epoch, greeting.rx_seq) == (pair.device.outbox.epoch, None, 0)
    assert (welcome.tx_epoch, welcome.rx_epoch) == (pair.host.outbox.epoch, pair.device.outbox.epoch)
    assert (welcome.time_ms, welcome.heartbeat_s) == (pair.clock.unix_us() // 1000, 15)
    assert (welcome.limits.control_bytes, welcome.limits.audio_bytes) == (16_384, 2_048)
    assert pair.device.session.host_unix_ms == pair.host.session.host_unix_ms


def test_durable_message_is_persisted_then_sent_applied_acked_and_dropped(pair: Pair) -> None:
    message_id = pair.device.session.send(Event("button", {}))
    assert said(pair.device) == []
    pair.device.work()
    assert said(pair.device) == [Event("button", {})]
    pair.host.receive_one()
    assert pair.host.inbox.effects == []
    pair.pass_ms(1_000)
    assert said(pair.host) == []  # no ack before it is applied
    pair.host.apply_one()
    assert pair.host.inbox.effects == [message_id]
    pair.pass_ms(99)
    assert said(pair.host) == []
    pair.pass_ms(1)
    assert said(pair.host) == [Ack(1)]
    pair.settle()
    assert pair.device.outbox.rows == {}


def test_sixteen_applied_messages_are_acked_at_once(pair: Pair) -> None:
    for n in range(17):
        pair.device.session.send(Event("n", {"n": n}))
    pair.device.work()
    pair.settle()
    assert sorted(pair.device.outbox.rows) == [17]


def test_other_message_without_a_connection_is_refused() -> None:
    with pytest.raises(DeviceUnreachable):
        Pair().host.session.send(Call("gpio.get", {}, True))


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


def test_unknown_durable_type_is_acked_and_reported(pair: Pair) -> None:
    give(pair.device, control(Unknown("sing", {}), 1))
    pair.device.apply_one()
    pair.pass_ms(101)
    unknown, ack = said(pair.device)
    assert isinstance(unknown, ErrorMessage)
    assert (unknown.code, unknown.fatal, ack) == ("unknown_type", False, Ack(1))
    assert pair.device.inbox.effects == []


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        (b"", 4400, "malformed"),
        (b"\x01", 4400, "malformed"),
        (b"\x01\xff", 4400, "malformed"),
        (b"\x01" + bytes(16_385), 4413, "too_large"),
        (b"\x02" + bytes(2_049), 4413, "too_large"),
        (b"\x03" + AUDIO, 4400, "unexpected_message"),
        (control(hello()), 4400, "unexpected_message"),
        (control(PairRequest("virtual", token_wanted=True)), 4400, "unexpected_message"),
        (control(Notify("from a device", False), 1), 4400, "unexpected_message"),
        (control(Event("no number", {})), 4400, "malformed"),
        (control(Telemetry(1, 1, ()), 1), 4400, "malformed"),
        (control(Event("two before one", {}), 2), 4400, "sequence_gap"),
        (control(Ack(1)), 4400, "malformed"),
        (b"\x01" + cbor2.dumps({"v": 2, "type": "hello"}), 4400, "unsupported_version"),
    ],
)
def test_a_breach_is_told_and_closes(pair: Pair, message: bytes, code: int, reason: str) -> None:
    give(pair.host, message)
    last = said(pair.host)[-1]
    assert isinstance(last, ErrorMessage)
    assert (last.code, last.fatal) == (reason, True)
    assert [close.code for close in pair.host.closes] == [code]
    give(pair.host, control(Event("after the end", {}), 1))
    assert delivered(pair.host) == []


def test_a_breach_with_a_long_text_fits_the_close(pair: Pair) -> None:
    pair.host.session.phase = Phase.OFFERED
    give(pair.host, control(Unknown("ü" * 5_000, {})))
    assert len(pair.host.closes[0].reason.encode()) <= 123


def test_no_hello_times_out() -> None:
    pair = Pair()
    connect(pair.host)
    pair.pass_ms(4_999)
    assert not pair.host.closes
    pair.pass_ms(1)
    assert [close.code for close in pair.host.closes] == [4408]


def test_no_welcome_times_out() -> None:
    pair = Pair()
    connect(pair.device)
    pair.pass_ms(5_000)
    assert [close.code for close in pair.device.closes] == [4408]


def test_two_missed_pongs_end_the_connection(pair: Pair) -> None:
    for _ in range(2):
        pair.pass_ms(15_000)
        assert not pair.host.closes
    pair.pass_ms(15_000)
    assert [close.code for close in pair.host.closes] == [4408]


def test_answered_pings_keep_the_connection_and_measure_it(pair: Pair) -> None:
    pair.device.clock = pair.clock
    for _ in range(10):
        pair.pass_ms(15_000)
        pair.clock.ms += 7
        pair.settle()
    assert not pair.host.closes
    measured = [action for action in pair.host.seen if isinstance(action, actions.ReportRtt)]
    assert {action.rtt_ms for action in measured} == {7.0}


def test_more_unapplied_messages_than_allowed_is_overload(pair: Pair) -> None:
    for n in range(257):
        give(pair.host, control(Event("n", {"n": n}), n + 1))
    assert [close.code for close in pair.host.closes] == [1013]
    assert len(pair.host.to_apply) == 256


def test_pairing_that_takes_too_long_times_out() -> None:
    pair = Pair(pairing=PairRequest("virtual", token_wanted=True)).up()
    for _ in range(30):
        pair.pass_ms(10_000)
        pair.settle()
    assert [close.code for close in pair.host.closes] == [4408]


def test_orderly_close_says_when_to_come_back(pair: Pair) -> None:
    pair.host.session.close(1001, "shutting down", retry_after_s=5)
    pair.host.work()
    assert said(pair.host) == [Bye("shutting down", 5)]
    assert pair.host.closes == [actions.Close(1001, "shutting down", 5)]
    pair.device.receive_one()
    assert pair.device.closes == [actions.Close(1000, "bye", 5)]


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


def test_a_piece_of_an_update_comes_to_the_device(pair: Pair) -> None:
    give(pair.device, b"\x04" + SHA256[:8] + (16_384).to_bytes(4, "big") + b"piece")
    assert pair.device.seen[-1] == actions.TakeBlob(SHA256[:8], 16_384, b"piece")
    assert not pair.device.session.send_blob(SHA256, 0, b"piece")


def test_a_piece_of_an_update_goes_last(pair: Pair) -> None:
    assert pair.host.session.send_blob(SHA256, 16_384, b"piece")
    message = b"\x04" + SHA256[:8] + (16_384).to_bytes(4, "big") + b"piece"
    assert pair.host.session.next_action() == actions.Send(message, actions.Lane.BLOB)


def test_a_piece_of_an_update_from_a_device_is_a_breach(pair: Pair) -> None:
    give(pair.host, b"\x04" + bytes(13))
    assert pair.host.session.phase is Phase.LEFT


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


def test_messages_take_their_lanes(pair: Pair) -> None:
    pair.device.session.send(StartAsr(1, "pcm16", 16_000, "vad", 0))
    pair.device.session.send(Log("info", "blink", 1, "hi"))
    pair.device.session.send(Result(True), re=ID)
    pair.device.work()
    lanes = [action.lane for action in pair.device.seen[-3:] if isinstance(action, actions.Send)]
    assert lanes == [actions.Lane.MEDIA, actions.Lane.TELEMETRY, actions.Lane.CONTROL]


def test_a_message_of_the_other_end_is_not_sent(pair: Pair) -> None:
    with pytest.raises(ProtocolError):
        pair.host.session.send(Telemetry(1, 1, ()))


def test_a_peer_that_takes_less_is_sent_no_more() -> None:
    pair = Pair()
    pair.host.config = replace(pair.host.config, limits=FrameLimits(control_bytes=1_000))
    pair.host.restart()
    pair.up()
    with pytest.raises(ProtocolError):
        pair.device.session.send(Log("info", "blink", 1, "x" * 1_000))


def test_task_status_is_durable_in_its_final_states(pair: Pair) -> None:
    states: tuple[TaskState, ...] = ("running", "done")
    for state in states:
        pair.host.session.send(TaskStatus("t", state))
    pair.host.work()
    assert len(pair.host.outbox.rows) == 1


def test_every_message_has_one_place_and_a_sender() -> None:
    assert {type_ for _, type_ in MOVES} == MESSAGES.keys()
    assert move(Phase.READY, "of a later version") is Phase.READY
    for phase in (Phase.DOWN, Phase.OPEN, Phase.OFFERED, Phase.PAIRING, Phase.LEFT):
        with pytest.raises(LinkViolation):
            move(phase, "of a later version")
