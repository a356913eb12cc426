"""The link's flash: damage, factory reset; outbox and inbox on it. Kills: tests/virtual/link/test_kills.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.errors import ConfigError
from microclaw.virtual.link_client.flash import (
    STATE_FILE,
    Flash,
    FlashInbox,
    FlashOutbox,
    begin_reset,
)


def reopened(flash: Flash) -> Flash:
    flash.close()
    return Flash(flash.folder)


def test_a_damaged_file_is_an_error_and_never_an_empty_board(tmp_path: Path) -> None:
    flash = Flash(tmp_path)
    flash.commit({"a": b"first"})
    flash.close()
    (tmp_path / STATE_FILE).write_bytes(b"no database" * 100)
    with pytest.raises(ConfigError):
        Flash(tmp_path)


def test_a_factory_reset_is_finished_by_the_next_boot(tmp_path: Path) -> None:
    flash = Flash(tmp_path)
    flash.commit({"token": "t"})
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "x.wasm").write_bytes(b"x")
    begin_reset(tmp_path)
    flash = reopened(flash)
    assert flash.under("") == {}
    assert not (tmp_path / "modules").exists()


def test_an_effect_is_committed_once_with_its_number(tmp_path: Path) -> None:
    flash = Flash(tmp_path)
    inbox = FlashInbox(flash)
    assert inbox.advance(b"epoch---", 1, b"i" * 16, {"effect": 1})
    assert not inbox.advance(b"epoch---", 1, b"i" * 16, {"effect": 2})
    flash = reopened(flash)
    inbox = FlashInbox(flash)
    assert inbox.cursor() == (b"epoch---", 1)
    assert not inbox.advance(b"another-", 1, b"i" * 16, {"effect": 3})  # the host renewed: the same message again
    assert inbox.cursor() == (b"another-", 1)
    assert flash.get("effect") == 1


def test_numbers_have_no_gap_over_boots_and_what_is_not_acked_is_kept_in_order_by_a_renewal(tmp_path: Path) -> None:
    flash = Flash(tmp_path)
    outbox = FlashOutbox(flash)
    epoch = outbox.cursor().epoch
    assert [outbox.append(bytes([n]) * 16, bytes([n])) for n in range(4)] == [1, 2, 3, 4]
    assert outbox.append(bytes([1]) * 16, b"again") == 2
    outbox.ack(2)
    flash = reopened(flash)
    outbox = FlashOutbox(flash)
    assert outbox.cursor() == (epoch, 2, 4)
    assert outbox.unacked_after(0, 10) == [(3, b"\x02"), (4, b"\x03")]
    fresh = outbox.renew()
    assert (fresh.epoch != epoch, fresh.acked, fresh.last) == (True, 0, 2)
    outbox = FlashOutbox(reopened(flash))
    assert outbox.unacked_after(0, 10) == [(1, b"\x02"), (2, b"\x03")]
