"""A host that starts on a damaged home says what is wrong and makes no new identity: that would orphan every device."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from tests.interfaces.cli.full_disk import authority, start

TIMEOUT_S = 120


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a host that ran once."""
    assert start(tmp_path / "home", tmp_path / "log") == "ready"
    return tmp_path / "home"


def _authority(home: Path) -> Path:
    return home / "identity" / "authority.pem"


def _page_of_the_store(home: Path) -> None:
    with (home / "microclaw.db").open("r+b") as store:
        store.seek(4096)
        store.write(b"\xa5" * 4096)


def test_a_damaged_home_is_told_and_left_as_it_is_and_a_lost_certificate_is_made_again(home: Path) -> None:
    """Every damage of an authority is in tests/host/auth/identity."""
    log = home.parent / "log"
    server = home / "identity" / "server.pem"
    whole = _authority(home).read_bytes()
    _authority(home).unlink()
    assert "begin-anew" in start(home, log)
    assert authority(home) is None
    _authority(home).write_bytes(whole)
    _authority(home).chmod(0o600)
    server.unlink()
    assert start(home, log) == "ready"
    assert _authority(home).read_bytes() == whole
    made = x509.load_pem_x509_certificate(server.read_bytes())
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(whole))
    _page_of_the_store(home)
    before = (home / "microclaw.db").read_bytes()
    assert "restore" in start(home, log)
    assert ((home / "microclaw.db").read_bytes(), _authority(home).read_bytes()) == (before, whole)
    assert "Traceback" not in log.read_text()


def test_a_lost_store_beside_an_identity_is_a_question_and_a_new_one_keeps_that_identity(home: Path) -> None:
    """Its devices still know the host; what they prove themselves with must be given again."""
    before = authority(home)
    for path in home.glob("microclaw.db*"):
        path.unlink()
    assert "--new-store" in start(home, home.parent / "log")
    assert not (home / "microclaw.db").exists()
    assert start(home, home.parent / "log", "--new-store") == "ready"
    assert authority(home) == before


def test_a_full_disk_is_told_and_makes_no_half_identity_and_no_second_one(tmp_path: Path) -> None:
    """On a real file system without a free byte, as far as this machine lets its users mount one."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-Urm", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs user namespaces: unshare -Urm")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        [unshare, "-Urm", sys.executable, "-m", "tests.interfaces.cli.full_disk", str(place), str(tmp_path / "log")],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "ready" not in (found["new, full"], found["old, full"])
    assert found["authority after"] is None
    assert (found["new, room"], found["old, room"]) == ("ready", "ready"), found
    assert found["authority"] == found["authority when full"] == found["authority at last"] is not None
    assert found["running, full"] == ["store_unwritable 503", "store_unwritable 503", "store_unwritable"]
    assert found["running, room"] == ["ok", "ok"]
    assert "Read-only file system" in found["read-only"]
    assert "Traceback" not in (tmp_path / "log").read_text()
