"""What is advised about a path: never a command that breaks the machine, and no traceback for a closed folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from microclaw.durable import mode_step

# Without these, root meets closed folders as an ordinary user does.
WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]


def microclaw(home: Path, *words: str) -> str:
    """Return what the command says on stderr, run as a user whom a closed folder stops."""
    order = [sys.executable, "-m", "microclaw", *words]
    if os.geteuid() == 0:
        order = [*WITHOUT_RIGHTS, *order]
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    end = subprocess.run(order, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert end.returncode in {1, 3}, end
    return end.stderr


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("backup", "make", "{closed}/b.age"),
        ("backup", "restore", "{closed}/b.age", "--old"),
        ("run", "{closed}/lamp.py"),
        ("device", "wiring", "desk", "{closed}/wiring.toml"),
        ("firmware", "keygen", "--out", "{closed}/k.pem"),
        ("firmware", "publish", "--board", "esp32s3", "--version", "1.0.0", "--key", "{closed}/k.pem"),
    ],
)
def test_a_folder_that_cannot_be_entered_is_named_without_a_traceback(
    tmp_path: Path, closed: Path, words: tuple[str, ...]
) -> None:
    text = microclaw(tmp_path, *(word.format(closed=closed) for word in words))
    assert "Permission denied" in text
    assert "Traceback" not in text
    assert "start the host again" not in text
    assert "chmod" not in text


def test_of_a_closed_home_nothing_is_said_that_nobody_saw(tmp_path: Path, closed: Path) -> None:
    text = microclaw(tmp_path, "--home", str(closed), "status")
    assert "cannot be entered" in text
    assert "belongs to another user" not in text


@pytest.mark.parametrize("place", ["file", "file/home"])
@pytest.mark.parametrize("command", ["status", "up"])
def test_a_home_that_is_a_file_is_named(tmp_path: Path, command: str, place: str) -> None:
    (tmp_path / "file").touch()
    text = microclaw(tmp_path, "--home", str(tmp_path / place), command)
    assert f"{place} is no folder" in text
    assert "microclaw up" not in text
    assert "chmod" not in text


@pytest.mark.parametrize(
    "words",
    [
        ("--home", "/etc", "up"),
        ("firmware", "publish", "--board", "esp32s3", "--version", "1.0.0", "--key", "/etc/passwd"),
    ],
)
def test_no_other_mode_is_advised_for_what_belongs_to_the_machine(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert "chmod" not in microclaw(tmp_path, *words)


def test_another_mode_is_advised_only_for_a_file_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "key"
    own.touch()
    assert mode_step("", "600", own) == f"chmod 600 {own}"
    assert mode_step("", "600", tmp_path / "absent") is None
    for path in ("/", "/etc", "/etc/passwd", "/usr/bin"):
        assert mode_step("", "700", Path(path)) is None


def test_status_refuses_a_choice_of_devices_that_it_would_ignore(tmp_path: Path) -> None:
    text = microclaw(tmp_path, "-d", "hall", "status")
    assert "microclaw device show NAME" in text
