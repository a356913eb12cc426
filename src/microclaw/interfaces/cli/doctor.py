"""`microclaw doctor`: checks what the host needs on this machine. A check yields findings, and repairs nothing."""

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
from microclaw.agent.models.server_window import window_findings
from microclaw.clock import now_ms
from microclaw.errors import ConfigError, MicroclawError, NoHost, NoSandbox
from microclaw.findings import Finding, problem, warning
from microclaw.host.audit.event import AuditKind
from microclaw.host.audit.log import alarm_text, open_alarms
from microclaw.host.audit.log_files import read_events, verify_chains
from microclaw.host.auth.authority import AUTHORITY_FILE, certificate_problem, read_authority
from microclaw.host.config.forms import seconds_in
from microclaw.host.config.load import VARIABLES, find_mistakes, private_home
from microclaw.host.config.settings import Settings
from microclaw.host.config.show import masked
from microclaw.host.egress.secret_values import egress_findings
from microclaw.host.operations.client import Client
from microclaw.host.operations.connection import HostError
from microclaw.host.sandbox.run import sandbox_backend
from microclaw.host.store.sqlite_file import NEEDED_BYTES, RESTORE, ROOM, open_whole
from microclaw.interfaces.cli.options import FAILED, GlobalOptions, command
from microclaw.interfaces.cli.sign_in_commands import BROKEN_STEP, chain_text
from microclaw.interfaces.cli.status_document import FullStatus, read_full_status
from microclaw.interfaces.mqtt.text import connection_finding, setting_warnings
from microclaw.interfaces.voice.operations import trace as voice_facts
from microclaw.programs.builds.confinement import confinement_findings
from microclaw.programs.wasm.asyncify import INSTALL_BINARYEN, find_binaryen
from microclaw.programs.wasm.toolchain import COMPILER_WHEEL, find_toolchain, has_compiler
from microclaw.text import count_text

DAY_MS: Final = 86_400_000
LATE_DAYS: Final = 14
# The home may have any number of files: only the first ones are searched for keys.
MAX_LOOKED: Final = 5_000


@command()
@click.option("-p", "--port", metavar="PORT", help="Look at the board on this port instead.")
@click.option("--report", is_flag=True, help="Print one block to paste for others: a board's facts and no secrets.")
def doctor(options: GlobalOptions, port: str | None, report: bool) -> None:
    """Check what microclaw needs here. Each problem comes with its next step. -q: only problems and warnings."""
    if port is None and not report:
        _show(options, examine(options))
        return
    # The import takes 0.2 s, and few users have a board on a cable.
    from microclaw.interfaces.cli.board_report import look_by_cable, print_report

    if report:
        print_report(options, port, examine(options))
    else:
        _show(options, look_by_cable(str(port)).notes)


def examine(options: GlobalOptions) -> list[Finding]:
    """Return all findings, the good ones too, in the order in which a host needs things."""
    findings = _run_checks(("compiler", _compiler), ("sandbox", confinement_findings), ("binaryen", _binaryen))
    try:
        home = private_home(os.environ, options.home)
    except MicroclawError as exc:
        return [*findings, problem("home", exc.message, exc.next_step)]
    findings += _run_checks(("home", _home), ("config", _config), ("egress", egress_findings), of=(home,))
    try:
        settings = options.settings()
    except MicroclawError:
        # The findings about the configuration say why.
        return findings
    findings += _run_checks(("code", _code), ("model", _models), ("gateway", _unlocked), of=(settings,))
    findings += setting_warnings(settings)
    if options.address() is None:
        findings += _run_checks(
            ("certificate", certificate_findings),
            ("audit", _audit_chain),
            ("backup", key_findings),
            ("backup", late_findings),
            of=(settings,),
        )
    return findings + _run_checks(("host", _host), of=(options,))


def _show(options: GlobalOptions, findings: Sequence[Finding]) -> None:
    """Print the findings. End with exit code 1 if one is a problem; warnings only are 0."""
    is_healthy = all(finding.ok for finding in findings)
    if not options.wrote_json("doctor", {"ok": is_healthy, "findings": to_builtins(findings)}):
        terminal = options.terminal()
        for finding in findings:
            if options.quiet and finding.verdict == "ok":
                continue
            terminal.row(finding.part, finding.text, right=finding.verdict, bad=not finding.ok)
            if finding.next_step:
                terminal.row("", f"next: {finding.next_step}")
    if not is_healthy:
        raise Exit(FAILED)


def _run_checks(*checks: tuple[str, Callable[..., Iterator[Finding]]], of: tuple[Any, ...] = ()) -> list[Finding]:
    """Return the findings of all checks; an error of a check is a problem of its part. `of` are their arguments."""
    findings: list[Finding] = []
    for part, check in checks:
        try:
            findings += check(*of)
        except MicroclawError as exc:
            findings.append(problem(part, exc.message, exc.next_step))
    return findings


def _good(part: str, text: str) -> Finding:
    return Finding(part, ok=True, text=text)


def _compiler() -> Iterator[Finding]:
    yield _good("python", f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})")
    is_chosen = bool(os.environ.get("MICROCLAW_COMPILER"))
    if has_compiler() or is_chosen:
        yield _good("compiler", find_toolchain().name)
    else:
        yield _good("compiler", f"none, so programs are in Python; for C: {COMPILER_WHEEL}")


def _binaryen() -> Iterator[Finding]:
    path = find_binaryen()
    if path is None:
        yield problem("binaryen", "missing: programs that sleep in main need it", INSTALL_BINARYEN)
        return
    try:
        result = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10.0, check=True)
        yield _good("binaryen", result.stdout.strip())
    except (OSError, subprocess.SubprocessError) as exc:
        yield problem("binaryen", f"{path} does not run: {exc}", INSTALL_BINARYEN)


def _home(home: Path) -> Iterator[Finding]:
    if not os.access(home, os.W_OK):
        yield problem("home", f"{home} cannot be written", "give --home a folder of your own")
    elif shutil.disk_usage(home).free < NEEDED_BYTES:
        yield problem("home", f"cannot write: no space is left on the disk of {home}", ROOM)
    else:
        yield _good("home", f"{home} (mode {stat.S_IMODE(home.stat().st_mode):03o})")


def _config(home: Path) -> Iterator[Finding]:
    mistakes = find_mistakes(os.environ, home)
    for mistake in mistakes:
        yield problem("config", str(mistake), mistake.next_step)
    if not mistakes:
        has_file = (home / "config.toml").exists()
        state = "nothing wrong" if has_file else "none: all settings are defaults"
        yield _good("config", f"config.toml: {state}")


def _code(settings: Settings) -> Iterator[Finding]:
    """Report where code runs that the agent or a device asks for. A host without a sandbox runs none: a warning."""
    try:
        backend = sandbox_backend(settings.sandbox)
    except NoSandbox as exc:
        yield warning("code", f"no code is run for the agent: {exc.message}", exc.next_step)
    else:
        yield _good("code", f"the agent's code runs in {backend.text}")


def _models(settings: Settings) -> Iterator[Finding]:
    main = settings.model.main
    if main is None:
        yield _good("model", "none: no API key set. Offline intents answer.")
        return
    key, address = VARIABLES[main.provider]
    if main.api_key:
        yield _good("model", f"{key} is set: {masked(main.api_key)}")
    if main.base_url:
        yield _good("model", f"{address} is {main.base_url}")
    yield from window_findings(settings)


def _unlocked(settings: Settings) -> Iterator[Finding]:
    """Warn of listeners that the settings open without a token, a password or TLS."""
    gateway = settings.gateway
    voice = settings.voice
    if gateway is not None and gateway.enabled:
        if gateway.open:
            yield _open_gateway("config.toml")
        if not is_loopback(gateway.host):
            text = f"the chat gateway listens at {gateway.host} without TLS: others can read tokens and words there"
            yield warning("gateway", text, "microclaw config set gateway.host --default")
    has_wyoming = voice.enabled and voice.wyoming_port is not None
    if has_wyoming and not is_loopback(voice.wyoming_host):
        text = f"Wyoming listens at {voice.wyoming_host} without authentication: each client acts as {voice.person}"
        yield warning("wyoming", text, "microclaw config set voice.wyoming_host --default")


def _open_gateway(where: str) -> Finding:
    text = f"the chat gateway is open ({where}): every program and every account of this machine is the owner there"
    return warning("gateway", text, "microclaw config set gateway.open false, and no --open-gateway")


def _audit_chain(settings: Settings) -> Iterator[Finding]:
    broken = [report for report in verify_chains(settings.home) if not report.is_whole]
    for report in broken:
        text = f"the security log {' '.join(chain_text(report).split())}"
        yield problem("audit", text, f"see where: microclaw person log --verify; {BROKEN_STEP}")
    if not broken:
        yield _good("audit", "the security log is intact: microclaw person log --verify")


def key_findings(settings: Settings) -> Iterator[Finding]:
    """Report backup keys inside the home: they are lost with the data they protect."""
    from microclaw.host.backup.age import MAX_KEY_FILE_BYTES, read_identity

    for path in islice(settings.home.rglob("*"), MAX_LOOKED):
        # An unreadable file raises, and so does a file that is not a key.
        with suppress(OSError, ConfigError):
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_KEY_FILE_BYTES:
                read_identity(path.read_text(errors="replace"))
                text = f"the backup key {path} is inside the home: it is lost with it"
                yield problem("backup", text, f"copy it to two places away from this machine, then: rm {path}")


def certificate_findings(settings: Settings, at_ms: int | None = None) -> Iterator[Finding]:
    """Report if devices cannot trust this host now, by its clock or by its authority's dates."""
    pair = read_authority(settings.identity, RESTORE)
    if pair is None:
        return
    if at_ms is None:
        at_ms = now_ms()
    finding = certificate_problem(pair.certificate, at_ms)
    if finding is not None:
        yield finding


def late_findings(settings: Settings, at_ms: int | None = None) -> Iterator[Finding]:
    """Warn if the last backup is too old, or if a home that is old enough to need a backup has none.

    Too old is LATE_DAYS, or two intervals of scheduled backups if that is longer.
    """
    authority = settings.identity / AUTHORITY_FILE
    if not authority.exists():
        return
    begun_ms = round(authority.stat().st_mtime * 1000)
    backups_ms = [row.at_ms for row in read_events(settings.home) if row.event.kind is AuditKind.BACKUP_MADE]
    if at_ms is None:
        at_ms = now_ms()
    since_ms = at_ms - max([begun_ms, *backups_ms])
    limit_ms: float = LATE_DAYS * DAY_MS
    if settings.backup is not None and backups_ms:
        interval_s = seconds_in(settings.backup.every) or 0.0
        limit_ms = max(limit_ms, 2000 * interval_s)
    if since_ms <= limit_ms:
        return
    days = count_text(since_ms // DAY_MS, "day")
    text = f"no backup was ever made of this home, {days} old"
    if backups_ms:
        text = f"the last backup was made {days} ago"
    step = "microclaw backup make FILE" if settings.backup is None else "microclaw status"
    yield warning("backup", text, step)


def _host(options: GlobalOptions) -> Iterator[Finding]:
    """Report the state of the host, if it runs, else what its files say."""
    address = options.address()
    try:
        host = options.host()
        status = read_full_status(host)
    except NoHost as exc:
        if address is not None:
            raise
        step = options.with_home(exc.next_step or "")
        yield _good("host", f"{exc.message} (start it with: {step})")
        yield from _run_checks(("alarm", _alarms), ("store", _store), of=(options.settings(),))
        return
    location = f"pid {status.pid}"
    if address is not None:
        location = f"{address}, microclaw {status.version}"
    yield _good("host", f"running ({location}), {status.rss_mb:.0f} MB")
    if status.gateway_open is True:
        yield _open_gateway("this run")
    for line in status.failing or ():
        yield problem("task", line, "fix the cause; it retries automatically")
    for alarm in status.alarms or ():
        yield problem("alarm", alarm.text, alarm.next_step)
    yield from _voice(host)
    yield from _services(status)
    yield from _devices(status)


def _voice(host: Client) -> Iterator[Finding]:
    try:
        yield from host.call(voice_facts).findings()
    except HostError as exc:
        # A member's token is refused with 403, because only the owner may see voice; 404: this host has no voice.
        if exc.status not in (403, 404):
            raise


def _services(status: FullStatus) -> Iterator[Finding]:
    """Report the host's Wyoming server and its MQTT connection."""
    if status.wyoming:
        address = status.wyoming.get("address")
        fault = status.wyoming.get("text")
        if address:
            yield _good("wyoming", f"services for Home Assistant at {address}")
        elif fault:
            yield problem("wyoming", f"voice.wyoming_port is set; {fault}", "docs/voice.md")
    if status.mqtt and status.mqtt["state"] != "off":
        yield connection_finding(status.mqtt)


def _devices(status: FullStatus) -> Iterator[Finding]:
    for device in status.devices:
        fault = "never reached" if device.never_reached else device.problem
        if fault or device.reachable is False:
            step = f"is it on, and in this network? microclaw device check {device.name}"
            yield problem("device", f"{device.name}: {fault or 'does not answer'}", step)
        elif device.reachable:
            yield _good("device", f"{device.name} answers")
        else:
            yield _good("device", f"{device.name} was not asked yet")


def _alarms(settings: Settings) -> Iterator[Finding]:
    """Report the alarms in the security log itself, if no host runs."""
    for alarm in open_alarms(read_events(settings.home), now_ms()):
        subject = alarm.event.text.partition(":")[0]
        text, step = alarm_text(alarm, subject)
        yield problem("alarm", text, step)


def _store(settings: Settings) -> Iterator[Finding]:
    if settings.database.exists():
        open_whole(settings.database).close()
        yield _good("store", f"{settings.database} can be used")
