"""`microclaw doctor --security`: how safe this installation is, each finding with what to do. It changes nothing.

Exit code 0: no problem (warnings are settings that somebody may have wanted); 1: at least one problem.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from microclaw.audit import alarm_text, open_alarms, read_events, verify_chains
from microclaw.builds.confinement import NEXT_STEP, SHUT_OFF, Confinement, confinement
from microclaw.cli.audit_command import BROKEN_STEP, chain_text
from microclaw.cli.backup_findings import key_findings, late_findings
from microclaw.cli.findings import Finding, problem, warning
from microclaw.cli.options import GlobalOptions
from microclaw.cli.security_files import file_findings
from microclaw.cli.security_network import certificate_findings, listening_findings, plane_findings
from microclaw.cli.security_settings import (
    OTHER_KEYS,
    egress_findings,
    secret_findings,
    setting_findings,
    token_findings,
)
from microclaw.clock import now_ms
from microclaw.config.settings import SandboxSettings, Settings
from microclaw.egress.secret_values import SecretValues
from microclaw.egress.system_keyring import system_keyring
from microclaw.errors import MicroclawError, NoHost, NoSandbox
from microclaw.sandbox.run import backend_note, sandbox_backend


def security_findings(options: GlobalOptions, advisories: Sequence[Path]) -> list[Finding]:
    """All of them, the good ones too; where the settings cannot be used, that alone."""
    options.only_here("microclaw doctor --security")
    try:
        settings = options.settings()
    except MicroclawError as exc:  # a home or a file with secrets that is open to others, among them
        return [Finding("settings", False, exc.message, exc.next_step)]
    home = settings.home
    pid, https_port = _running_host(options)
    checks: list[tuple[str, Callable[[], Iterator[Finding]], str]] = [
        ("file", lambda: file_findings(settings), "files and folders are closed to other users"),
        ("listen", lambda: plane_findings(settings), "no door is set to be open without a lock"),
        ("socket", lambda: listening_findings(pid, settings, https_port), "nothing else listens beyond this machine"),
        ("certs", lambda: certificate_findings(settings, now_ms()), "certificates are whole, fresh and strong"),
        ("setting", lambda: setting_findings(settings), "no setting is weaker than it has to be"),
        ("backup", lambda: _backup_findings(settings), "no key of the backups is in the home that they protect"),
        ("egress", lambda: egress_findings(home), "the allowlist of tasks has no wide entry"),
        (
            "secret",
            lambda: secret_findings(SecretValues(home, os.environ, keyring=system_keyring())),
            f"no secret of tasks is kept; {OTHER_KEYS}",
        ),
        ("token", lambda: token_findings(settings.database, now_ms()), "no token is open for ever or forgotten"),
        ("sandbox", lambda: sandbox_findings(confinement()), SHUT_OFF),
        ("sandbox", lambda: code_findings(settings.sandbox), ""),
        ("audit", lambda: chain_findings(home), "the security log is whole"),
        ("alarm", lambda: alarm_findings(home), "no alarm is open"),
    ]
    if advisories:
        about = "no advisory of those given is about an installed package"
        checks.append(("advisory", lambda: _advisory_findings(advisories), about))
    findings: list[Finding] = []
    for part, check, good in checks:
        try:
            found = list(check())
        except MicroclawError as exc:
            found = [Finding(part, False, exc.message, exc.next_step)]
        findings += found or [Finding(part, True, good)]
    return findings


def _backup_findings(settings: Settings) -> Iterator[Finding]:
    yield from key_findings(settings)
    if settings.backup is not None:  # that none are made at all is a finding of the settings
        yield from late_findings(settings, now_ms())


def sandbox_findings(how: Confinement) -> Iterator[Finding]:
    """How compilers and speech engines are shut off from this machine."""
    if how == "none":
        text = "nothing shuts compilers and speech engines off from this machine: neither bubblewrap nor Landlock"
        yield problem("sandbox", text, NEXT_STEP)
    elif how == "landlock":
        text = "compilers and speech engines run in Landlock, which hides less of this machine than bubblewrap would"
        yield warning("sandbox", text, NEXT_STEP)


def code_findings(settings: SandboxSettings) -> Iterator[Finding]:
    """What runs the code that the agent or a device asks for. That none is run is safe."""
    try:
        found = sandbox_backend(settings)
    except NoSandbox as exc:
        yield Finding("sandbox", True, f"no code of the agent or of devices is run: {exc.message}", exc.next_step)
        return
    if found.name != "bubblewrap" and "@sha256:" not in settings.image:
        text = f"code runs in {found.name} in the image {settings.image}, a name that can come to mean another image"
        step = f"microclaw config set sandbox.image NAME@sha256:..., as {found.name} image inspect says it"
        yield warning("sandbox", text, step)
        return
    yield Finding("sandbox", True, f"code of the agent and of devices runs in {found.name}: {backend_note(found)}")


def chain_findings(home: Path) -> Iterator[Finding]:
    """Whether the security log's lines are those that were written."""
    for report in verify_chains(home):
        if not report.whole:
            step = f"see where: microclaw audit verify; {BROKEN_STEP}"
            yield problem("audit", f"the security log {' '.join(chain_text(report).split())}", step)


def alarm_findings(home: Path) -> Iterator[Finding]:
    for alarm in open_alarms(read_events(home), now_ms()):
        text, step = alarm_text(alarm, alarm.event.text.partition(":")[0])
        yield problem("alarm", text, step)


def _running_host(options: GlobalOptions) -> tuple[int | None, int | None]:
    """The running host's process, and the port where it has HTTPS; None when none runs, or it has none."""
    try:
        status = options.host().status()
    except NoHost:
        return None, None
    url = urlsplit((status.get("https") or {}).get("local") or "")
    return int(status["pid"]), url.port if url.scheme == "https" else None


def _advisory_findings(files: Sequence[Path]) -> Iterator[Finding]:
    from microclaw.cli.advisories import affected, installed_packages, read_advisories

    for one in affected(installed_packages(), read_advisories(files)):
        fixed = f"a version from {' or '.join(one.fixed)} on" if one.fixed else "see the advisory: it names no fix"
        aliases = f" ({', '.join(one.aliases)})" if one.aliases else ""
        yield problem("advisory", f"{one.name} {one.version}: {one.advisory_id}{aliases} {one.summary}".rstrip(), fixed)
