"""The choice of a backend, the refusal where there is none, and the command that starts an engine of containers.

The engine is a stand-in that writes its words down and starts the command in the folder that it was given: there is no
engine here to try them on.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from microclaw.errors import NoSandbox
from microclaw.host.config.settings import SandboxSettings
from microclaw.host.sandbox import bubblewrap, container, run
from microclaw.host.sandbox.job import SandboxEnd, SandboxJob, SandboxLimits

ENGINE = """#!{python}
import json, os, signal, subprocess, sys
words, home = sys.argv[1:], {home!r}
with open(home + "/calls", "a") as log:
    log.write(json.dumps(words) + "\\n")
if words[0] == "kill":
    os.killpg(int(open(home + "/group").read()), signal.SIGKILL)
elif words[0] == "run":
    at = words.index("an-image")
    mount = dict(part.partition("=")[::2] for part in words[words.index("--mount") + 1].split(","))
    command = [words[words.index("--entrypoint") + 1], *words[at + 1:]]
    begun = subprocess.Popen(command, cwd=mount["source"], stdin=0, start_new_session=True)
    open(home + "/group", "w").write(str(begun.pid))
    code = begun.wait()
    sys.exit(code if code >= 0 else 128 - code)
elif words[0] == "image" and words[-1] != "an-image":
    sys.exit(1)
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is all of PATH: nothing in it shuts a program off."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for parent in (tmp_path, *list(tmp_path.parents)[:3]):  # root's jobs are started as somebody else
        parent.chmod(parent.stat().st_mode | 0o011)
    monkeypatch.setenv("PATH", str(programs))
    known = (bubblewrap.bubblewrap, run._by_bubblewrap, container.container_engine)
    for one in known:
        one.cache_clear()
    yield programs
    for one in known:
        one.cache_clear()


def add_program(path: Path, name: str, text: str) -> None:
    (path / name).write_text(text)
    (path / name).chmod(0o755)


def add_engine(path: Path, name: str) -> None:
    add_program(path, name, ENGINE.format(python=sys.executable, home=str(path)))


def calls(path: Path) -> list[list[str]]:
    return [json.loads(line) for line in (path / "calls").read_text().splitlines()]


SETTINGS = SandboxSettings(backend="container", image="an-image")


def run_job(
    tmp_path: Path, command: str, settings: SandboxSettings = SETTINGS, printed: list[bytes] | None = None, **more: Any
) -> SandboxEnd:
    job = SandboxJob(command=["/bin/sh", "-c", command], **more)
    return asyncio.run(run.run_sandboxed(job, tmp_path / "own", ([] if printed is None else printed).append, settings))


@pytest.mark.parametrize(
    ("bwrap", "why"),
    [
        pytest.param(None, "bubblewrap is not installed", id="none"),
        pytest.param("echo 'bwrap: No permissions' >&2\nexit 1", "No permissions", id="no namespaces"),
        pytest.param("exit 0", "bubblewrap cannot make a sandbox here", id="silent"),
    ],
)
def test_without_a_sandbox_nothing_is_run(bwrap: str | None, why: str, path: Path, tmp_path: Path) -> None:
    if bwrap is not None:
        add_program(path, "bwrap", f"#!/bin/sh\n{bwrap}\n")
    with pytest.raises(NoSandbox, match=why) as refused:
        run_job(tmp_path, f"touch {tmp_path}/ran", SandboxSettings())
    assert "Docker" in (refused.value.next_step or "")
    with pytest.raises(NoSandbox, match="switched off"):
        run.sandbox_backend(SandboxSettings(backend="off"))
    assert not (tmp_path / "ran").exists()


def test_a_chosen_one_that_is_missing_is_not_replaced(path: Path) -> None:
    with pytest.raises(NoSandbox):
        run.sandbox_backend(SETTINGS)
    add_engine(path, "docker")
    with pytest.raises(NoSandbox):
        run.sandbox_backend(SandboxSettings(backend="bubblewrap", image="an-image"))
    for backend in ("container", "auto"):
        assert "docker" in run.sandbox_backend(SandboxSettings(backend=backend, image="an-image")).text
    with pytest.raises(NoSandbox) as refused:
        run.sandbox_backend(SandboxSettings(backend="container", image="another-image"))
    assert refused.value.next_step == "docker pull another-image"


def test_words_of_an_engine(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROCLAW_TEST_SECRET", "x")
    add_engine(path, "podman")
    limits = SandboxLimits(memory_bytes=64 << 20, processes=16, disk_bytes=4 << 20, cpu_s=9)
    given: dict[str, Any] = {"files": {"in": b"given\n"}, "keep": ["out"]}
    printed: list[bytes] = []
    end = run_job(tmp_path, "/bin/cat in; echo made > out", printed=printed, limits=limits, **given)
    assert (end.ending, end.exit_code, b"".join(printed)) == ("ended", 0, b"given\n")
    assert end.kept["out"].read_text() == "made\n"
    assert not (tmp_path / "own" / "job").exists()
    started = next(words for words in calls(path) if words[0] == "run")
    text = " ".join(started)
    for words in (
        "--network none", "--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", "--pull never",
        "--memory 67108864 --memory-swap 67108864", "--pids-limit 16", "--ulimit cpu=10:10", "--ulimit core=0:0",
        "--ulimit fsize=4194304:4194304", "--tmpfs /tmp:rw,nosuid,nodev,size=4194304",
        "--tmpfs /run:rw,nosuid,nodev,size=4194304 --tmpfs /var/tmp:rw,nosuid,nodev,size=4194304", "--env HOME=/job",
        "--workdir /job", "target=/job", "--oom-score-adj 1000",
    ):  # fmt: skip
        assert words in text
    assert "--privileged" not in text
    assert started[started.index("--user") + 1].split(":")[0] != "0"
    assert calls(path)[-1][:2] == ["rm", "--force"]
    assert {name for name in container.engine_environment() if not name.startswith(("DOCKER_", "CONTAINER_"))} <= {
        "PATH", "HOME", "XDG_RUNTIME_DIR",
    }  # fmt: skip


DEEP = f"n=0; while [ $n -lt 30 ]; do /bin/mkdir {'x' * 200}; cd -P {'x' * 200}; n=$((n+1)); done; exec /bin/sleep 60"
FILL = "n=0; while :; do /bin/dd if=/dev/zero of=x$n bs=1000000 count=1 2>/dev/null; n=$((n+1)); done"


@pytest.mark.parametrize(
    ("command", "limits", "ending"),
    [
        ("echo begun; exec /bin/sleep 60", SandboxLimits(wall_s=0.2), "timed_out"),
        (FILL, SandboxLimits(disk_bytes=3 << 20, wall_s=60), "disk_full"),
        (DEEP, SandboxLimits(wall_s=60), "disk_full"),  # what is below cannot be measured
    ],
)
def test_a_container_is_killed_by_its_engine(
    command: str, limits: SandboxLimits, ending: str, path: Path, tmp_path: Path
) -> None:
    add_engine(path, "docker")
    assert run_job(tmp_path, command, limits=limits).ending == ending
    assert "kill" in [words[0] for words in calls(path)]


def test_the_proxys_socket_is_the_only_way_out_of_a_container(tmp_path: Path) -> None:
    job = SandboxJob(command=["true"], proxy_socket=tmp_path / "proxy.sock")
    words = container.engine_words("podman", "an-image", "name", job, tmp_path / "job")
    assert words[words.index("--network") + 1] == "none"
    assert f"type=bind,source={tmp_path}/proxy.sock,target=/run/microclaw-proxy" in words
    assert "HTTPS_PROXY=http://127.0.0.1:8118" in words
    with pytest.raises(NoSandbox, match="comma"):
        container.engine_words("docker", "i", "n", job, tmp_path / "a,b")
