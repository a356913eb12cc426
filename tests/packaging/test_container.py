"""The Containerfile, step by step: no engine builds it here, so each step's premises are tried without one."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest_asyncio
import yaml

from microclaw.app import running_host
from microclaw.host.config.load import find_mistakes, load_settings

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "packaging/container"


@dataclass(frozen=True)
class Step:
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


def steps(path: Path) -> list[Step]:
    """The instructions; a line that ends in a backslash goes on, a comment is none."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Step(*line.split(maxsplit=1)) for line in whole.splitlines()]


CONTAINER: Final = steps(FOLDER / "Containerfile")


def of(name: str, found: list[Step] = CONTAINER) -> list[Step]:
    return [step for step in found if step.name == name]


def test_it_runs_as_a_person_without_rights_with_a_volume_and_a_check() -> None:
    last = max(number for number, step in enumerate(CONTAINER) if step.name == "FROM")
    final = CONTAINER[last:]
    (user,) = of("USER", final)
    assert user.text == "1000:1000"
    assert final.index(user) > max(final.index(step) for step in (*of("RUN", final), *of("COPY", final)))
    assert [step.text for step in of("VOLUME", final)] == ["/data"]
    assert [step.text for step in of("EXPOSE", final)] == ["8080 8443"]
    (check,) = of("HEALTHCHECK", final)
    assert check.text.endswith('CMD ["/opt/microclaw/bin/python", "/opt/microclaw/healthcheck.py"]')


def test_its_variables_are_settings_that_a_host_takes(tmp_path: Path) -> None:
    (step,) = of("ENV")
    environ = dict(word.split("=", 1) for word in step.words) | {"MICROCLAW_HOME": str(tmp_path / "home")}
    settings = load_settings(environ)
    assert settings.host.http_tls == "own"
    assert str(settings.cache) == "/data/cache"
    assert find_mistakes(environ, tmp_path / "home") == []


def test_what_it_copies_is_there_and_builds_the_trees_wheel(tmp_path: Path) -> None:
    source = tmp_path / "src"
    for step in of("COPY"):
        if step.text.startswith("--from=build"):
            continue
        *names, target = step.words
        for name in names:
            assert (ROOT / name).exists(), name
            if target.endswith("/"):
                place = source / target / (name if "/" not in target else "")
            else:
                place = source / target
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                if target.endswith("/") and not place.suffix:
                    place = place / Path(name).name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, place)
    built = next(step for step in of("RUN") if "hatchling" in step.text)
    assert built.text == "PYTHONPATH=/tools python -m hatchling build -t wheel -d dist"
    release: dict[str, Any] = runpy.run_path(str(ROOT / "scripts/release.py"))
    theirs = release["build_wheel"](tmp_path / "theirs", 1_790_000_000, source)
    ours = release["build_wheel"](tmp_path / "ours", 1_790_000_000)
    assert theirs.read_bytes() == ours.read_bytes()


def test_its_environment_is_made_by_the_command_that_the_wheel_check_runs() -> None:
    made = next(step.words for step in of("RUN") if "setup_env" in step.text)
    options = {word for word in made if word.startswith("--")}
    check = (ROOT / "scripts/wheel_check.py").read_text()
    options.remove("--compile")  # there, who runs it may not write beside the modules
    assert options == {"--venv", "--lock", "--wheel"}
    assert all(f'"{option}"' in check for option in options)
    locked = next(step.text for step in of("RUN") if "--target /tools" in step.text)
    assert "--require-hashes --no-deps" in locked


def compose_service(text: str) -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load(text)["services"]["microclaw"]
    return service


def listens(service: dict[str, Any], home: Path) -> tuple[str | None, str | None]:
    """The addresses of the container's pages and link, by the image's variables and the file's."""
    (step,) = of("ENV")
    environ = dict(word.split("=", 1) for word in step.words) | service.get("environment", {})
    host = load_settings({**environ, "MICROCLAW_HOME": str(home)}).host
    return host.http_host, host.link


def test_compose_opens_no_door_to_the_network_and_gives_it_no_right(tmp_path: Path) -> None:
    """It has this machine's network, so each address that it listens on is this machine's own."""
    service = compose_service((FOLDER / "compose.yaml").read_text())
    assert service["network_mode"] == "host"
    assert "ports" not in service
    assert listens(service, tmp_path) == ("127.0.0.1", None)
    assert (service["cap_drop"], service["read_only"], "privileged" in service) == (["ALL"], True, False)
    assert "no-new-privileges:true" in service["security_opt"]


@pytest_asyncio.fixture
async def home(tmp_path: Path) -> AsyncIterator[Path]:
    async with running_host(load_settings({}, home=tmp_path / "home", http_port=None)):
        yield tmp_path / "home"


def healthy(home: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "MICROCLAW_HOME": str(home)}
    command = [sys.executable, str(FOLDER / "healthcheck.py")]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


async def test_the_check_asks_the_host_that_runs(home: Path) -> None:
    import asyncio

    done = await asyncio.to_thread(healthy, home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answers; failing: nothing" in done.stdout


def test_the_check_fails_without_a_host(tmp_path: Path) -> None:
    done = healthy(tmp_path / "home")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout
