"""Files are whole or as they were, and private ones are private."""

from __future__ import annotations

import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from microclaw.durable import (
    _check_no_device,
    make_folders,
    make_private_folder,
    read_private,
    replace_file,
    write_given,
    write_private,
)
from microclaw.errors import ConfigError, StoreError


@contextmanager
def disk_full_after(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to let files grow past this size, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"one")
    write_private(tmp_path / "key", b"two")
    assert read_private(tmp_path / "key") == b"two"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert read_private(tmp_path / "none") is None


@pytest.mark.parametrize("room", [0, 500])
def test_full_disk_leaves_the_old_file_and_no_half_one(tmp_path: Path, room: int) -> None:
    with disk_full_after(room), pytest.raises(StoreError):
        write_private(tmp_path / "first", b"n" * 1000)
    write_private(tmp_path / "key", b"old")
    with disk_full_after(room), pytest.raises(StoreError):
        write_private(tmp_path / "key", b"n" * 1000)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("key", b"old")]


def test_link_in_the_files_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"key")
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError):
        read_private(tmp_path / "key")


def test_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "identity")
    (tmp_path / "identity").chmod(0o755)
    with pytest.raises(StoreError):
        make_private_folder(tmp_path / "identity")


@pytest.mark.parametrize(("mode", "kept"), [(None, 0o640), (0o600, 0o600)])
def test_a_files_mode_is_kept_or_given(tmp_path: Path, mode: int | None, kept: int) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o640)
    replace_file(tmp_path / "file", b"new", mode=mode)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "file").stat().st_mode & 0o777 == kept
    replace_file(tmp_path / "first", b"new", mode=mode)
    assert (tmp_path / "first").stat().st_mode & 0o777 == 0o600


def test_what_a_crash_left_is_removed_by_the_only_writer(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"half")
    replace_file(tmp_path / "file", b"whole", only_writer=True)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("file", b"whole")]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"other")
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere")
    replace_file(tmp_path / "file", b"new", sync=False)
    assert (tmp_path / "elsewhere").read_bytes() == b"other"
    assert not (tmp_path / "file").is_symlink()


def test_folders_made_above_a_file_are_private_too(tmp_path: Path) -> None:
    make_folders(tmp_path / "memory" / "people" / "one")
    made = [tmp_path / "memory", tmp_path / "memory" / "people", tmp_path / "memory" / "people" / "one"]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in made] == [0o700] * 3


def test_a_device_is_never_replaced(tmp_path: Path) -> None:
    """Somebody writes `-o /dev/null`, and is root."""
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    with pytest.raises(OSError, match="it is a device"):
        replace_file(link, b"x")
    with pytest.raises(ConfigError, match="it is a device"):
        write_given(link, [b"x"], replace=True)
    with pytest.raises(OSError, match="it is a device"):
        _check_no_device(Path("/dev/stdout"))  # a link, that root would replace
    assert link.is_symlink()
    assert list(tmp_path.iterdir()) == [link]
