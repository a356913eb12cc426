"""No command line has to carry a secret, where every account of the machine could read it (ps)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click import BadParameter
from tests.interfaces.cli.conftest import Run

from microclaw.errors import ConfigError
from microclaw.interfaces.cli.main import COMMANDS, load_command
from microclaw.interfaces.cli.options import MAX_SECRET_BYTES, secret_value

KEY = "sk-ant-api03-0123456789abcdef"
SECRET_WORDS = {"key", "token", "secret", "password", "passphrase"}


def test_a_secret_comes_from_a_file_or_stdin_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    assert secret_value("--model-key", f"@{tmp_path / 'key'}") == KEY
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\nmore\n"))
    assert secret_value("--model-key", "-") == KEY
    assert capsys.readouterr().err == ""
    with pytest.raises(BadParameter):
        secret_value("--model-key", KEY)
    for content in ("", "\n", "one\ntwo\n", "x" * (MAX_SECRET_BYTES + 1)):
        (tmp_path / "key").write_text(content)
        for name in ("key", "none"):
            with pytest.raises(ConfigError):
                secret_value("--model-key", f"@{tmp_path / name}")


def test_config_set_takes_a_secret_from_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    ran = run("config", "set", "search.api_key", f"@{tmp_path / 'key'}")
    assert (ran.code, "warning" in ran.err) == (0, False)
    assert KEY in (tmp_path / "home" / "secrets.toml").read_text()
    for value, warns in ((KEY, True), ("${MY_KEY}", False)):  # a variable's name is no secret
        ran = run("config", "set", "search.api_key", value)
        assert (ran.code, ran.err.startswith("warning: "), KEY in ran.err) == (0, warns, False)


def test_every_option_that_takes_a_secret_can_take_it_from_a_file() -> None:
    commands = [load_command(name) for name in COMMANDS]
    found = {name: metavar for command in commands for name, metavar in _options(command)}
    assert "--password" in found
    assert {name: metavar for name, metavar in found.items() if "FILE" not in metavar} == {}


def _options(command: Any) -> Iterator[tuple[str, str]]:
    """Name and metavar of each option of the command, and of its commands, that takes a secret."""
    for inner in getattr(command, "commands", {}).values():
        yield from _options(inner)
    for option in command.params:
        name = option.opts[-1]
        if option.param_type_name == "option" and set(name.strip("-").split("-")) & SECRET_WORDS and not option.is_flag:
            yield name, str(option.metavar)
