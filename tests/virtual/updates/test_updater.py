"""Windows, trials and slots of one board. Checks of offers, bundles and plans: tests/firmware/test_ota_*.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.virtual.updates.bench import Board, Release, release

from microclaw.errors import ConfigError
from microclaw.virtual.updates.trust import read_trust
from microclaw.virtual.updates.updater import MAX_FAILURES, SILENCE_S, TRIAL_S, WINDOW_BYTES, Updater
from microclaw.wire.link.actions import TakeBlob
from microclaw.wire.link.states import LinkPhase

PIECE = 1008


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


def offer(board: Board, offered: Release) -> Updater:
    """Offered on a link that is ready; no window is answered."""
    updater = board.boot()
    updater.ready()
    updater.offered(offered.manifest, offered.signature)
    updater.go_on()
    return updater


def pieces(offered: Release, offset: int = 0, length: int = WINDOW_BYTES) -> list[TakeBlob]:
    data = offered.payload[offset : offset + length]
    key = offered.sha256[:8]
    return [TakeBlob(key, offset + at, data[at : at + PIECE]) for at in range(0, len(data), PIECE)]


def test_a_trial_without_a_welcome_is_three_starts_of_ten_minutes(board: Board) -> None:
    offered = release("1.2.0", size=100)
    updater = offer(board, offered)
    board.serve(updater, offered)
    facts = updater.facts()
    assert facts is not None
    assert (facts.board, facts.channel, facts.security_version) == ("esp32s3", "stable", 0)
    for _ in range(3):
        assert board.host.wants_restart
        updater = board.boot()
        assert board.booted[-1] == "1.2.0"
        board.host.now_s += TRIAL_S - 1
        updater.tick()
        assert not board.host.wants_restart
        board.host.now_s += 1
        updater.tick()
    assert board.host.wants_restart
    board.boot()
    assert board.booted[-1] == "1.0.0"
    assert board.host.last() == ("1.2.0", "rolled_back", "unhealthy: power_on")


def test_a_silent_host_is_asked_again_and_ten_failures_in_a_row_end_it(board: Board) -> None:
    updater = offer(board, release("1.2.0"))
    board.host.session.phase = LinkPhase.DOWN
    board.host.now_s += 100 * SILENCE_S  # without a link no window fails
    updater.tick()
    assert len(board.host.reads) == 1
    board.host.session.phase = LinkPhase.READY
    for asked in range(2, MAX_FAILURES + 1):
        board.host.now_s += SILENCE_S
        updater.tick()
        assert len(board.host.reads) == asked
    board.host.now_s += SILENCE_S
    updater.tick()
    assert board.host.last() == ("1.2.0", "failed", "download_failed: 10 windows in a row failed")


def test_pieces_that_nobody_asked_for_are_ignored(board: Board) -> None:
    """Another payload's, another offset's, too long ones, and all those after the last."""
    offered = release("1.2.0")
    other = release("1.3.0")
    updater = offer(board, offered)
    good = pieces(offered)
    for strange in (
        pieces(other)[0],
        good[1],
        TakeBlob(good[0].key, 1 << 24, good[0].data),
        TakeBlob(good[0].key, 0, bytes(WINDOW_BYTES + 1)),
    ):
        updater.take(strange)
    for piece in good:
        updater.take(piece)
        updater.take(piece)
    assert board.host.reads[-1].offset == WINDOW_BYTES
    rest = pieces(offered, WINDOW_BYTES)
    for piece in rest:
        updater.take(piece)
    end = len(offered.payload)
    for number in range(100):  # a host that does not stop
        updater.take(TakeBlob(good[0].key, end + number * PIECE, bytes(PIECE)))
    assert board.host.last()[1] == "rebooting"
    board.update(release("1.4.0"))
    assert board.booted[-1] == "1.4.0"


def test_a_board_without_a_clock_or_keys_takes_nothing(board: Board) -> None:
    for epoch_ms in (0, 86_400_000):  # 1970
        board.host.calendar.set_calendar(epoch_ms)
        offer(board, release("1.2.0"))
        assert board.host.last() == ("1.2.0", "refused", "no_clock")
    other = Board(board.folder.parent / "other", given=False)
    updater = other.boot()
    assert not updater.takes_updates
    assert updater.facts() is None


def test_a_damaged_slot_is_not_started(board: Board) -> None:
    board.update(release("1.2.0"))
    board.update(release("1.3.0"))
    assert board.slots is not None
    slot = board.slots.choice.slot
    (board.folder / slot / "start.mpy").write_bytes(b"damaged")
    board.boot()
    assert board.booted[-1] == "1.2.0"


def test_a_payload_is_compared_with_what_is_in_flash_and_the_next_offer_is_taken(board: Board) -> None:
    """A bit that does not take in flash is found, not started."""
    offered = release("1.2.0")
    updater = offer(board, offered)
    for piece in pieces(offered):
        updater.take(piece)
    (board.folder / "payload").write_bytes(bytes(WINDOW_BYTES))
    for piece in pieces(offered, WINDOW_BYTES):
        updater.take(piece)
    assert board.host.last() == ("1.2.0", "failed", "wrong_hash")
    board.update(offered)
    assert board.host.last() == ("1.2.0", "healthy", None)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n", b"{}"])
def test_what_is_no_key_is_not_trusted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys.pem").write_bytes(content)
    with pytest.raises(ConfigError):
        read_trust(tmp_path / "keys.pem")
