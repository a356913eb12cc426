"""`microclaw doctor`: checks what the host needs on this machine. A check yields findings; it repairs nothing."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
from click.exceptions import Exit
from msgspec import to_builtins

from microclaw.addresses import is_loopback
from microclaw.api.operations import read_status
from microclaw.audit.event import AuditKind
from microclaw.audit.log import alarm_text, open_alarms
from microclaw.audit.log_files import read_events, verify_chains
from microclaw.auth.authority import AUTHORITY_FILE, certificate_problem, read_authority
from microclaw.builds.confinement import confinement_findings
from microclaw.cli.options import FAILED, GlobalOptions, command
from microclaw.cli.sign_in_commands import BROKEN_STEP, chain_text
from microclaw.clock import now_ms
from microclaw.config.forms import seconds_in
from microclaw.config.load import VARIABLES, find_mistakes, private_home
from microclaw.config.settings import Settings
from microclaw.config.show import masked
from microclaw.egress.secret_values import egress_findings
from microclaw.errors import ConfigError, MicroclawError, NoHost, NoSandbox
from microclaw.findings import Finding, problem, warning
from microclaw.models.server_window import window_findings
from microclaw.operations.connection import HostError
from microclaw.sandbox.run import sandbox_backend
from microclaw.store.sqlite_file import NEEDED_BYTES, RESTORE, ROOM, open_whole
from microclaw.telemetry.mqtt_text import connection_finding, setting_warnings
from microclaw.text import count_text
from microclaw.voice.operations import trace as voice_facts
from microclaw.wasm.eventful import INSTALL_BINARYEN, find_binaryen
from microclaw.wasm.toolchain import find_toolchain

DAY_MS: Final = 86_400_000
LATE_DAYS: Final = 14
MAX_LOOKED: Final = 5_000  # files and folders of the home that are looked at


@command()
@click.option("-p", "--port", metavar="PORT", help="Look at the board on this port instead.")
@click.option("--report", is_flag=True, help="Print one block to paste for others: a board's facts and no secrets.")
def doctor(options: GlobalOptions, port: str | None, report: bool) -> None:
    """Check what microclaw needs here. Each problem comes with its next step."""
    if port is None and not report:
        _show(options, examine(options))
        return
    from microclaw.cli.board_report import look_by_cable, print_report  # takes 0.2 s, and few have a board on a cable

    if report:
        print_report(options, port, examine(options))
    else:
        _show(options, look_by_cable(str(port)).notes)


def examine(options: GlobalOptions) -> list[Finding]:
    """Every finding, the good ones too, in the order in which things are needed."""
    found = _all(("compiler", _compiler), ("sandbox", confinement_findings), ("binaryen", _binaryen))
    try:
        home = private_home(os.environ, options.home)
    except MicroclawError as exc:
        return [*found, problem("home", exc.message, exc.next_step)]
    found += _all(("home", _home), ("config", _config), ("egress", egress_findings), of=(home,))
    try:
        settings = options.settings()
    except MicroclawError:
        return found  # the configuration's findings say why
    found += _all(("code", _code), ("model", _models), ("gateway", _unlocked), of=(settings,))
    found += setting_warnings(settings)
    if options.address() is None:
        found += _all(("certificate", certificate_findings), of=(settings,))
        found += _all(("audit", _audit_chain), ("backup", key_findings), ("backup", late_findings), of=(settings,))
    return found + _all(("host", _host), of=(options,))


def _show(options: GlobalOptions, findings: Sequence[Finding]) -> None:
    """The command ends with exit code 1 when one is a problem. Warnings alone are 0."""
    healthy = all(one.ok for one in findings)
    if not options.wrote_json("doctor", {"ok": healthy, "findings": to_builtins(findings)}):
        terminal = options.terminal()
        for one in findings:
            terminal.row(one.part, one.text, right=one.verdict, bad=not one.ok)
            if one.next_step:
                terminal.row("", f"next: {one.next_step}")
    if not healthy:
        raise Exit(FAILED)


def _all(*checks: tuple[str, Callable[..., Iterator[Finding]]], of: tuple[Any, ...] = ()) -> list[Finding]:
    """The findings of all checks; an error of a check is a problem of its part."""
    found: list[Finding] = []
    for part, check in checks:
        try:
            found += check(*of)
        except MicroclawError as exc:
            found.append(problem(part, exc.message, exc.next_step))
    return found


def _compiler() -> Iterator[Finding]:
    yield Finding("python", True, f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})")
    yield Finding("compiler", True, find_toolchain().name)


def _binaryen() -> Iterator[Finding]:
    found = find_binaryen()
    if found is None:
        yield problem("binaryen", "missing: programs that sleep in main need it", INSTALL_BINARYEN)
        return
    try:
        done = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=10.0, check=True)
        yield Finding("binaryen", True, done.stdout.strip())
    except (OSError, subprocess.SubprocessError) as exc:
        yield problem("binaryen", f"{found} does not run: {exc}", INSTALL_BINARYEN)


def _home(home: Path) -> Iterator[Finding]:
    if not os.access(home, os.W_OK):
        yield problem("home", f"{home} cannot be written", "give --home a folder of your own")
    elif shutil.disk_usage(home).free < NEEDED_BYTES:
        yield problem("home", f"cannot write: no space is left on the disk of {home}", ROOM)
    else:
        yield Finding("home", True, f"{home} (mode {stat.S_IMODE(home.stat().st_mode):03o})")


def _config(home: Path) -> Iterator[Finding]:
    mistakes = find_mistakes(os.environ, home)
    yield from (problem("config", str(one), one.next_step) for one in mistakes)
    if not mistakes:
        there = (home / "config.toml").exists()
        yield Finding("config", True, f"config.toml: {'nothing wrong' if there else 'none: all settings are defaults'}")


def _code(settings: Settings) -> Iterator[Finding]:
    """Report where code that the agent or a device asks for runs; without a sandbox none runs, which is no fault."""
    try:
        found = sandbox_backend(settings.sandbox)
    except NoSandbox as exc:
        yield warning("code", f"no code is run for the agent: {exc.message}", exc.next_step)
    else:
        yield Finding("code", True, f"the agent's code runs in {found.text}")


def _models(settings: Settings) -> Iterator[Finding]:
    main = settings.model.main
    if main is None:
        yield Finding("model", True, "none: no API key set. Offline intents answer.")
        return
    key, address = VARIABLES[main.provider]
    if main.api_key:
        yield Finding("model", True, f"{key} is set: {masked(main.api_key)}")
    if main.base_url:
        yield Finding("model", True, f"{address} is {main.base_url}")
    yield from window_findings(settings)


def _unlocked(settings: Settings) -> Iterator[Finding]:
    """Listeners that the settings open without a lock."""
    gateway = settings.gateway
    voice = settings.voice
    if gateway is not None and gateway.enabled and gateway.open:
        yield _open_gateway("config.toml")
    if gateway is not None and gateway.enabled and not is_loopback(gateway.host):
        text = f"the chat gateway listens at {gateway.host} without TLS: tokens and words can be read in that network"
        yield warning("gateway", text, "microclaw config set gateway.host --default")
    if voice.enabled and voice.wyoming_port is not None and not is_loopback(voice.wyoming_host):
        text = f"Wyoming listens at {voice.wyoming_host} without authentication: who reaches it is {voice.person}"
        yield warning("wyoming", text, "microclaw config set voice.wyoming_host --default")


def _open_gateway(where: str) -> Finding:
    text = f"the chat gateway is open ({where}): every program and every account of this machine is the owner there"
    return warning("gateway", text, "microclaw config set gateway.open false, and no --open-gateway")


def _audit_chain(settings: Settings) -> Iterator[Finding]:
    broken = [report for report in verify_chains(settings.home) if not report.whole]
    for report in broken:
        text = f"the security log {' '.join(chain_text(report).split())}"
        yield problem("audit", text, f"see where: microclaw person log --verify; {BROKEN_STEP}")
    if not broken:
        yield Finding("audit", True, "the security log is intact: microclaw person log --verify")


def key_findings(settings: Settings) -> Iterator[Finding]:
    """Keys and the password file of backups that lie in the home: lost with what they protect."""
    from microclaw.backup.age import MAX_KEY_FILE_BYTES, PrivateKey

    for path in islice(settings.home.rglob("*"), MAX_LOOKED):
        with suppress(OSError, ConfigError):  # unreadable, or no such key
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_KEY_FILE_BYTES:
                PrivateKey.parse(path.read_text(errors="replace"))
                text = f"{path} is a key that opens backups, and lies in the home: it is lost with it"
                yield problem("backup", text, f"copy it to two places away from this machine, then: rm {path}")
    given = None if settings.backup is None else settings.backup.password_file
    if given is not None and Path(given).expanduser().resolve().is_relative_to(settings.home.resolve()):
        text = f"backup.password_file {given} lies in the home that the backups protect: the password is lost with it"
        yield warning("backup", text, "microclaw config set backup.password_file FILE, outside of the home")


def certificate_findings(settings: Settings, at_ms: int | None = None) -> Iterator[Finding]:
    """Report that devices cannot trust this host now, by its clock or by its authority's dates."""
    pair = read_authority(settings.identity, RESTORE)
    if pair is None:
        return
    finding = certificate_problem(pair.certificate, now_ms() if at_ms is None else at_ms)
    if finding is not None:
        yield finding


def late_findings(settings: Settings, at_ms: int | None = None) -> Iterator[Finding]:
    """That none was made, or long ago, where the home is old enough to have what would be missed."""
    authority = settings.identity / AUTHORITY_FILE
    if not authority.exists():
        return
    begun_ms = round(authority.stat().st_mtime * 1000)
    made = [found.at_ms for found in read_events(settings.home) if found.event.kind is AuditKind.BACKUP_MADE]
    if settings.backup is None:
        every_s = 0.0
    else:
        every_s = seconds_in(settings.backup.every) or 0.0
    since_ms = (now_ms() if at_ms is None else at_ms) - max([begun_ms, *made])
    if since_ms > max(LATE_DAYS * DAY_MS, 2000 * every_s if made else 0):
        days = count_text(since_ms // DAY_MS, "day")
        if made:
            text = f"the last backup was made {days} ago"
        else:
            text = f"no backup was ever made of this home, {days} old"
        step = "microclaw backup make FILE" if settings.backup is None else "microclaw status"
        yield warning("backup", text, step)


def _host(options: GlobalOptions) -> Iterator[Finding]:
    address = options.address()
    try:
        host = options.host()
        status = host.call(read_status)
    except NoHost as exc:
        if address is not None:
            raise
        step = options.with_home(exc.next_step or "")
        yield Finding("host", True, f"{exc.message} (start it with: {step})")
        yield from _all(("alarm", _alarms), ("store", _store), of=(options.settings(),))
        return
    if address is None:
        where = f"pid {status.pid}"
    else:
        where = f"{address}, microclaw {status.version}"
    yield Finding("host", True, f"running ({where}), {status.rss_mb:.0f} MB")
    if status.gateway_open:
        yield _open_gateway("this run")
    yield from (problem("task", line, "mend its cause; it is tried again by itself") for line in status.failing or ())
    yield from (problem("alarm", alarm.text, alarm.next_step) for alarm in status.alarms or ())
    try:
        yield from host.call(voice_facts).findings()
    except HostError as exc:
        if exc.status != 403:  # a member's token: voice is the owner's
            raise
    address = status.wyoming.get("address")
    if address:
        yield Finding("wyoming", True, f"services for Home Assistant at {address}")
    elif text := status.wyoming.get("text"):
        yield problem("wyoming", f"voice.wyoming_port is set; {text}", "docs/voice.md")
    if status.mqtt and status.mqtt["state"] != "off":
        yield connection_finding(status.mqtt)
    for one in status.devices:
        wrong = "never reached" if one.never_reached else one.problem
        if wrong or one.reachable is False:
            step = f"is it on, and in this network? microclaw device check {one.name}"
            yield problem("device", f"{one.name}: {wrong or 'does not answer'}", step)
        else:
            yield Finding("device", True, f"{one.name} {'answers' if one.reachable else 'was not asked yet'}")


def _alarms(settings: Settings) -> Iterator[Finding]:
    """From the security log itself, when no host runs."""
    for alarm in open_alarms(read_events(settings.home), now_ms()):
        yield problem("alarm", *alarm_text(alarm, alarm.event.text.partition(":")[0]))


def _store(settings: Settings) -> Iterator[Finding]:
    if settings.database.exists():
        open_whole(settings.database).close()
        yield Finding("store", True, f"{settings.database} can be used")
