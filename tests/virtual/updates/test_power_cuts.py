"""The power goes in every write, removal and commit of an update: it boots the old firmware or the new."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from tests.firmware.ota_offers import keys_manifest, packed, signer
from tests.virtual.updates.bench import NAME, Board, Cuts, Host, PowerCut, Release, release


def prepared(folder: Path) -> Path:
    """A board with a firmware in both folders, of which 1.1.0 runs; the built-in one must never run again."""
    board = Board(folder / "prepared")
    board.update(release("1.0.5", size=7_000, extra="left.txt"))
    board.update(release("1.1.0", size=5_000))
    assert board.host.last() == ("1.1.0", "healthy", None)
    return board.folder


def cut(template: Path, folder: Path, cuts: Cuts, offered: Release) -> Board:
    shutil.copytree(template, folder)
    board = Board(folder, host=Host(), cuts=cuts)
    board.update(offered)
    shutil.rmtree(folder)
    return board


@pytest.mark.parametrize(
    ("offered", "ran", "end"),
    [
        (release("1.2.0"), {"1.1.0", "1.2.0"}, ("1.2.0", "healthy", None)),
        (release("1.2.0", fault="crash", size=3_000), {"1.1.0"}, ("1.2.0", "rolled_back", "unhealthy: power_on")),
    ],
    ids=["ends in the new one", "one that crashes ends in the old one"],
)
def test_a_cut_in_any_operation_leaves_old_or_new(
    tmp_path: Path, offered: Release, ran: set[str], end: tuple[str, str, str | None]
) -> None:
    template = prepared(tmp_path)
    at = 0
    while True:
        at += 1
        cuts = Cuts(at, seed=at)
        board = cut(template, tmp_path / "cut", cuts, offered)
        assert set(board.booted) <= ran, f"cut {at}"
        assert board.booted[-1] == max(ran), f"cut {at}"
        assert board.host.last()[:2] == end[:2], f"cut {at}"
        assert not {"rolled_back", "healthy", "refused"} - {end[1]} & set(board.host.states), f"cut {at}"
        if cuts.done < at:
            break
    assert board.host.last() == end
    assert at > 30  # every operation of the update was one of them


def test_a_cut_in_a_change_of_keys_leaves_the_old_or_the_new_ones(tmp_path: Path) -> None:
    change = packed(keys_manifest(name=NAME))
    signature = signer().sign(change)
    at = 0
    old = (signer().key_id,)
    new = (signer(1).key_id,)
    Board(tmp_path / "prepared").boot()
    while True:
        at += 1
        shutil.copytree(tmp_path / "prepared", tmp_path / "cut")
        board = Board(tmp_path / "cut", host=Host(), cuts=Cuts(at, seed=at))
        with suppress(PowerCut):
            board.boot().offered(change, signature)
        if board.cuts.done < at:
            break
        updater = board.boot()
        facts = updater.facts()
        assert facts is not None
        assert facts.keys in (old, new), f"cut {at}"
        updater.offered(change, signature)  # the host's message comes again: it was not acknowledged
        facts = updater.facts()
        assert facts is not None
        assert facts.keys == new, f"cut {at}"
        assert board.host.last() == ("keys-2", "healthy", None)
        shutil.rmtree(tmp_path / "cut")
    assert at > 1
