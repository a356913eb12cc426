"""Settings: where things are, what is refused, and that the docs have them as they are declared."""

from __future__ import annotations

import os
import re
import runpy
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from microclaw.errors import ConfigError
from microclaw.host.config.load import find_mistakes, load_settings, read_database
from microclaw.host.config.places import MAX_SOCKET_PATH_BYTES


def test_home_comes_from_the_environment_and_is_private(tmp_path: Path) -> None:
    settings = load_settings({"MICROCLAW_HOME": str(tmp_path / "home")})
    assert (settings.home, settings.control_socket) == (tmp_path / "home", tmp_path / "home" / "control.sock")
    assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700
    given = load_settings({"MICROCLAW_HOME": str(tmp_path / "home")}, home=tmp_path / "two")  # the command line wins
    assert given.home == tmp_path / "two"


def test_home_that_others_may_enter_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    (shared / "theirs").touch()
    with pytest.raises(ConfigError):
        load_settings({}, home=shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755


@pytest.fixture
def short_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mc-", dir="/tmp") as folder:  # pytest's own can be too long for a socket
        yield Path(folder)


def test_socket_of_a_long_home_goes_to_a_short_private_place(tmp_path: Path, short_folder: Path) -> None:
    home = tmp_path / ("long" * 30)
    environ = {"XDG_RUNTIME_DIR": str(short_folder)}
    control = load_settings(environ, home=home).control_socket
    assert len(os.fsencode(control)) <= MAX_SOCKET_PATH_BYTES
    assert control.parent.parent == short_folder
    assert stat.S_IMODE(control.parent.stat().st_mode) == 0o700
    assert load_settings(environ, home=home / "other").control_socket != control
    elsewhere = load_settings({"XDG_RUNTIME_DIR": str(home)}, home=home).control_socket  # too long itself
    assert len(os.fsencode(elsewhere)) <= MAX_SOCKET_PATH_BYTES


def test_short_place_that_somebody_linked_elsewhere_is_refused(tmp_path: Path, short_folder: Path) -> None:
    (tmp_path / "mine").mkdir()
    (short_folder / f"microclaw-{os.getuid()}").symlink_to(tmp_path / "mine")
    environ = {"MICROCLAW_HOME": str(tmp_path / ("x" * 120)), "XDG_RUNTIME_DIR": str(short_folder)}
    with pytest.raises(ConfigError):
        load_settings(environ)
    assert not any((tmp_path / "mine").iterdir())


def test_a_database_with_a_password_in_its_address_is_refused_without_it() -> None:
    with pytest.raises(ConfigError) as refused:
        read_database("postgresql://microclaw:secret@db/microclaw")
    assert "secret" not in str(refused.value)


REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_table_of_settings_is_the_one_made_from_the_declaration() -> None:
    """If this fails: make docs."""
    script = runpy.run_path(str(REPOSITORY / "scripts" / "configuration_page.py"))
    page = (REPOSITORY / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert script["page"]() == page


def test_the_example_has_no_mistake(tmp_path: Path) -> None:
    example = PAGE.partition("```toml\n")[2].partition("```")[0]
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", example), "x")
    (tmp_path / "config.toml").write_text(example)
    assert find_mistakes(environ, tmp_path) == []
