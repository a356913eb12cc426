"""Who a host is to NATS: passwords, tokens and keys from files, also when they change, and no secret is told."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.cluster.hosts_of_tests import until
from tests.cluster.nats_servers import one_server

from microclaw.cli.main import main
from microclaw.cluster.connection import Cluster, connected
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.errors import ConfigError

SECRET: Final = "word-of-tests"
LETTERS: Final = {"O": 14 << 3, "A": 0, "U": 20 << 3}


class Key:
    """A key pair in NATS' form: `kind` is O (operator), A (account) or U (user)."""

    def __init__(self, kind: str) -> None:
        self._key, self._kind = Ed25519PrivateKey.generate(), LETTERS[kind]
        self.public = _text(bytes([self._kind]) + self._key.public_key().public_bytes_raw())
        first = bytes([18 << 3 | self._kind >> 5, (self._kind & 31) << 3])
        self.seed = _text(first + self._key.private_bytes_raw())

    def jwt(self, subject: str, claims: dict[str, Any]) -> str:
        """Signed by this key."""
        body = {"jti": secrets.token_hex(8), "iat": 1_700_000_000, "iss": self.public, "sub": subject, "nats": claims}
        parts = [_base64(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body)]
        return ".".join([*parts, _base64(self._key.sign(".".join(parts).encode()))])


@asynccontextmanager
async def signed_on(settings: ClusterSettings) -> AsyncIterator[Cluster]:
    async with connected(settings, name="h") as cluster:
        assert await cluster.jetstream.account_info() is not None
        yield cluster


def file_with(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


async def refused(settings: ClusterSettings) -> ConfigError:
    with pytest.raises(ConfigError) as found:
        async with connected(settings, name="h"):
            pass
    assert SECRET not in f"{found.value.message} {found.value.next_step}"
    return found.value


async def test_a_password_that_changes_does_not_end_a_host(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server that reads its users anew ends the connections of those that are not the same."""
    caplog.set_level(logging.DEBUG)
    file = file_with(tmp_path, f"{SECRET}\n")
    users = "authorization {{ users: [{{ user: fleet, password: {} }}] }}"
    login = {"user": "fleet", "pass": SECRET}
    with one_server(tmp_path / "nats", extra=users.format(SECRET), login=login) as server:
        settings = ClusterSettings(nats=server.url, user="fleet", password_file=file)
        async with signed_on(settings) as cluster:
            server.extra = users.format("another-word")
            server.reload()
            await until(lambda: "check cluster.user" in caplog.text, "the host does not see that it is refused")
            file_with(tmp_path, "another-word")
            await until(lambda: cluster.connected, "the host is not back")
            assert await cluster.jetstream.account_info() is not None
        assert "cluster.password_file" in ((await refused(_with(settings, user="other"))).next_step or "")
    assert SECRET not in caplog.text
    assert "another-word" not in caplog.text


async def test_a_token_is_a_password_without_a_user(tmp_path: Path) -> None:
    login = {"auth_token": SECRET}
    with one_server(tmp_path / "nats", extra=f"authorization {{ token: {SECRET} }}", login=login) as server:
        settings = ClusterSettings(nats=server.url, password_file=file_with(tmp_path, SECRET))
        async with signed_on(settings):
            pass
        await refused(_with(settings, password_file=file_with(tmp_path, "wrong")))


async def test_a_key_signs_on_by_its_seed(tmp_path: Path) -> None:
    key, other = Key("U"), Key("U")
    users = f"users: [{{ nkey: {key.public} }}, {{ user: tests, password: tests }}]"
    login = {"user": "tests", "pass": "tests"}
    with one_server(tmp_path / "nats", extra=f"authorization {{ {users} }}", login=login) as server:
        settings = ClusterSettings(nats=server.url, credentials_file=file_with(tmp_path, f"{key.seed}\n"))
        async with signed_on(settings):
            pass
        file_with(tmp_path, other.seed)
        assert "cluster.credentials_file" in ((await refused(settings)).next_step or "")


async def test_credentials_of_nats_sign_on(tmp_path: Path) -> None:
    operator, system, account, user = Key("O"), Key("A"), Key("A"), Key("U")
    limits = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1, "conn": -1, "subs": -1}
    limits |= {"leaf": -1, "imports": -1, "exports": -1, "data": -1, "payload": -1, "wildcards": True}
    form = {"version": 2}
    accounts = {
        key.public: operator.jwt(key.public, {"type": "account", **form, **more})
        for key, more in ((system, {}), (account, {"limits": limits}))
    }
    preload = ", ".join(f"{name}: {jwt}" for name, jwt in accounts.items())
    extra = (
        f"operator: {operator.jwt(operator.public, {'type': 'operator', **form})}\nresolver: MEMORY\n"
        f"system_account: {system.public}\nresolver_preload {{ {preload} }}"
    )
    of_user = account.jwt(user.public, {"type": "user", **form, "subs": -1, "data": -1, "payload": -1})
    credentials = (
        f"-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\nIMPORTANT\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
    extra += f'\njetstream {{ store_dir: "{tmp_path}/data" }}'
    with one_server(tmp_path / "nats", extra=extra, jetstream=False) as server:  # its check has no such key
        settings = ClusterSettings(nats=server.url, credentials_file=file_with(tmp_path, credentials))
        async with signed_on(settings):
            pass


async def test_files_of_no_use_are_named_before_anybody_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    of_account, broken = Key("A").seed, Key("U").seed[:-9] + "A" * 9
    wrong = {"password_file": ["", "\udcff", "two\nlines"], "credentials_file": ["", "no seed", of_account, broken]}
    for setting, texts in wrong.items():
        for text in texts:
            path.write_text(text, errors="surrogateescape")
            found = await refused(_with(ClusterSettings(nats="nats://127.0.0.1:9"), **{setting: str(path)}))
            assert f"cluster.{setting} {path}" in found.message
        path.unlink()
        missing = await refused(_with(ClusterSettings(nats="nats://127.0.0.1:9"), **{setting: str(path)}))
        assert "cannot be read: No such file" in missing.message


async def test_a_password_that_every_user_can_read_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    login = {"auth_token": SECRET}
    with one_server(tmp_path / "nats", extra=f"authorization {{ token: {SECRET} }}", login=login) as server:
        file = file_with(tmp_path, SECRET, 0o644)
        async with signed_on(ClusterSettings(nats=server.url, password_file=file)):
            pass
        assert f"{file} is open to every user of this machine (mode 644); next: chmod 600 {file}" in caplog.text


@pytest.mark.parametrize(
    "words",
    [
        ("up", "--nats", "nats://u:{}@h:4222"),
        ("up", "--nats", "nats://{}@h:4222"),
        ("migrate", "--to", "nats://u:{}@h"),
        ("migrate", "--back", "--nats", "tls://u:{}@h"),
        ("cluster", "snapshot", "--nats", "nats://u:{}@h"),
        ("config", "set", "cluster.nats", "nats://u:{}@h"),
    ],
)
def test_a_password_in_an_address_is_refused_and_not_shown(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "home"
    assert main(["--home", str(home), *(word.format(SECRET) for word in words)]) != 0
    told = capsys.readouterr()
    assert "cluster.password_file" in told.err
    assert SECRET not in told.out + told.err + caplog.text
    assert all(SECRET not in path.read_text(errors="replace") for path in home.rglob("*") if path.is_file())


def test_a_password_in_an_address_of_the_settings_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROCLAW_CLUSTER__NATS", f"nats://u:{SECRET}@h:4222")
    for words in (("up",), ("config", "check"), ("config", "get", "cluster.nats")):
        main(["--home", str(tmp_path), *words])
    monkeypatch.delenv("MICROCLAW_CLUSTER__NATS")
    (tmp_path / "config.toml").write_text(f'[cluster]\nnats = "nats://u:{SECRET}@h:4222"\n')
    for words in (("up",), ("config", "check"), ("config", "get", "cluster.nats")):
        main(["--home", str(tmp_path), *words])
    told = capsys.readouterr()
    assert SECRET not in told.out + told.err
    assert "cluster.password_file" in told.out + told.err


def _with(settings: ClusterSettings, **more: Any) -> ClusterSettings:
    return replace(settings, **more)


def _text(body: bytes) -> str:
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
