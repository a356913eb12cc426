"""`microclaw mcp install`: the right file, shown first, kept, and written only when it can be read."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from microclaw.errors import ConfigError
from microclaw.mcp.install import CLIENTS, entry, installing, own_command, settings_file, write

HOME = Path("/home/ada")


@pytest.mark.parametrize(
    ("client", "platform", "environ", "path"),
    [
        ("claude-desktop", "darwin", {}, "/home/ada/Library/Application Support/Claude/claude_desktop_config.json"),
        ("claude-desktop", "linux", {}, "/home/ada/.config/Claude/claude_desktop_config.json"),
        ("claude-desktop", "linux", {"XDG_CONFIG_HOME": "/c"}, "/c/Claude/claude_desktop_config.json"),
        ("claude-desktop", "win32", {"APPDATA": "/r"}, "/r/Claude/claude_desktop_config.json"),
        ("claude-code", "linux", {}, "/home/ada/.claude.json"),
        ("cursor", "darwin", {}, "/home/ada/.cursor/mcp.json"),
    ],
)
def test_each_client_has_its_file(client: str, platform: str, environ: dict[str, str], path: str) -> None:
    name = next(each for each in CLIENTS if each == client)
    assert settings_file(name, HOME, environ, platform) == Path(path)


def test_the_command_is_what_runs_now_as_an_absolute_path(tmp_path: Path) -> None:
    script = tmp_path / "microclaw"
    script.write_text("#!/bin/sh\n")
    assert own_command(str(script), executable="/py") == ["/py", "-m", "microclaw"]  # it cannot be run
    script.chmod(0o700)
    assert own_command(str(script), executable="/py") == [str(script)]
    assert own_command("-c", executable="/py") == ["/py", "-m", "microclaw"]
    cache = "/home/ada/.cache/uv/archive-v0/x"
    assert own_command(str(script), prefix=cache, uvx="/bin/uvx") == ["/bin/uvx", "microclaw"]
    assert own_command(str(script), prefix=cache, uvx=None) == [str(script)]


def test_a_home_of_its_own_is_part_of_the_entry() -> None:
    assert entry("cursor", ["/m"], Path("/h")) == {"command": "/m", "args": ["--home", "/h", "mcp"]}
    assert entry("claude-code", ["/m"], None) == {"type": "stdio", "command": "/m", "args": ["mcp"]}


def test_writing_keeps_a_backup_the_mode_and_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    real.write_text('{"mine": 1}')
    real.chmod(0o600)
    path = tmp_path / "link.json"
    path.symlink_to(real)
    backup = write(installing(path, {"command": "x"}), datetime(2026, 1, 2, 3, 4, 5))
    assert backup == tmp_path / "real.json.20260102-030405.bak"
    assert backup.read_text() == '{"mine": 1}'
    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert json.loads(real.read_text()) == {"mine": 1, "mcpServers": {"microclaw": {"command": "x"}}}


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text("{}")
    edit = installing(path, {"command": "x"})
    path.write_text('{"new": 1}')
    with pytest.raises(ConfigError, match="was changed meanwhile"):
        write(edit, datetime(2026, 1, 1))
    assert path.read_text() == '{"new": 1}'


def test_a_byte_order_mark_stays(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(b"\xef\xbb\xbf{}")
    write(installing(path, {"command": "x"}), datetime(2026, 1, 1))
    assert path.read_bytes().startswith(b"\xef\xbb\xbf{")


def run(home: Path, *words: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if key not in ("MICROCLAW_HOME", "XDG_CONFIG_HOME")}
    return subprocess.run(
        [sys.executable, "-m", "microclaw", "mcp", *words],
        input=answer,
        capture_output=True,
        text=True,
        timeout=60,
        env={**environ, "HOME": str(home)},
        check=False,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="HOME is another there")
@pytest.mark.parametrize("client", CLIENTS)
def test_install_and_uninstall_leave_the_file_as_it_was(tmp_path: Path, client: str) -> None:
    name = next(each for each in CLIENTS if each == client)
    path = settings_file(name, tmp_path, {})
    path.parent.mkdir(parents=True, exist_ok=True)
    before = '{\n    "mcpServers": {\n        "other": {"command": "x"}\n    }\n}\n'
    path.write_text(before)
    done = run(tmp_path, "install", client, "--yes")
    assert done.returncode == 0, done.stderr
    assert '+        "microclaw": {' in done.stdout
    written = json.loads(path.read_text())["mcpServers"]["microclaw"]
    assert Path(written["command"]).is_absolute()
    assert written["args"][-1] == "mcp"
    assert run(tmp_path, "uninstall", client, "--yes").returncode == 0
    assert path.read_text() == before
    assert len(list(path.parent.glob("*.bak"))) >= 1


def test_without_a_yes_nothing_is_written(tmp_path: Path) -> None:
    done = run(tmp_path, "install", "cursor")
    assert done.returncode == 1
    assert "microclaw" in done.stdout  # shown all the same
    assert "next: the same with --yes" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_is_named_with_its_line_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / ".claude.json"
    path.write_text('{\n  "a": 1\n  "b": 2\n}\n')
    done = run(tmp_path, "install", "claude-code", "--yes")
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "line 3, column 3" in done.stderr
    assert path.read_text() == '{\n  "a": 1\n  "b": 2\n}\n'


def test_a_client_nobody_knows_is_a_usage_error(tmp_path: Path) -> None:
    done = run(tmp_path, "install", "emacs")
    assert done.returncode == 2
    assert "claude-desktop, claude-code, cursor" in done.stderr


def test_two_changes_within_a_second_are_two_backups(tmp_path: Path) -> None:
    path, now = tmp_path / "mcp.json", datetime(2026, 1, 2)
    path.write_text("{}")
    kept = [write(installing(path, {"command": str(number)}), now) for number in range(3)]
    assert len(set(kept)) == 3
    assert kept[0] is not None
    assert kept[0].read_text() == "{}"


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "mcp.json"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        write(installing(path, {"command": "a"}), datetime(2026, 1, 2))
    assert list(tmp_path.iterdir()) == []
