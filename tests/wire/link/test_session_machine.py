"""Two ends over a pipe that drops, repeats, holds back and cuts, whose processes crash and whose storage is reset."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.wire.link.ends import End, ManualClock, connect, cut, exchange, join

from microclaw.wire.link.messages import Call, Event, Notify
from microclaw.wire.link.states import LinkPhase
from microclaw.wire.link.values import Sender

SIDES = st.sampled_from((0, 1))


class LossyLink(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 2**32))
    def start(self, seed: int) -> None:
        self.clock = ManualClock()
        random = Random(seed)
        self.ends = (End(Sender.HOST, self.clock, random), End(Sender.DEVICE, self.clock, random))
        join(*self.ends)
        self.sent: tuple[list[bytes], list[bytes]] = ([], [])  # by sender
        self.lost: set[bytes] = set()  # with a storage that was reset
        self.acked: set[bytes] = set()
        self.calls: dict[bytes, bool] = {}
        self.backups = [end.backup() for end in self.ends]
        for side, end in enumerate(self.ends):
            end.on_acked = self._acker(side)
        self.count = 0

    def _acker(self, side: int) -> Callable[[set[bytes]], None]:
        def note(ids: set[bytes]) -> None:
            assert ids <= set(self.ends[1 - side].inbox.effects), "acked without its effect"
            self.acked |= ids

        return note

    @property
    def is_up(self) -> bool:
        return self.ends[0].session.phase is not LinkPhase.DOWN

    @rule(side=SIDES, many=st.integers(1, 7))
    def send_durable(self, side: int, many: int) -> None:
        end = self.ends[side]
        for _ in range(many):
            self.count += 1
            body = Event("n", {"n": self.count}) if side else Notify(f"n {self.count}", False)
            message_id = b"durable " + self.count.to_bytes(8)
            end.session.send(body, message_id=message_id)
            self.sent[side].append(message_id)
        end.work()

    @rule(idempotent=st.booleans())
    def call(self, idempotent: bool) -> None:
        self.count += 1
        message_id = b"calling " + self.count.to_bytes(8)
        self.calls[message_id] = idempotent
        self.ends[0].call(Call("gpio.set", {}, idempotent), message_id)

    @precondition(lambda self: not self.is_up)
    @rule()
    def connect(self) -> None:
        connect(*self.ends)

    @precondition(lambda self: self.is_up)
    @rule(side=SIDES, many=st.integers(1, 5))
    def carry(self, side: int, many: int) -> None:
        end = self.ends[side]
        for _ in range(min(many, len(end.arriving))):
            end.receive_one()
        self._close_if_asked()

    @precondition(lambda self: self.is_up)
    @rule(rounds=st.integers(1, 3))
    def run(self, rounds: int) -> None:
        """The pipe works for a while: without it few examples would get as far as an ack."""
        for _ in range(rounds):
            exchange(*self.ends)
            self._pass(101)
        self._close_if_asked()

    @precondition(lambda self: not self.is_up)
    @rule(side=SIDES, carried=st.integers(1, 12))
    def connect_and_talk(self, side: int, carried: int) -> None:
        """A connection that works until it is left with messages on their way."""
        connect(*self.ends)
        self.send_durable(side, 3)
        for n in range(carried):
            if self.ends[n % 2].arriving:
                self.ends[n % 2].receive_one()
        self._close_if_asked()

    @precondition(lambda self: self.ends[0].arriving or self.ends[1].arriving)
    @rule(drop=st.booleans(), at=st.integers(0, 100))
    def drop_or_repeat(self, drop: bool, at: int) -> None:
        if at % 2:
            arriving = self.ends[0].arriving or self.ends[1].arriving
        else:
            arriving = self.ends[1].arriving
        if arriving and drop:
            del arriving[at % len(arriving)]
        elif arriving:
            arriving.insert(at % len(arriving), arriving[at % len(arriving)])

    @precondition(lambda self: self.ends[0].to_apply or self.ends[1].to_apply)
    @rule(side=SIDES)
    def apply(self, side: int) -> None:
        if self.ends[side].to_apply:
            self.ends[side].apply_one()

    @rule(ms=st.sampled_from((1, 60, 101, 5_001, 15_001, 30_001)))
    def wait(self, ms: int) -> None:
        self._pass(ms)
        self._close_if_asked()

    @rule(side=SIDES)
    def back_up(self, side: int) -> None:
        self.backups[side] = self.ends[side].backup()

    @rule(side=SIDES, what=st.sampled_from(("cut", "cut", "crash", "restore", "factory reset")))
    def disrupt(self, side: int, what: str) -> None:
        cut(*self.ends)
        end = self.ends[side]
        held = end.outbox.ids()
        if what == "restore":
            end.restore(self.backups[side])
        elif what == "factory reset":
            empty = End(end.role, self.clock, end.random)
            end.outbox = empty.outbox
            end.inbox = empty.inbox
            self.backups[side] = end.backup()
        if what != "cut":
            end.restart()
        self.lost |= held - end.outbox.ids()

    @invariant()
    def effects_are_once_and_in_order(self) -> None:
        for side in (0, 1):
            effects = self.ends[1 - side].inbox.effects
            order = [self.sent[side].index(message_id) for message_id in effects]
            assert order == sorted(set(order))

    @invariant()
    def calls_that_are_not_idempotent_have_one_effect(self) -> None:
        done = self.ends[1].carried_out
        assert all(n == 1 or self.calls[message_id] for message_id, n in done.items())

    @invariant()
    def what_is_on_its_way_is_bounded(self) -> None:
        for end in self.ends:
            out = end.session.outgoing
            assert out.sent - out.acked <= out.window

    def teardown(self) -> None:
        if not hasattr(self, "ends"):
            return
        for _ in range(8):  # a renewed epoch and a dropped message each cost a connection
            cut(*self.ends)
            connect(*self.ends)
            exchange(*self.ends)
        for _ in range(self.count):
            self._pass(101)
            exchange(*self.ends)
        for side, end in enumerate(self.ends):
            assert not end.outbox.rows
            assert set(self.sent[side]) <= self.acked | self.lost
        assert not self.ends[0].calls

    def _pass(self, ms: int) -> None:
        self.clock.ms += ms
        for end in self.ends:
            end.session.tick()
            end.work()
            end.give_up_overdue_calls()

    def _close_if_asked(self) -> None:
        if any(end.closes for end in self.ends):
            cut(*self.ends)


TestLossyLink = LossyLink.TestCase
TestLossyLink.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
