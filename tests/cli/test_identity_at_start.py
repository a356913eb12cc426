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


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _without_its_key(home: Path) -> None:
    pem = _authority(home).read_text()
    _authority(home).write_text(pem[pem.index("-----BEGIN CERTIFICATE") :])


def _without_its_certificate(home: Path) -> None:
    pem = _authority(home).read_text()
    _authority(home).write_text(pem[: pem.index("-----BEGIN CERTIFICATE")])


def _of_another_host(home: Path) -> None:
    _authority(home).write_bytes(new_authority(from_ms(1_700_000_000_000), 1 << 70).to_pem())


def _page_of_the_store(home: Path) -> None:
    with (home / "microclaw.db").open("r+b") as store:
        store.seek(4096)
        store.write(b"\xa5" * 4096)


DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "authority missing": (lambda home: _authority(home).unlink(), "devices trust the authority in it", "begin-anew"),
    "authority empty": (lambda home: _authority(home).write_bytes(b""), "is damaged", "begin-anew"),
    "authority cut in half": (lambda home: _half(_authority(home)), "is damaged", "begin-anew"),
    "key missing, certificate there": (_without_its_key, "is damaged", "begin-anew"),
    "certificate missing, key there": (_without_its_certificate, "is damaged", "begin-anew"),
    "authority of another host": (_of_another_host, "not the authority that this host's devices trust", "begin-anew"),
    "authority open to others": (lambda home: _authority(home).chmod(0o644), "is not a private file", "chmod 600"),
    "folder open to others": (lambda home: (home / "identity").chmod(0o755), "is open to others", "chmod 700"),
    "store empty": (lambda home: (home / "microclaw.db").write_bytes(b""), "microclaw.db", "restore it from a backup"),
    "store garbage": (
        lambda home: (home / "microclaw.db").write_bytes(b"\xa5" * 65_536),
        "microclaw.db",
        "restore it from a backup",
    ),
    "store cut in half": (lambda home: _half(home / "microclaw.db"), "microclaw.db", "restore it from a backup"),
    "a page of the store": (_page_of_the_store, "microclaw.db", "restore it from a backup"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_home_is_told_and_left_as_it_is(home: Path, name: str) -> None:
    damage, said, next_step = DAMAGES[name]
    damage(home)
    before = authority(home), (home / "microclaw.db").read_bytes()
    refusal = start(home, home.parent / "log")
    assert said in refusal
    assert next_step in refusal
    assert (authority(home), (home / "microclaw.db").read_bytes()) == before
    assert "Traceback" not in (home.parent / "log").read_text()


def test_a_lost_store_beside_an_identity_is_a_question_and_a_new_one_keeps_that_identity(home: Path) -> None:
    """Its devices still know the host; what they prove themselves with must be given anew."""
    before = authority(home)
    for path in home.glob("microclaw.db*"):
        path.unlink()
    refusal = start(home, home.parent / "log")
    assert "is missing" in refusal
    assert "--new-store" in refusal
    assert not (home / "microclaw.db").exists()
    assert start(home, home.parent / "log", "--new-store") == "ready"
    assert authority(home) == before


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_server_certificate_that_is_lost_is_made_again_by_the_same_authority(
    home: Path, content: bytes | None
) -> None:
    before, server = authority(home), home / "identity" / "server.pem"
    server.unlink()
    if content is not None:
        server.write_bytes(content)
        server.chmod(0o600)
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
    for when in ("new, full", "old, full"):
        assert "the host did not start" in found[when], found
        assert "space" in found[when], found
    assert found["authority after"] is None
    assert (found["new, room"], found["old, room"]) == ("ready", "ready"), found
    assert found["authority"] == found["authority when full"] == found["authority at last"] is not None
    assert "Traceback" not in (tmp_path / "log").read_text()
