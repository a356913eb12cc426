"""The power goes in every write, removal and commit of an update: it boots the old firmware or the new."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from pathlib import Path

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


def test_a_cut_in_any_operation_leaves_old_or_new_and_ends_in_new(tmp_path: Path) -> None:
    template, offered = prepared(tmp_path), release("1.2.0")
    at = 0
    while True:
        at += 1
        cuts = Cuts(at, seed=at)
        board = cut(template, tmp_path / "cut", cuts, offered)
        assert set(board.booted) <= {"1.1.0", "1.2.0"}, f"cut {at}"
        assert board.booted[-1] == "1.2.0", f"cut {at}"
        assert board.host.last()[:2] == ("1.2.0", "healthy"), f"cut {at}"
        assert "rolled_back" not in board.host.states, f"cut {at}"
        assert "refused" not in board.host.states, f"cut {at}"
        if cuts.done < at:
            break
    assert at > 30  # every operation of the update was one of them


def test_a_cut_in_any_operation_of_a_firmware_that_crashes_ends_in_the_old_one(tmp_path: Path) -> None:
    template, offered = prepared(tmp_path), release("1.2.0", fault="crash", size=3_000)
    at = 0
    while True:
        at += 1
        cuts = Cuts(at, seed=at)
        board = cut(template, tmp_path / "cut", cuts, offered)
        assert set(board.booted) == {"1.1.0"}, f"cut {at}"
        assert board.host.last() == ("1.2.0", "rolled_back", "unhealthy: power_on"), f"cut {at}"
        assert "healthy" not in board.host.states, f"cut {at}"
        if cuts.done < at:
            break
    assert at > 30


def test_many_cuts_in_one_update_leave_old_or_new(tmp_path: Path) -> None:
    """Too many during the trial are failed starts: it goes back then, and can be offered again."""
    template, offered = prepared(tmp_path), release("1.2.0", size=3_000)
    ends = set()
    for seed in range(40):
        chosen = random.Random(seed)
        shutil.copytree(template, tmp_path / "cut")
        board = Board(tmp_path / "cut", host=Host(), cuts=Cuts())
        for _ in range(12):
            board.cuts = Cuts(chosen.randint(1, 9), seed=chosen.randint(0, 99))
            once(board, offered)
            assert set(board.booted) <= {"1.1.0", "1.2.0"}, f"seed {seed}"
        board.cuts = Cuts()
        if board.host.statuses:
            ends.add(board.host.last()[1])
        board.update(offered)
        assert board.booted[-1] == "1.2.0", f"seed {seed}"
        assert board.host.last()[1] == "healthy", f"seed {seed}"
        shutil.rmtree(tmp_path / "cut")
    assert len(ends) > 1


def once(board: Board, offered: Release) -> None:
    """One boot, in which the host offers and serves, until it ends by itself or by the power."""
    with suppress(PowerCut):
        updater = board.boot()
        if not board.host.wants_restart:
            updater.ready()
            updater.offered(offered.manifest, offered.signature)
            updater.go_on()
            board.serve(updater, offered)


def test_a_cut_in_a_change_of_keys_leaves_the_old_or_the_new_ones(tmp_path: Path) -> None:
    change = packed(keys_manifest(name=NAME))
    signature = signer().sign(change)
    at, old, new = 0, (signer().key_id,), (signer(1).key_id,)
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
