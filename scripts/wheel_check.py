"""Builds the packages and tries them as people install them: pip, pipx and uvx, each into an empty environment.

Run: make wheel-check. The sdist's wheel must equal the tree's; twine checks the metadata and that the readme renders.
What is installed comes from the package registry in the versions of requirements.lock, and runs away from the checkout:
`--version`, `--help`, a program tried on the virtual board, and with pip the whole demo.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import release
import setup_env

P = ParamSpec("P")
R = TypeVar("R")
ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "requirements.lock"
TOOLS: Final = ROOT / ".venv-packages"
TOOLS_LOCK: Final = ROOT / "requirements-packages.lock"
PROGRAM: Final = """\
from machine import Pin
import time

led = Pin(2, Pin.OUT)
while True:
    led.toggle()
    time.sleep(0.5)
"""
WARM_S: Final = 1.0
"""The goal: uvx starts what it has in its cache so much later than an installed command does."""
EXPECTED: Final = "pin 2: period 1 s, duty 50 %\n"


def main() -> int:
    make_tools()
    with tempfile.TemporaryDirectory(prefix="microclaw-wheel-") as name:
        folder = Path(name)
        wheel = step("build", build, folder)
        environ = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        # uv trusts the authorities that it brings; pip, and who has a proxy of their own, the system's
        environ |= {"MICROCLAW_HOME": str(folder / "home"), "UV_NO_CONFIG": "1", "UV_SYSTEM_CERTS": "1"}
        (folder / "blink.py").write_text(PROGRAM)
        (folder / "blink.expect").write_text(EXPECTED)
        step("pip", with_pip, wheel, folder, environ)
        step("pipx", with_pipx, wheel, folder, environ)
        step("uvx", with_uvx, wheel, folder, environ)
    return 0


def step(name: str, work: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
    started = time.monotonic()
    found = work(*arguments, **options)
    print(f"{name:<8} ok  {time.monotonic() - started:.0f} s", flush=True)
    return found


def make_tools() -> None:
    """uv, pipx and twine in an environment of their own, made again when their lock changed."""
    stamp = TOOLS / ".made-from"
    if stamp.is_file() and stamp.read_text() == TOOLS_LOCK.read_text():
        return
    setup_env.make_venv(TOOLS)
    pip = [str(TOOLS / "bin/python"), "-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "--no-deps", "-r", str(TOOLS_LOCK)], os.environ, ROOT)
    stamp.write_text(TOOLS_LOCK.read_text())


def build(folder: Path) -> Path:
    """The wheel of the sdist, which has to be the tree's, byte for byte."""
    epoch = release.source_epoch()
    sdist, wheel = release.build_packages(folder / "dist", epoch)
    if release.build_wheel(folder / "tree", epoch).read_bytes() != wheel.read_bytes():
        raise SystemExit("the sdist builds another wheel than the tree: see [tool.hatch.build.targets.sdist]")
    release.constraints(wheel.parent)
    run([str(TOOLS / "bin/twine"), "check", "--strict", str(sdist), str(wheel)], os.environ, folder)
    return wheel


def with_pip(wheel: Path, folder: Path, environ: Mapping[str, str]) -> None:
    """As `make setup` and the container do: the lock's packages with their hashes, then the wheel."""
    words = ["--venv", ".venv-wheel", "--lock", LOCK.name, "--wheel", str(wheel)]
    run([sys.executable, str(ROOT / "scripts/setup_env.py"), *words], environ, ROOT)
    run([str(ROOT / ".venv-wheel/bin/python"), "-m", "pip", "check"], environ, folder)
    command = [str(ROOT / ".venv-wheel/bin/microclaw")]
    try_command(command, folder, environ)
    try:
        run([*command, "demo", "--once"], environ, folder)
    except SystemExit as failed:  # it counts edges in real time, which a busy machine delays: a fault fails twice
        print(f"{failed}\n         the demo once more", flush=True)
        run([*command, "demo", "--once"], environ, folder)


def with_pipx(wheel: Path, folder: Path, environ: Mapping[str, str]) -> None:
    own = {**environ, "PIPX_HOME": str(folder / "pipx"), "PIPX_BIN_DIR": str(folder / "pipx-bin")}
    own["PATH"] = f"{TOOLS / 'bin'}{os.pathsep}{environ['PATH']}"
    words = ["install", "-q", "--backend", "uv", "--python", sys.executable, "--pip-args", f"-c {locked(wheel)}"]
    run([str(TOOLS / "bin/pipx"), *words, str(wheel)], own, folder)
    try_command([str(folder / "pipx-bin/microclaw")], folder, environ)


def with_uvx(wheel: Path, folder: Path, environ: Mapping[str, str]) -> None:
    words = ["-q", "--constraints", str(locked(wheel)), "--python", sys.executable, "--from", str(wheel), "microclaw"]
    try_command([str(TOOLS / "bin/uvx"), *words], folder, environ)
    warm = [str(TOOLS / "bin/uvx"), "--offline", *words]
    found = run([*warm[:-1], "python", "-c", "import sys; print(sys.executable)"], environ, folder).strip()
    by_uvx_s = start_s([*warm, "--version"], environ, folder)
    installed_s = start_s([str(Path(found).with_name("microclaw")), "--version"], environ, folder)
    more_s = by_uvx_s - installed_s
    if more_s <= WARM_S:
        said = ""
    else:
        said = f": more than the goal of {WARM_S:g} s"
    print(f"         a warm start takes {by_uvx_s:.2f} s, installed {installed_s:.2f} s{said}", flush=True)


def start_s(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> float:
    """The median of five starts."""
    took: list[float] = []
    for _ in range(5):
        started = time.monotonic()
        run(command, environ, folder)
        took.append(time.monotonic() - started)
    return statistics.median(took)


def locked(wheel: Path) -> Path:
    return wheel.with_name("constraints.txt")


def try_command(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
    """Its version, its help, and a program that the virtual board of this very installation proves."""
    told = run([*command, "--version"], environ, folder)
    if told.split()[-1] != release.version_of():
        raise SystemExit(f"{' '.join(command)} --version says {told!r}")
    run([*command, "--help"], environ, folder)
    told = run([*command, "run", "--try", "blink.py", "--for", "10s", "--expect", "blink.expect"], environ, folder)
    if "met in the trial" not in told:
        raise SystemExit(f"the program was not proved:\n{told}")


def run(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"failed ({done.returncode}): {' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
