"""`microclaw mcp install`: the right file, shown first, kept, and written only when it can be read."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microclaw.errors import ConfigError
from microclaw.mcp.server.install import CLIENTS, installing, own_command, settings_file, uninstalling, write

HOME = Path("/home/ada")
VALUE = {"command": "/bin/microclaw", "args": ["mcp"]}


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
    wheel = "file:///w/microclaw-1.whl"
    again = own_command(str(script), prefix=cache, uvx="/bin/uvx", source=wheel)
    assert again == ["/bin/uvx", "--from", f"microclaw @ {wheel}", "microclaw"]
    assert own_command(str(script), prefix=cache, uvx=None, source=wheel) == [str(script)]


def test_writing_keeps_a_backup_the_mode_and_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    real.write_text('{"mine": 1}')
    real.chmod(0o600)
    path = tmp_path / "link.json"
    path.symlink_to(real)
    backup = write(installing(path, {"command": "x"}), datetime(2026, 1, 2, 3, 4, 5))
    assert backup == tmp_path / "real.json.20260102-030405-000000.bak"
    assert backup.read_text() == '{"mine": 1}'
    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert json.loads(real.read_text()) == {"mine": 1, "mcpServers": {"microclaw": {"command": "x"}}}


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text("{}")
    edit = installing(path, {"command": "x"})
    path.write_text('{"new": 1}')
    with pytest.raises(ConfigError):
        write(edit, datetime(2026, 1, 1))
    assert path.read_text() == '{"new": 1}'


@pytest.mark.parametrize("text", ["", "\n", "{}", "{ }\n", '{"a": 1}', '{"mcpServers": {}}'])
def test_what_is_missing_on_the_way_is_made(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    assert json.loads(installing(path, VALUE).new)["mcpServers"] == {"microclaw": VALUE}


def test_an_entry_that_is_there_is_replaced_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{"mcpServers": {"microclaw": {"command": "old"}, "other": {}}}')
    edit = installing(path, VALUE)
    assert list(json.loads(edit.new)["mcpServers"].items()) == [("microclaw", VALUE), ("other", {})]
    path.write_text(edit.new)
    assert not installing(path, VALUE).changes


@pytest.mark.parametrize(
    "text",
    [
        '{\n  // mine\n  "mcpServers": {}\n}\n',
        '{\n  "mcpServers": {"other": {}} /* why */\n}\n',
        '{"mcpServers": {},}',
        "{\n",
        '{"a": 1} {"b": 2}',
        "[]",
        '{"a": 1, "a": 2}',
        '{"a": 1e999}',
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_what_is_not_plain_json_is_left_alone_and_the_entry_is_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        installing(path, VALUE)
    assert f'"microclaw": {json.dumps(VALUE)}' in str(caught.value.next_step)
    assert path.read_text() == text


def test_taking_out_of_a_file_with_comments_is_left_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{"mcpServers": {"microclaw": {}} /* mine */}')
    with pytest.raises(ConfigError):
        uninstalling(path)


@pytest.mark.parametrize("text", ["", "{}", '{"mcpServers": {"other": 1}}', '{"other":1}'])
def test_what_is_not_there_is_not_removed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    assert not uninstalling(path).changes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=4), st.sampled_from([None, 0, 2, "\t"]))
def test_any_settings_keep_their_other_values(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any], indent: Any
) -> None:
    path = tmp_path_factory.mktemp("any") / "s.json"
    document.pop("mcpServers", None)
    path.write_text(json.dumps(document, indent=indent))
    assert json.loads(installing(path, VALUE).new) == {**document, "mcpServers": {"microclaw": VALUE}}
    path.write_text(json.dumps({**document, "mcpServers": {"microclaw": 1, "other": [{}]}, "z": 0}, indent=indent))
    assert json.loads(uninstalling(path).new) == {**document, "mcpServers": {"other": [{}]}, "z": 0}


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
def test_install_and_uninstall_leave_the_file_as_it_was(tmp_path: Path) -> None:
    client: Final = "claude-code"
    path = settings_file(client, tmp_path, {})
    path.parent.mkdir(parents=True, exist_ok=True)
    before = json.dumps({"mcpServers": {"other": {"command": "x"}}}, indent=2) + "\n"
    path.write_text(before)
    done = run(tmp_path, "install", client, "--yes")
    assert done.returncode == 0, done.stderr
    assert '+    "microclaw": {' in done.stdout
    written = json.loads(path.read_text())["mcpServers"]["microclaw"]
    assert Path(written["command"]).is_absolute()
    assert written["args"][-1] == "mcp"
    assert run(tmp_path, "install", client, "--remove", "--yes").returncode == 0
    assert path.read_text() == before
    assert len(list(path.parent.glob("*.bak"))) >= 1
