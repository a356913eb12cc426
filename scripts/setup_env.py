"""Make the virtual environment that `make demo` and `make test` run in; installs nothing outside of it.

Uses only the standard library and runs on the system's own Python, so that a fresh machine needs nothing else.
Dependencies come from a lock file with hashes; the project itself is installed on top, editable.
A stamp in the environment says what it was made from, so a second call returns at once.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
BUILD_LOCK = "requirements-build.lock"
SOURCE_ONLY = ("esptool",)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", default=".venv", help="where the environment goes (default: .venv)")
    parser.add_argument("--lock", default="requirements.lock", help="the lock file with hashes")
    parser.add_argument("--wheel", help="install this wheel instead of the checkout")
    parser.add_argument("--compile", action="store_true", help="compile it now: who runs it may not write there")
    options = parser.parse_args()
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if sys.version_info < OLDEST:
        fail(
            f"Python {version} is too old, microclaw needs 3.11 or newer",
            "install python3.11 or newer, then run make again",
        )
    venv = (ROOT / options.venv).resolve()
    if options.wheel:
        project = Path(options.wheel).resolve()
    else:
        project = ROOT
    stamp = venv / ".made-from"
    wanted = fingerprint(ROOT / options.lock, project)
    if stamp.is_file() and stamp.read_text() == wanted:
        say(f"python {version} ok | {options.venv} ready ({count_packages(venv)} packages)")
        return
    if (ROOT / options.venv).is_symlink():
        fail(f"{options.venv} is a link to {venv}, which would be emptied", f"rm {options.venv}, then run make again")
    started = time.monotonic()
    say(f"python {version} ok | making {options.venv} from {options.lock} (about 600 MB, once)")
    make_venv(venv)
    python = venv / "bin" / "python"
    with tempfile.TemporaryDirectory() as tools:
        install_build_tools(python, Path(tools))
        install_locked(python, ROOT / options.lock, Path(tools))
        install_project(python, project, Path(tools))
    if options.compile:
        run_quietly([python, "-m", "compileall", "-q", "-j", "0", venv / "lib"])  # some files are of other versions
    build_c_library(python)
    stamp.write_text(wanted)
    took = time.monotonic() - started
    say(f"{options.venv} | {count_packages(venv)} packages, {size_mb(venv)} MB {bar(1.0)} {took:.0f} s")


def make_venv(venv):
    """Create the environment with whichever of venv, virtualenv and uv this machine has."""
    shutil.rmtree(venv, ignore_errors=True)
    tries = [[sys.executable, "-m", "venv", str(venv)], [sys.executable, "-m", "virtualenv", "-q", str(venv)]]
    uv = shutil.which("uv")
    if uv:
        tries.append([uv, "venv", "-q", "--seed", "--python", sys.executable, str(venv)])
    for command in tries:
        if run_quietly(command) and run_quietly([str(venv / "bin" / "python"), "-m", "pip", "--version"]):
            return
        shutil.rmtree(venv, ignore_errors=True)
    if bootstrap_virtualenv(venv):
        return
    fail(
        "this Python cannot make virtual environments (neither venv, virtualenv, uv nor pip is there)",
        "sudo apt-get install python3-venv   (or: make setup-system), then run make again",
    )


def bootstrap_virtualenv(venv):
    """Make a virtualenv of our own, outside of the system, where Debian left out ensurepip but pip is there."""
    own = venv.parent / (venv.name + "-bootstrap")
    made = run_quietly([sys.executable, "-m", "pip", "install", "-q", "--target", str(own), "virtualenv"])
    made = made and run_quietly([sys.executable, "-m", "virtualenv", "-q", str(venv)], PYTHONPATH=str(own))
    shutil.rmtree(own, ignore_errors=True)
    return made


def run_quietly(command, **more_environment):
    done = subprocess.run(command, env={**os.environ, **more_environment}, capture_output=True, check=False)
    return done.returncode == 0


def install_build_tools(python, tools):
    """Install the build lock's packages in the folder `tools`: the environment does not keep them."""
    command = [python, "-m", "pip", "install", "-q", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-compile", "--disable-pip-version-check", "--no-input", "--target", tools, "-r", ROOT / BUILD_LOCK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        fail(
            "pip could not install the locked build tools (its words are above)",
            "check the network or the package index, then run make again",
        )


def install_locked(python, lock, tools):
    """The locked dependencies as wheels; then `SOURCE_ONLY`, which publish none, built by the locked build tools."""
    rows = re.split(r"\n(?=[A-Za-z0-9])", lock.read_text())
    built = [row for row in rows if row.split("==")[0].strip() in SOURCE_ONLY]
    wheels = tools / "wheels.txt"
    wheels.write_text("\n".join(row for row in rows if row not in built) + "\n")
    pip_install(python, ["--only-binary", ":all:", "-r", wheels], len(rows))
    if built:
        sources = tools / "sources.txt"
        sources.write_text("\n".join(built) + "\n")
        # Only here: what pip sees among the build tools it would take for installed.
        pip_install(python, ["--no-build-isolation", "-r", sources], len(rows), PYTHONPATH=str(tools))


def pip_install(python, arguments, total, **more_environment):
    command = [python, "-m", "pip", "install", "--require-hashes", "--no-deps", "--no-compile", "--progress-bar", "off"]
    command += ["--disable-pip-version-check", "--no-input", *arguments]
    tail = []
    seen = 0
    environment = {**os.environ, **more_environment}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    ) as pip:
        for line in pip.stdout:
            tail = [*tail[-19:], line.rstrip()]
            if line.startswith(("Collecting", "Requirement already", "Ignoring")):
                seen += 1
                progress(0.85 * seen / max(total, 1), line.split()[1].split("==")[0])
            elif line.startswith("Installing collected"):
                progress(0.9, "installing")
    progress_end()
    if pip.returncode != 0:
        print("\n".join(tail), file=sys.stderr)
        fail(
            "pip could not install the locked dependencies (its last lines are above)",
            "check the network or the package index, then run make again",
        )


def install_project(python, project, tools):
    """The checkout, editable, or the wheel; built by what is in the folder `tools`."""
    command = [
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--no-input",
    ]
    if project.suffix == ".whl":
        command += [str(project)]
    else:
        command += ["-e", str(project)]
    environment = {**os.environ, "PYTHONPATH": str(tools)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        fail("the project itself could not be installed (pip's words are above)", "make clean, then run make again")


def build_c_library(python):
    """Build what the first program would wait for otherwise; where it fails, the host says why when it needs it."""
    command = [python, "-m", "microclaw.programs.wasm.libraries"]
    done = subprocess.run(command, cwd=python.parent, capture_output=True, text=True, check=False)
    say("C library ready" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2])


def fingerprint(lock, project):
    digest = hashlib.sha256()
    for path in (lock, ROOT / BUILD_LOCK, ROOT / "pyproject.toml", Path(__file__)):
        digest.update(path.read_bytes())
    digest.update(project.read_bytes() if project.suffix == ".whl" else str(project).encode())
    digest.update(sys.version.encode())
    return digest.hexdigest()


def count_packages(venv):
    return sum(1 for _ in venv.glob("lib/python*/site-packages/*.dist-info"))


def size_mb(venv):
    return sum(f.stat().st_size for f in venv.rglob("*") if f.is_file() and not f.is_symlink()) // 1_000_000


def bar(share):
    filled = round(10 * min(share, 1.0))
    return "[" + "#" * filled + "." * (10 - filled) + "]"


_shown = [0.0]


def progress(share, what):
    """One redrawn line on a terminal; elsewhere a line each quarter."""
    if sys.stdout.isatty():
        print(f"\rsetup    {bar(share)} {what[:50]:<50}", end="", flush=True)
    elif share - _shown[0] >= 0.25:
        _shown[0] = share
        say(f"{bar(share)} {what}")


def progress_end():
    if sys.stdout.isatty():
        print("\r" + " " * 79 + "\r", end="", flush=True)


def say(text):
    print(f"setup    {text}", flush=True)


def fail(what, next_step):
    print(f"setup    failed: {what}\nnext: {next_step}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
