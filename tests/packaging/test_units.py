"""Units that start a host with the machine: systemd's, hardened so that bubblewrap still works, and launchd's file."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from microclaw.host.config.load import find_mistakes, load_settings

PLIST: Final = Path(__file__).parents[2] / "packaging/launchd/org.microclaw.host.plist"
UNIT: Final = Path(__file__).parents[2] / "packaging/systemd/microclaw.service"
LINES: Final = [line for line in UNIT.read_text().splitlines() if line and not line.startswith("#")]
SETTINGS: Final = dict(line.split("=", 1) for line in LINES if "=" in line)
needs_systemd: Final = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("MICROCLAW_CI"),
    reason="systemd is not on this machine",
)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """With a program and a person that are on this machine."""
    text = UNIT.read_text().replace("/opt/microclaw/bin/microclaw", sys.executable)
    text = re.sub(r"(?m)^(User|Group)=microclaw$", r"\1=daemon", text)
    copy = tmp_path / "microclaw.service"
    copy.write_text(text)
    return copy


@needs_systemd
def test_systemd_takes_it_without_a_word(unit: Path) -> None:
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_systemd_rates_its_exposure_below_what_it_calls_medium(unit: Path) -> None:
    done = analyze("security", "--offline=yes", "--no-pager", str(unit))
    found = re.search(r"exposure level for microclaw\.service: (\d+\.\d)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) < 7


def test_nothing_in_it_takes_from_bubblewrap_what_it_needs() -> None:
    """User and mount namespaces, mounts, and a /proc of its own, which the kernel refuses where one is covered."""
    forbidden = {
        "RestrictNamespaces",
        "SystemCallFilter",
        "PrivateUsers",
        "ProtectProc",
        "ProcSubset",
        "PrivateDevices",
    }
    forbidden |= {"ProtectKernelTunables", "ProtectKernelLogs", "ProtectControlGroups", "MemoryDenyWriteExecute"}
    assert forbidden.isdisjoint(SETTINGS)
    reasons = " ".join(line for line in UNIT.read_text().splitlines() if line.startswith("#"))
    assert [name for name in forbidden if name not in reasons] == []


def test_launchds_file_is_a_daemon_with_an_account_of_its_own_that_starts_the_same_command() -> None:
    daemon = plistlib.loads(PLIST.read_bytes())
    assert daemon["Label"] == PLIST.stem
    assert " ".join(daemon["ProgramArguments"]) == SETTINGS["ExecStart"]
    assert (daemon["KeepAlive"], daemon["RunAtLoad"], daemon["Umask"]) == ({"SuccessfulExit": False}, True, 0o077)
    assert daemon["UserName"] == daemon["GroupName"] == "_microclaw"  # macOS: accounts of services begin with it


def test_what_launchds_file_sets_is_what_a_host_reads(tmp_path: Path) -> None:
    environ: dict[str, str] = plistlib.loads(PLIST.read_bytes())["EnvironmentVariables"]
    settings = load_settings(environ)
    assert str(settings.home) == "/var/microclaw/home"
    assert str(settings.cache) == "/var/microclaw/cache"
    assert find_mistakes(environ, tmp_path / "home") == []
