"""A host that starts on a damaged home says what is wrong and makes no new identity: that would orphan every device."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from tests.cli.full_disk import authority, start

from microclaw.auth.certificates import from_ms, new_authority

Damage = Callable[[Path], object]
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def whole_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a host that ran once."""
    home = tmp_path_factory.mktemp("whole") / "home"
    assert start(home, home.parent / "log") == "ready"
    return home


@pytest.fixture
def home(whole_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_home, tmp_path / "home"))


def _authority(home: Path) -> Path:
    return home / "identity" / "authority.pem"


def _without_its_key(home: Path) -> None:
    pem = _authority(home).read_text()
    _authority(home).write_text(pem[pem.index("-----BEGIN CERTIFICATE") :])


def _of_another_host(home: Path) -> None:
    _authority(home).write_bytes(new_authority(from_ms(1_700_000_000_000)).to_pem())


def _page_of_the_store(home: Path) -> None:
    with (home / "microclaw.db").open("r+b") as store:
        store.seek(4096)
        store.write(b"\xa5" * 4096)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "authority missing": (lambda home: _authority(home).unlink(), "begin-anew"),
    "key missing, certificate there": (_without_its_key, "begin-anew"),
    "authority of another host": (_of_another_host, "begin-anew"),
    "authority open to others": (lambda home: _authority(home).chmod(0o644), "chmod 600"),
    "store garbage": (lambda home: (home / "microclaw.db").write_bytes(b"\xa5" * 65_536), "restore"),
    "a page of the store": (_page_of_the_store, "restore"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_home_is_told_and_left_as_it_is(home: Path, name: str) -> None:
    damage, next_step = DAMAGES[name]
    damage(home)
    before = authority(home), (home / "microclaw.db").read_bytes()
    refusal = start(home, home.parent / "log")
    assert next_step in refusal
    assert (authority(home), (home / "microclaw.db").read_bytes()) == before
    assert "Traceback" not in (home.parent / "log").read_text()


def test_a_lost_store_beside_an_identity_is_a_question_and_a_new_one_keeps_that_identity(home: Path) -> None:
    """Its devices still know the host; what they prove themselves with must be given again."""
    before = authority(home)
    for path in home.glob("microclaw.db*"):
        path.unlink()
    refusal = start(home, home.parent / "log")
    assert "--new-store" in refusal
    assert not (home / "microclaw.db").exists()
    assert start(home, home.parent / "log", "--new-store") == "ready"
    assert authority(home) == before


def test_a_server_certificate_that_is_lost_is_made_again_by_the_same_authority(home: Path) -> None:
    before, server = authority(home), home / "identity" / "server.pem"
    server.unlink()
    assert start(home, home.parent / "log") == "ready"
    assert authority(home) == before
    made = x509.load_pem_x509_certificate(server.read_bytes())
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(_authority(home).read_bytes()))


def test_a_full_disk_is_told_and_makes_no_half_identity_and_no_second_one(tmp_path: Path) -> None:
    """On a real file system without a free byte, as far as this machine lets its users mount one."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-Urm", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs user namespaces: unshare -Urm")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        [unshare, "-Urm", sys.executable, "-m", "tests.cli.full_disk", str(place), str(tmp_path / "log")],
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
