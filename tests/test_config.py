"""Settings: where things are, what is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from microclaw.config import MAX_SOCKET_PATH_BYTES, load_settings
from microclaw.errors import ConfigError


def test_home_comes_from_the_environment_and_is_private(tmp_path: Path) -> None:
    settings = load_settings({"MICROCLAW_HOME": str(tmp_path / "home")})
    assert settings.home == tmp_path / "home"
    assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700
    assert settings.control_socket == tmp_path / "home" / "control.sock"


def test_home_given_on_the_command_line_wins(tmp_path: Path) -> None:
    settings = load_settings({"MICROCLAW_HOME": str(tmp_path / "one")}, home=tmp_path / "two")
    assert settings.home == tmp_path / "two"


def test_home_that_others_may_enter_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    (shared / "theirs").touch()
    with pytest.raises(ConfigError, match="open to other users"):
        load_settings({}, home=shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755


def test_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot use"):
        load_settings({}, home=tmp_path / "file")


def test_socket_of_a_long_home_goes_to_a_short_private_place(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    runtime = tmp_path / "run"
    settings = load_settings({"XDG_RUNTIME_DIR": str(runtime)}, home=home)
    assert len(os.fsencode(settings.control_socket)) <= MAX_SOCKET_PATH_BYTES
    assert settings.control_socket.parent.parent == runtime
    assert stat.S_IMODE(settings.control_socket.parent.stat().st_mode) == 0o700
    other = load_settings({"XDG_RUNTIME_DIR": str(runtime)}, home=home / "other")
    assert other.control_socket != settings.control_socket


def test_model_settings_come_from_the_environment_and_keys_are_not_shown(tmp_path: Path) -> None:
    environ = {
        "ANTHROPIC_API_KEY": " sk-secret ",
        "OPENAI_BASE_URL": "http://localhost:11434/v1",
        "MICROCLAW_MODEL": "",
    }
    model = load_settings(environ, home=tmp_path / "home").model
    assert model.anthropic_api_key == "sk-secret"
    assert model.openai_base_url == "http://localhost:11434/v1"
    assert model.model is None
    assert model.configured
    assert "sk-secret" not in repr(model)


def test_base_url_that_is_no_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL"):
        load_settings({"OPENAI_BASE_URL": "localhost:11434"}, home=tmp_path / "home")


@pytest.mark.parametrize("port", [-1, 65536])
def test_port_out_of_range_is_refused(tmp_path: Path, port: int) -> None:
    with pytest.raises(ConfigError, match="port"):
        load_settings({}, home=tmp_path / "home", http_port=port)
