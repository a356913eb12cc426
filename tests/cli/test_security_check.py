"""`microclaw doctor --security`: each finding is made wrong and named, and not named where it is right."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from tests.cli.conftest import Run

from microclaw.audit import AuditEvent, AuditKind, append_events
from microclaw.auth.certificates import KeyPair, lan_names, new_authority, server_certificate
from microclaw.cli.findings import Finding
from microclaw.cli.security_check import alarm_findings, chain_findings, code_findings, sandbox_findings
from microclaw.cli.security_files import file_findings
from microclaw.cli.security_network import (
    _strength,
    certificate_findings,
    listeners_of,
    listening_findings,
    plane_findings,
)
from microclaw.cli.security_settings import egress_findings, secret_findings, setting_findings, token_findings
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.config.host_settings import HostSettings
from microclaw.config.mqtt_settings import MqttSettings
from microclaw.config.settings import (
    BackupSettings,
    GatewaySettings,
    McpServerSettings,
    ModelChoice,
    ModelSettings,
    SandboxSettings,
    SearchSettings,
    Settings,
    TaskSettings,
    TelegramSettings,
    VoiceSettings,
)
from microclaw.egress.secret_values import SecretValues
from microclaw.errors import ConfigError
from microclaw.store.sqlite_file import open_store

NOW_MS = 1_800_000_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
DAY_MS = 86_400_000
MODEL = ModelSettings(openai_base_url="https://models.example/v1")
BACKUP = BackupSettings(folder="/", recipient="age1x")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """As a host leaves it: everything closed, a certificate of its own."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    for name in ("identity", "audit", "sessions", "memory"):
        (home / name).mkdir(mode=0o700)
    for name in ("secrets.toml", "config.toml", "gateway.token", "chat_history"):
        (home / name).write_text("x = 1\n")
        (home / name).chmod(0o600)
    open_store(home / "microclaw.db").close()
    for path in home.glob("microclaw.db*"):
        path.chmod(0o600)
    write_identity(home)
    return home


def write_identity(home: Path, *, now: datetime = NOW, made: datetime = NOW, foreign: bool = False) -> None:
    authority = new_authority(now, 1)
    names = lan_names()
    signer = new_authority(now, 2) if foreign else authority
    server = server_certificate(signer, names.names, names.addresses, made, 3)
    for name, pair in (("authority.pem", authority), ("server.pem", server)):
        path = home / "identity" / name
        path.write_bytes(pair.to_pem())
        path.chmod(0o600)


def settings_of(home: Path, **changes: object) -> Settings:
    settings = Settings(home, home / "cache", home / "control.sock", backup=BACKUP, model=MODEL)
    return replace(settings, **changes)  # type: ignore[arg-type]


def bad(findings: Iterator[Finding]) -> list[str]:
    """What is named, each with what to do."""
    found = list(findings)
    assert all(one.next_step for one in found if not one.ok or one.warns)
    return [one.text for one in found if not one.ok or one.warns]


def test_a_sound_installation_has_no_finding(home: Path) -> None:
    settings = settings_of(home)
    assert bad(file_findings(settings)) == []
    assert bad(plane_findings(settings)) == []
    assert bad(setting_findings(settings)) == []
    assert bad(certificate_findings(settings, NOW_MS)) == []
    assert bad(token_findings(settings.database, NOW_MS)) == []
    assert bad(chain_findings(home)) == []
    assert bad(alarm_findings(home)) == []
    assert bad(sandbox_findings("bubblewrap")) == []


@pytest.mark.parametrize(
    "name",
    [
        "secrets.toml",
        "microclaw.db",
        "identity",
        "identity/authority.pem",
        "identity/server.pem",
        "gateway.token",
        "audit",
        "sessions",
        "memory",
        "chat_history",
    ],
)
def test_what_others_can_read_is_named(home: Path, name: str) -> None:
    path = home / name
    path.chmod(path.stat().st_mode | 0o040)
    (text,) = bad(file_findings(settings_of(home)))
    assert text.startswith(f"{path} is open to other users (mode")


def test_the_home_and_the_folders_above_it_are_looked_at(home: Path) -> None:
    home.chmod(0o750)
    (text,) = bad(file_findings(settings_of(home)))
    assert "the home" in text
    home.chmod(0o700)
    home.parent.chmod(0o777)
    (text,) = bad(file_findings(settings_of(home)))
    assert "others can put another home in its place" in text
    home.parent.chmod(0o1777)
    assert bad(file_findings(settings_of(home))) == []


def test_a_secret_behind_a_link_and_settings_that_others_write_are_named(home: Path, tmp_path: Path) -> None:
    (home / "gateway.token").rename(tmp_path / "elsewhere")
    (home / "gateway.token").symlink_to(tmp_path / "elsewhere")
    (home / "config.toml").chmod(0o620)
    linked, written = bad(file_findings(settings_of(home)))
    assert "gateway.token is a symbolic link" in linked
    assert "config.toml can be changed by other users" in written


def test_a_control_socket_and_a_password_file_that_are_open_are_named(home: Path, tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("secret")
    (tmp_path / "broker").chmod(0o644)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "control.sock"))
        (home / "control.sock").chmod(0o666)
        mqtt = MqttSettings(url="mqtts://broker.example", password_file=str(tmp_path / "broker"))
        found = bad(file_findings(settings_of(home, mqtt=mqtt)))
    assert [text.partition(" is open")[0] for text in found] == [str(home / "control.sock"), str(tmp_path / "broker")]


def test_secrets_and_the_copy_of_a_host_of_a_cluster_that_are_open_are_named(home: Path, tmp_path: Path) -> None:
    given = {name: tmp_path / name for name in ("password_file", "credentials_file", "key_file")}
    for path in (home / "cluster.db", home / "index.db", *given.values()):
        path.write_text("secret")
        path.chmod(0o644)
    files: dict[str, Any] = {name: str(path) for name, path in given.items()}
    cluster = ClusterSettings(nats="tls://h:4222", **files)
    found = bad(file_findings(settings_of(home, cluster=cluster)))
    opened = [home / "cluster.db", home / "index.db", *given.values()]
    assert [text.partition(" is open")[0] for text in found] == [str(path) for path in opened]


def test_a_backup_folder_that_others_write_or_in_the_home_is_named(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir(mode=0o700)
    settings = settings_of(home, backup=replace(BACKUP, folder=str(folder)))
    assert bad(file_findings(settings)) == []
    folder.chmod(0o777)
    (text,) = bad(file_findings(settings))
    assert "can be changed by other users" in text
    inside = home / "backups"
    inside.mkdir(mode=0o700)
    (text,) = bad(file_findings(settings_of(home, backup=replace(BACKUP, folder=str(inside)))))
    assert "they are lost together" in text
    (text,) = bad(file_findings(settings_of(home, backup=replace(BACKUP, folder=str(tmp_path / "gone")))))
    assert "cannot be looked at" in text


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        ({"gateway": GatewaySettings(open=True)}, {"gateway": GatewaySettings()}, "gateway.open is true"),
        (
            {"gateway": GatewaySettings(host="0.0.0.0")},
            {"gateway": GatewaySettings(host="0.0.0.0", enabled=False)},
            "without TLS",
        ),
        (
            {"voice": VoiceSettings(wyoming_port=10300, wyoming_host="0.0.0.0")},
            {"voice": VoiceSettings(wyoming_port=10300)},
            "without authentication",
        ),
        (
            {"voice": VoiceSettings(xiaozhi="0.0.0.0:8003")},
            {"voice": VoiceSettings(xiaozhi="127.0.0.1:8003")},
            "in clear text",
        ),
    ],
)
def test_a_door_without_a_lock_is_named(
    home: Path, wrong: dict[str, object], right: dict[str, object], told: str
) -> None:
    (text,) = bad(plane_findings(settings_of(home, **wrong)))
    assert told in text
    assert bad(plane_findings(settings_of(home, **right))) == []


def model(url: str) -> ModelSettings:
    return replace(MODEL, openai_base_url=url)


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        (
            {"model": model("http://models.example/v1")},
            {"model": model("http://192.168.1.5/v1")},
            "model.base_url is http",
        ),
        (
            {"model": replace(MODEL, fallbacks=(ModelChoice("openai", base_url="http://b.example"),))},
            {"model": replace(MODEL, fallbacks=(ModelChoice("openai", base_url="https://b.example"),))},
            "model.fallback",
        ),
        (
            {"model": replace(MODEL, tasks={"photo": ModelChoice("openai", base_url="http://b.example")})},
            {"model": replace(MODEL, tasks={"photo": ModelChoice("openai")})},
            "model.tasks.photo",
        ),
        (
            {"voice": VoiceSettings(openai_base_url="http://v.example")},
            {"voice": VoiceSettings()},
            "voice.openai_base_url",
        ),
        (
            {"telegram": TelegramSettings("t", "http://bot.example")},
            {"telegram": TelegramSettings("t")},
            "telegram.base_url",
        ),
        (
            {"search": SearchSettings("searxng", base_url="http://s.example")},
            {"search": SearchSettings("searxng", base_url="http://s.local")},
            "search.base_url",
        ),
        (
            {"mqtt": MqttSettings(url="mqtt://broker.example")},
            {"mqtt": MqttSettings(url="mqtts://broker.example")},
            "can be read on the way",
        ),
        (
            {"mqtt": MqttSettings(url="mqtts://b.example", user="me", commands=True)},
            {"mqtt": MqttSettings(url="mqtts://b.example", user="me")},
            "mqtt.commands is on",
        ),
        (
            {"mcp_servers": (McpServerSettings("a", url="http://tools.example/mcp"),)},
            {"mcp_servers": (McpServerSettings("a", url="https://tools.example/mcp"),)},
            "can be read on the way",
        ),
        ({"mcp_servers": (McpServerSettings("a", command=("tool",)),)}, {}, "runs tool as this account"),
        (
            {"mcp_servers": (McpServerSettings("a", url="https://t.example/mcp", trusted_reads=True),)},
            {"mcp_servers": (McpServerSettings("a", url="http://127.0.0.1:9/mcp"),)},
            "is trusted",
        ),
        (
            {"tasks": TaskSettings(from_devices=("all",))},
            {"tasks": TaskSettings(from_devices=("greenhouse",))},
            "every device that is let in runs code",
        ),
        ({"backup": None}, {}, "no backups are made"),
        ({"problems": ("backup is off: backup.recipient is missing",)}, {}, "backup is off"),
    ],
)
def test_a_weak_setting_is_named(home: Path, wrong: dict[str, object], right: dict[str, object], told: str) -> None:
    (text,) = bad(setting_findings(settings_of(home, **wrong)))
    assert told in text
    assert bad(setting_findings(settings_of(home, **right))) == []


@pytest.mark.parametrize(
    ("role", "scope", "expires_ms", "used_ms", "told"),
    [
        ("member", "all", NOW_MS + DAY_MS, NOW_MS, []),
        ("member", "all", None, NOW_MS, ["the token ci of ada (member) never ends"]),
        ("member", "all", NOW_MS + DAY_MS, NOW_MS - 91 * DAY_MS, ["the token ci was not used for 90 days"]),
        ("owner", "all", NOW_MS + DAY_MS, NOW_MS, ["the token ci speaks for ada, an owner"]),
        ("owner", "act", NOW_MS + DAY_MS, NOW_MS, []),  # it decides nothing risky
        ("owner", "all", NOW_MS - 1, None, []),  # it opens nothing any more
    ],
)
def test_a_token_that_is_too_much_is_named(
    home: Path, role: str, scope: str, expires_ms: int | None, used_ms: int | None, told: list[str]
) -> None:
    store = open_store(home / "microclaw.db")
    store.execute("INSERT INTO people VALUES ('p-1', 'ada', ?, 1)", (role,))
    made_ms = NOW_MS - 100 * DAY_MS
    store.execute(
        "INSERT INTO person_tokens (token_id, name, person_id, hash, made_ms, expires_ms, used_ms, scope)"
        " VALUES ('t-1', 'ci', 'p-1', ?, ?, ?, ?, ?)",
        (bytes(32), made_ms, expires_ms, used_ms, scope),
    )
    store.close()
    found = bad(token_findings(home / "microclaw.db", NOW_MS))
    assert len(found) == len(told)
    assert all(text.startswith(start) for text, start in zip(found, told, strict=True))


@pytest.mark.parametrize(
    ("change", "now_ms", "told"),
    [
        (lambda home: write_identity(home), NOW_MS + 100 * DAY_MS, "the server's certificate ended on"),
        (lambda home: write_identity(home), NOW_MS + 80 * DAY_MS, "and was not renewed yet"),
        (lambda home: write_identity(home, made=NOW + timedelta(days=9)), NOW_MS, "this machine's clock is behind"),
        (lambda home: write_identity(home, now=NOW - timedelta(days=29.5 * 365)), NOW_MS, "no device trusts this host"),
        (lambda home: write_identity(home, foreign=True), NOW_MS, "not signed by this host's authority"),
        (
            lambda home: (home / "identity/server.pem").write_bytes(b"x"),
            NOW_MS,
            "the server's certificate cannot be used",
        ),
        (
            lambda home: (home / "identity/authority.pem").write_bytes(b""),
            NOW_MS,
            "the authority's certificate cannot be used",
        ),
    ],
)
def test_a_certificate_that_is_old_foreign_or_broken_is_named(
    home: Path, change: Callable[[Path], object], now_ms: int, told: str
) -> None:
    change(home)
    found = bad(certificate_findings(settings_of(home), now_ms))
    assert len([text for text in found if told in text]) == 1, found


def test_a_certificate_without_this_machines_addresses_is_named_where_the_link_is_open(home: Path) -> None:
    authority = new_authority(NOW, 1)
    server = server_certificate(authority, ["lab.example"], [], NOW, 2)
    (home / "identity/authority.pem").write_bytes(authority.to_pem())
    (home / "identity/server.pem").write_bytes(server.to_pem())
    (text,) = bad(certificate_findings(settings_of(home, host=HostSettings(link="0.0.0.0:8443")), NOW_MS))
    assert "the server's certificate lacks 127.0.0.1" in text
    assert bad(certificate_findings(settings_of(home, host=HostSettings(link="127.0.0.1:8443")), NOW_MS)) == []


@pytest.mark.parametrize(("bits", "named"), [(1024, True), (2048, False)])
def test_a_weak_key_is_named(bits: int, named: bool) -> None:
    key = rsa.generate_private_key(65537, bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 7, NOW, NOW + timedelta(days=1)).sign(
        key, hashes.SHA256()
    )
    assert bool(bad(_strength("server", certificate))) is named


OWN = HostSettings(http_host="0.0.0.0", http_tls="own", http_names=("claw.lan",))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, None),
        ({"made": NOW - timedelta(days=200)}, "the page server's certificate ended"),
        ({"made": NOW - timedelta(days=70)}, "was not renewed yet"),
        ({"foreign": True}, "is not signed by this host's authority"),
        ({"names": ()}, "the page server's certificate lacks claw.lan: who calls it so is refused"),
    ],
)
def test_the_pages_own_certificate_is_looked_at(home: Path, change: dict[str, Any], told: str | None) -> None:
    authority = KeyPair.from_pem((home / "identity/authority.pem").read_bytes())
    found = lan_names(*change.get("names", OWN.http_names))
    signer = new_authority(NOW, 7) if change.get("foreign") else authority
    pair = server_certificate(signer, found.names, found.addresses, change.get("made", NOW), 4)
    (home / "identity/people.pem").write_bytes(pair.to_pem())
    texts = bad(certificate_findings(settings_of(home, host=OWN), NOW_MS))
    assert [str(told) in text for text in texts] == ([] if told is None else [True])
    assert bad(certificate_findings(settings_of(home), NOW_MS)) == []


@pytest.mark.parametrize(
    ("days", "names", "modes", "told"),
    [
        (0, ("claw.lan",), (0o644, 0o640), None),
        (0, ("claw.lan",), (0o644, 0o604), "everybody may read or change the key"),
        (0, ("claw.lan",), (0o644, 0o660), "can be changed by other users"),
        (0, ("claw.lan",), (0o664, 0o600), "can be changed by other users"),
        (80, ("claw.lan",), (0o644, 0o600), "ends on"),
        (100, ("claw.lan",), (0o644, 0o600), "is valid from"),
        (0, ("localhost",), (0o644, 0o600), "no name or address by which other machines could call"),
    ],
)
def test_a_given_certificate_is_looked_at(
    home: Path, tmp_path: Path, days: int, names: tuple[str, ...], modes: tuple[int, int], told: str | None
) -> None:
    pair = server_certificate(new_authority(NOW, 8), names, (), NOW - timedelta(days=days), 9)
    key, certificate = pair.to_pem().split(b"-----BEGIN CERTIFICATE")
    files = (tmp_path / "cert.pem", tmp_path / "key.pem")
    for path, content, mode in zip(files, (b"-----BEGIN CERTIFICATE" + certificate, key), modes, strict=True):
        path.write_bytes(content)
        path.chmod(mode)
    host = HostSettings(http_host="0.0.0.0", http_tls="files", http_cert=str(files[0]), http_key=str(files[1]))
    try:
        texts = bad(certificate_findings(settings_of(home, host=host), NOW_MS))
    except ConfigError as exc:  # the command makes a problem of it
        texts = [exc.message] if exc.next_step else []
    assert [str(told) in text for text in texts] == ([] if told is None else [True])


def test_where_code_runs_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (off,) = code_findings(SandboxSettings(backend="off"))
    assert (off.ok, "no code of the agent or of devices is run: " in off.text) == (True, True)
    (here,) = code_findings(SandboxSettings())
    assert (here.warns, here.text.partition(":")[0]) == (False, "code of the agent and of devices runs in bubblewrap")
    engine = tmp_path / "podman"  # one that has every image
    engine.write_text("#!/bin/sh\nexit 0\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (text,) = bad(code_findings(SandboxSettings(backend="podman", image="python:9-slim")))
    assert "in podman in the image python:9-slim, a name that can come to mean another" in text
    assert bad(code_findings(SandboxSettings(backend="podman", image="python@sha256:" + "0" * 64))) == []
    (none,) = code_findings(SandboxSettings(backend="container"))
    assert (none.warns, "container is not installed" in none.text) == (False, True)


def test_a_port_beyond_this_machine_that_no_setting_names_is_told(home: Path) -> None:
    with socket.socket() as near, socket.socket() as far, socket.socket(socket.AF_INET6) as six:
        for listener, address in ((near, "127.0.0.1"), (far, "0.0.0.0"), (six, "::")):
            listener.bind((address, 0))
            listener.listen()
        ports = {six.getsockname()[1], far.getsockname()[1]}
        listeners = listeners_of(os.getpid())
        assert listeners is not None
        assert {(found.address, found.port) for found in listeners} >= {("127.0.0.1", near.getsockname()[1])}
        found = bad(listening_findings(os.getpid(), settings_of(home)))
        assert {int(text.partition(",")[0].rpartition(":")[2]) for text in found} == ports
        named = HostSettings(link=f"0.0.0.0:{far.getsockname()[1]}")
        voice = VoiceSettings(xiaozhi=f"[::]:{six.getsockname()[1]}")
        assert bad(listening_findings(os.getpid(), settings_of(home, host=named, voice=voice))) == []
        open_pages = replace(OWN, http_port=far.getsockname()[1])
        assert bad(listening_findings(os.getpid(), settings_of(home, host=open_pages, voice=voice))) == []
        assert (
            bad(listening_findings(os.getpid(), settings_of(home, host=OWN, voice=voice), far.getsockname()[1])) == []
        )
        closed = replace(open_pages, http_host="127.0.0.1")
        (text,) = bad(listening_findings(os.getpid(), settings_of(home, host=closed, voice=voice)))
        assert f":{far.getsockname()[1]}, which no setting names" in text
    (nothing,) = listening_findings(None, settings_of(home))
    assert (nothing.ok, "not looked at" in nothing.text) == (True, True)


def test_a_broken_log_an_alarm_and_a_missing_sandbox_are_named(home: Path) -> None:
    append_events(home, [AuditEvent(AuditKind.CREDENTIAL_SUPERSEDED, "lamp: old", address="192.0.2.9", about="d-1")])
    (text,) = bad(alarm_findings(home))
    assert text.startswith("lamp: a token that it no longer uses")
    path = home / "audit/attempts.jsonl"
    path.write_bytes(path.read_bytes().replace(b"lamp", b"lump"))
    (text,) = bad(chain_findings(home))
    assert "attempts BROKEN" in text
    (text,) = bad(sandbox_findings("none"))
    assert "nothing shuts compilers and speech engines off" in text
    (text,) = bad(sandbox_findings("landlock"))
    assert "Landlock" in text


def test_the_command_says_all_of_it_with_an_exit_code(run: Run, tmp_path: Path) -> None:
    good = run("doctor", "--security", "--json")
    document = json.loads(good.out)
    assert (good.code, document["schema"], document["ok"]) == (0, "microclaw.doctor_security/1", True)
    parts = {finding["part"] for finding in document["findings"]}
    assert parts == {
        "file",
        "listen",
        "socket",
        "certs",
        "backup",
        "egress",
        "secret",
        "token",
        "sandbox",
        "audit",
        "alarm",
    }
    advisory = {
        "id": "MADE-UP-1",
        "summary": "made up for a test",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "PyTest"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99999"}]}],
            }
        ],
    }
    (tmp_path / "one.json").write_text(json.dumps(advisory))
    found = run("doctor", "--security", "--advisories", str(tmp_path / "one.json"))
    assert found.code == 1
    assert "MADE-UP-1 made up for a test" in " ".join(found.out.split())
    assert "a version from 99999 on" in found.out
    assert "add it" in run("doctor", "--advisories", "x").err
    (tmp_path / "home" / "config.toml").touch()
    (tmp_path / "home").chmod(0o755)
    closed = run("doctor", "--security")
    assert closed.code == 1
    assert "is open to other users" in " ".join(closed.out.split())


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ('host: "*.weather.example"', "line 2: *.weather.example allows code in the sandbox every name below it"),
        ("host: api.example.com\n    ports: [80]", "allows port 80"),
        ("host: api.example.com", None),
    ],
)
def test_a_wide_entry_of_the_allowlist_is_named(home: Path, entry: str, told: str | None) -> None:
    (home / "egress.yaml").write_text(f"allow:\n  - {entry}\n")
    found = bad(egress_findings(home))
    assert len(found) == (0 if told is None else 1)
    assert told is None or told in found[0]


def test_an_allowlist_with_a_mistake_is_a_problem(run: Run, tmp_path: Path) -> None:
    run("config", "path")
    (tmp_path / "home").mkdir(mode=0o700, exist_ok=True)
    (tmp_path / "home" / "egress.yaml").write_text("allow:\n  - host: 10.0.0.1\n")
    found = json.loads(run("doctor", "--security", "--json").out)["findings"]
    (egress,) = [finding for finding in found if finding["part"] == "egress"]
    assert egress["ok"] is False


def test_where_secrets_lie_is_said_and_one_that_the_keyring_does_not_give_is_a_problem(home: Path) -> None:
    (home / "secrets.toml").write_text('[secrets.values]\nkey = "@keyring"\nother = "long-enough-value"\n')
    (home / "secrets.toml").chmod(0o600)
    values = SecretValues(home, {})
    (text,) = bad(secret_findings(values))
    assert "the secret key is in the system's keyring, which does not give it (there is no keyring here)" in text
    (told,) = [one.text for one in secret_findings(values) if one.ok]
    assert "1 secret in the system's keyring, 1 secret in secrets.toml" in told
