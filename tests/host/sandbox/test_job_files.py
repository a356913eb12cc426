"""Files into a job and out of it: by explicit names, no link followed, nothing but plain files."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from microclaw.errors import TaskRefused
from microclaw.host.sandbox.job import SandboxEnd, SandboxJob, SandboxLimits
from microclaw.host.sandbox.run import run_sandboxed

LEAVES = """
import os, socket
SECRET = open("where").read()
open("plain.txt", "w").write("what it made")
os.makedirs("deep/er")
open("deep/er/file", "wb").write(bytes(1000))
os.symlink(SECRET, "link")
os.symlink("plain.txt", "inner-link")
os.symlink(os.path.dirname(SECRET), "folder-link")
os.symlink("deep", "inner-folder-link")
os.symlink("..", "up")
os.symlink("/proc/self/environ", "environ")
os.link("plain.txt", "second-name")
os.mkfifo("pipe")
os.mkdir("folder")
open("setuid", "w").write("#!/bin/sh")
os.chmod("setuid", 0o6777)
open("unreadable", "w").write("x")
os.chmod("unreadable", 0)
"""
REFUSED = (
    "link", "inner-link", "folder-link/secret", "inner-folder-link/er/file", "up/plain.txt", "environ", "second-name",
    "plain.txt", "pipe", "folder", "deep/er/file/more",
)  # fmt: skip
KEPT = ("deep/er/file", "setuid")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[SandboxEnd, Path]:
    tmp = tmp_path_factory.mktemp("files")
    (tmp / "secret").write_text("the secret")
    job = SandboxJob(
        command=["python3", "-c", LEAVES],
        files={"where": str(tmp / "secret").encode()},
        keep=[*REFUSED, *KEPT, "unreadable", "absent", "absent/deeper"],
        limits=SandboxLimits(disk_bytes=4 << 20),
    )
    end = asyncio.run(run_sandboxed(job, tmp / "own", lambda _: None))
    assert end.exit_code == 0
    return end, tmp / "own" / "files"


def test_what_is_no_plain_file_of_its_own_is_refused_and_others_are_kept_with_a_mode_of_ours(
    left: tuple[SandboxEnd, Path],
) -> None:
    end, place = left
    for name in REFUSED:
        assert end.refused[name]
        assert name not in end.kept
        assert not (place / name).exists()
    assert end.kept["deep/er/file"].read_bytes() == bytes(1000)
    assert end.kept["deep/er/file"].is_relative_to(place)
    assert {"absent", "absent/deeper"} <= end.refused.keys()
    assert stat.S_IMODE(end.kept["setuid"].stat().st_mode) == 0o600


def test_files_go_in_and_out_and_kept_ones_have_a_limit_together(tmp_path: Path) -> None:
    code = "cat data/in.csv b; echo more >> data/in.csv; rm b; ls -A; truncate -s 600000 one; truncate -s 600000 two"
    job = SandboxJob(
        command=["sh", "-c", code],
        files={"data/in.csv": b"1,2\n", "b": b"bytes\n"},
        keep=["data/in.csv", "one", "two"],
        limits=SandboxLimits(disk_bytes=1_000_000),
    )
    printed = bytearray()
    end = asyncio.run(run_sandboxed(job, tmp_path / "own", printed.extend))
    assert printed == b"1,2\nbytes\ndata\n"
    assert end.kept["data/in.csv"].read_text() == "1,2\nmore\n"
    assert set(end.kept) == {"data/in.csv", "one"}
    assert "too large" in end.refused["two"]


NAMES = (
    "../x", "a/../x", "/etc/passwd", "", ".", "a//b", "a/./b", "..", "a\0b", "a\nb", "x" * 300, "a/" * 20 + "b", "a/",
)  # fmt: skip


def test_a_name_that_leads_elsewhere_or_is_none_and_files_larger_than_the_disk_are_refused(tmp_path: Path) -> None:
    true = ["true"]
    small = SandboxLimits(disk_bytes=1 << 20)
    for job in (
        *(SandboxJob(command=true, files={name: b""}) for name in NAMES),
        *(SandboxJob(command=true, keep=[name]) for name in NAMES),
        SandboxJob(command=true, files={"x": bytes(2 << 20)}, limits=small),
    ):
        with pytest.raises(TaskRefused):
            asyncio.run(run_sandboxed(job, tmp_path, lambda _: None))
