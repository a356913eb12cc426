"""`microclaw mcp install`: the right file, shown first, kept, and written only when it can be read."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.errors import ConfigError
from microclaw.mcp.server.install import CLIENTS, edited, settings_file, write

VALUE = {"command": "/bin/microclaw", "args": ["mcp"]}


@pytest.mark.skipif(sys.platform != "linux", reason="platformdirs knows the other systems")
def test_each_client_has_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert [str(settings_file(client)) for client in CLIENTS] == [
        "/home/ada/.config/Claude/claude_desktop_config.json",
        "/home/ada/.claude.json",
        "/home/ada/.cursor/mcp.json",
    ]
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/ada/elsewhere")
    monkeypatch.setattr(sys, "platform", "darwin")
    folder = settings_file("claude-desktop").parent
    assert str(folder) == "/home/ada/Library/Application Support/Claude"


def test_writing_keeps_a_backup_the_mode_and_a_link_and_no_later_change_is_lost(tmp_path: Path) -> None:
    real, path = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text('{"mine": 1}')
    real.chmod(0o600)
    path.symlink_to(real)
    edit = edited(path, {"command": "x"})
    backup = write(edit, datetime(2026, 1, 2, 3, 4, 5))
    assert backup == tmp_path / "real.json.20260102-030405-000000.bak"
    assert backup.read_text() == '{"mine": 1}'
    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert json.loads(real.read_text()) == {"mine": 1, "mcpServers": {"microclaw": {"command": "x"}}}
    with pytest.raises(ConfigError):
        write(edit, datetime(2026, 1, 1))  # it was made for the file of before


@pytest.mark.parametrize(
    "text",
    ['{\n  // mine\n  "mcpServers": {}\n}\n', '{\n  "mcpServers": {"other": {}} /* why */\n}\n', '{"mcpServers": {},}',
     "{\n", '{"a": 1} {"b": 2}', "[]", '{"a": 1, "a": 2}', '{"a": 1e999}',
     '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"],
)  # fmt: skip
def test_what_is_not_plain_json_is_left_alone_and_the_entry_is_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        edited(path, VALUE)
    assert f'"microclaw": {json.dumps(VALUE)}' in str(caught.value.next_step)
    assert path.read_text() == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4), st.sampled_from([None, 0, 2, "\t"]))
def test_any_settings_keep_their_other_values(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any], indent: Any
) -> None:
    path = tmp_path_factory.mktemp("any") / "s.json"
    document.pop("mcpServers", None)
    path.write_text(json.dumps(document, indent=indent))
    assert json.loads(edited(path, VALUE).new) == {**document, "mcpServers": {"microclaw": VALUE}}
    path.write_text(json.dumps({**document, "mcpServers": {"microclaw": 1, "other": [{}]}, "z": 0}, indent=indent))
    assert json.loads(edited(path, None).new) == {**document, "mcpServers": {"other": [{}]}, "z": 0}


def test_install_and_uninstall_leave_the_file_as_it_was(tmp_path: Path) -> None:
    path, before = tmp_path / ".claude.json", json.dumps({"mcpServers": {"other": {"command": "x"}}}, indent=2) + "\n"
    path.write_text(before)
    environ = {key: value for key, value in os.environ.items() if key not in ("MICROCLAW_HOME", "XDG_CONFIG_HOME")}

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "microclaw", "mcp", "install", "claude-code", "--yes", *words]
        env = {**environ, "HOME": str(tmp_path)}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=True).stdout

    assert '+    "microclaw": {' in run()
    written = json.loads(path.read_text())["mcpServers"]["microclaw"]
    assert Path(written["command"]).is_absolute()
    assert written["args"][-1] == "mcp"
    run("--remove")
    assert path.read_text() == before
    assert list(path.parent.glob("*.bak")) != []
