"""`microclaw doctor`: checks what the host needs on this machine. It repairs nothing."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from microclaw.addresses import is_local, is_loopback
from microclaw.api.operations import DeviceStatus, read_status
from microclaw.audit import alarm_text, open_alarms, read_events, verify_chains
from microclaw.builds.confinement import NEXT_STEP, SHUT_OFF, confinement
from microclaw.cli.audit_command import BROKEN_STEP, chain_text
from microclaw.cli.findings import Finding, problem, report_findings, warning
from microclaw.cli.options import GlobalOptions
from microclaw.clock import now_ms
from microclaw.config.load import VARIABLES, find_mistakes, private_home
from microclaw.config.settings import ModelChoice, ModelSettings, Settings
from microclaw.config.show import masked
from microclaw.egress.allowlist import FILE_NAME, read_allowlist
from microclaw.egress.secret_values import missing_secrets, missing_text
from microclaw.errors import ConfigError, MicroclawError, NoHost, NoSandbox
from microclaw.models.server_window import window_of
from microclaw.operations.connection import HostError
from microclaw.sandbox.run import backend_note, sandbox_backend
from microclaw.store.sqlite_file import NEEDED_BYTES, ROOM, open_whole
from microclaw.telemetry.mqtt_text import connection_finding, setting_warnings
from microclaw.text import count_text
from microclaw.wasm import INSTALL_BINARYEN, find_binaryen, find_toolchain

VERSION_S = 10.0


@click.command()
@click.option("-p", "--port", metavar="PORT", help="Look at the board on this port instead.")
@click.option("--report", is_flag=True, help="Print one block to paste for others: a board's facts and no secrets.")
@click.option(
    "--try-pin", type=click.IntRange(0, 63), metavar="N", help="With --report: set this free pin to 1 and 0 once."
)
@click.option("--restart", is_flag=True, help="With --report -d NAME: restart the board to time its way back.")
@click.pass_obj
def doctor(options: GlobalOptions, port: str | None, report: bool, try_pin: int | None, restart: bool) -> None:
    """Check what microclaw needs here. Each problem comes with its next step."""
    if report:
        _report(options, port, try_pin, restart=restart)
        return
    if try_pin is not None or restart:
        raise click.BadParameter("--try-pin and --restart are of --report: add it")
    report_findings(options, "doctor", examine(options) if port is None else _examine_board(port))


def _report(options: GlobalOptions, port: str | None, try_pin: int | None, *, restart: bool) -> None:
    from microclaw.cli.board_report import print_report

    if (try_pin is not None or restart) and port is None and options.device is None:
        raise click.BadParameter("which board? add -p PORT, or -d NAME for one that is online")
    if try_pin is not None:
        options.agree(f"Pin {try_pin} is set high and low once. Is nothing on it that must not move?")
    if restart and options.device is not None:
        options.agree("The board is restarted; its programs start again. Go on?")
    here = (
        (found.part, "problem" if not found.ok else "warning" if found.warns else "ok")
        for found in examine(options)
        if found.part != "device"  # another board is not this machine; the one that is asked for has checks of its own
    )
    print_report(options, port, try_pin=try_pin, restart=restart, here=here)


def examine(options: GlobalOptions) -> list[Finding]:
    """Every finding, the good ones too, in the order in which things are needed."""
    findings = [_python(), *_attempt("compiler", _compiler), *_confinement(), _binaryen()]
    try:
        home = private_home(os.environ, options.home)
    except MicroclawError as exc:
        return [*findings, Finding("home", False, exc.message, exc.next_step)]
    findings.append(_home(home))
    findings += _config(home)
    findings += egress_findings(home)
    try:
        settings = options.settings()
    except MicroclawError:
        return findings  # the configuration's findings say why
    findings.append(_code(settings))
    findings += _models(settings.model)
    findings += _windows(settings)
    if settings.gateway is not None and settings.gateway.open:
        findings.append(_open_gateway("config.toml"))
    findings += _unlocked(settings)
    findings += (Finding("mqtt", True, text, step, warns=True) for text, step in setting_warnings(settings.mqtt))
    if options.address() is None:
        findings += _attempt("audit", lambda: _audit_chain(settings.home))
        findings += _attempt("backup", lambda: _backup_warnings(settings))
    findings += _attempt("host", lambda: _host(options))
    return findings


def _examine_board(port: str) -> list[Finding]:
    from microclaw.firmware_folder import firmware_folder
    from microclaw.flash.board_port import BoardPort  # takes 0.2 s, and most never have a board on a cable
    from microclaw.flash.esptool import Esptool
    from microclaw.flash.report import report_by_cable

    place = BoardPort.parse(port)
    found = asyncio.run(report_by_cable(place, Esptool(place), firmware_folder()))
    return [Finding(note.part, note.ok, note.text, note.next_step) for note in found.notes]


def _attempt(part: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except MicroclawError as exc:
        return [Finding(part, False, exc.message, exc.next_step)]


def _python() -> Finding:
    text = f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"
    return Finding("python", sys.version_info >= (3, 11), text)


def _compiler() -> Iterator[Finding]:
    found = find_toolchain()
    yield Finding("compiler", True, found.name)


def _confinement() -> Iterator[Finding]:
    """How compilers and speech engines are shut off from this machine."""
    how = confinement()
    if how == "none":
        text = "nothing shuts compilers and speech engines off from this machine: neither bubblewrap nor Landlock"
        yield problem("sandbox", text, NEXT_STEP)
    elif how == "landlock":
        text = "compilers and speech engines run in Landlock, which hides less of this machine than bubblewrap would"
        yield warning("sandbox", text, NEXT_STEP)
    else:
        yield Finding("sandbox", True, SHUT_OFF)


def _code(settings: Settings) -> Finding:
    """Where code that the agent or a device asks for runs; without a sandbox none runs, which is no fault."""
    try:
        found = sandbox_backend(settings.sandbox)
    except NoSandbox as exc:
        return Finding("code", True, f"no code is run for the agent: {exc.message}", exc.next_step, warns=True)
    return Finding("code", True, f"the agent's code runs in {found.name}: {backend_note(found)}")


def _binaryen() -> Finding:
    found = find_binaryen()
    if found is None:
        return Finding("binaryen", False, "missing: programs that sleep in main need it", INSTALL_BINARYEN)
    try:
        done = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=VERSION_S, check=True)
    except (OSError, subprocess.SubprocessError) as exc:
        return Finding("binaryen", False, f"{found} does not run: {exc}", INSTALL_BINARYEN)
    return Finding("binaryen", True, done.stdout.strip())


def _home(home: Path) -> Finding:
    mode = stat.S_IMODE(home.stat().st_mode)
    if not os.access(home, os.W_OK):
        return Finding("home", False, f"{home} cannot be written", "give --home a folder of your own")
    if shutil.disk_usage(home).free < NEEDED_BYTES:
        return Finding("home", False, f"cannot write: no space is left on the disk of {home}", ROOM)
    return Finding("home", True, f"{home} (mode {mode:03o})")


def _config(home: Path) -> Iterator[Finding]:
    mistakes = find_mistakes(os.environ, home)
    for mistake in mistakes:
        yield Finding("config", False, str(mistake), mistake.next_step)
    if not mistakes:
        exists = (home / "config.toml").exists()
        yield Finding(
            "config", True, "config.toml: nothing wrong" if exists else "no config.toml: all settings are defaults"
        )


def egress_findings(home: Path) -> Iterator[Finding]:
    """Of the allowlist, where there is one: with a mistake in it tasks have no network."""
    try:
        allowlist = read_allowlist(home / FILE_NAME)
        missing = missing_secrets(home, os.environ, allowlist)
    except ConfigError as exc:
        yield Finding("egress", False, f"tasks have no network: {exc.message}", "microclaw task egress")
        return
    if allowlist.entries:
        allowed = count_text(len(allowlist.entries), "host")
        yield Finding("egress", True, f"tasks may ask {allowed}: microclaw task egress")
    for name, where in missing.items():
        yield problem("egress", *missing_text(name, where))


def _models(model: ModelSettings) -> Iterator[Finding]:
    if model.main is None:
        yield Finding("model", True, "none: no API key set. Offline intents answer.")
        return
    key, address = VARIABLES[model.main.provider]
    if model.main.api_key:
        yield Finding("model", True, f"{key} is set: {masked(model.main.api_key)}")
    if model.main.base_url:
        yield Finding("model", True, f"{address} is {model.main.base_url}")


def _local_servers(model: ModelSettings) -> Iterator[ModelChoice]:
    """The model servers at home that may answer: only they load a model with a window of their own choice."""
    choices = filter(None, (model.main, *model.fallbacks))
    yield from (choice for choice in choices if choice.provider == "openai" and is_local(choice.base_url))


def _windows(settings: Settings) -> Iterator[Finding]:
    """What model servers at home tell of their windows."""
    for choice in _local_servers(settings.model):
        try:
            window = asyncio.run(window_of(choice.base_url or "", choice.name, api_key=choice.api_key))
        except MicroclawError as exc:
            yield Finding("model", False, exc.message, exc.next_step)
        else:
            yield _window(choice.name or "its first model", window, settings.agent.context_tokens)


def _window(name: str, window: int | None, context_tokens: int) -> Finding:
    if window is None:
        return Finding("model", True, f"{name}: its server does not say how large its context is")
    if window < context_tokens:
        step = f"load it with a larger one, or: microclaw config set agent.context_tokens {window}"
        text = f"{name} takes {window:,} tokens, and agent.context_tokens is {context_tokens:,}"
        return Finding("model", False, text, step)
    return Finding("model", True, f"{name} takes {window:,} tokens; agent.context_tokens is {context_tokens:,}")


def _host(options: GlobalOptions) -> Iterator[Finding]:
    address = options.address()
    try:
        host = options.host()
        status = host.call(read_status)
    except NoHost as exc:
        if address is not None:
            raise
        yield Finding("host", True, f"{exc.message} (start it with: {exc.next_step})")
        settings = options.settings()
        yield from _alarms(settings.home)
        if settings.database.exists():
            yield from _attempt("store", lambda: _store(settings.database))
        yield from _attempt("backup", lambda: _backups(settings))
        return
    where = f"pid {status.pid}" if address is None else f"{address}, microclaw {status.version}"
    yield Finding("host", True, f"running ({where}), {status.rss_mb:.0f} MB")
    if status.gateway_open:
        yield _open_gateway("this run")
    for line in status.failing or ():
        yield Finding("task", False, line, "mend its cause; it is tried again by itself")
    yield from (Finding("backup", True, row.text) for row in status.screen if row.about == "backup")
    for alarm in status.alarms or ():
        yield Finding("alarm", False, alarm.text, alarm.next_step)
    try:
        yield from voice_engines(host.get("/v1/voice"))
    except HostError as exc:
        if exc.status != 403:  # a member's token: voice is the owner's
            raise
    yield from wyoming_services(status.wyoming)
    if status.mqtt and status.mqtt["state"] != "off":
        yield Finding("mqtt", *connection_finding(status.mqtt))
    for device in status.devices:
        yield _device(device)


def _store(path: Path) -> Iterator[Finding]:
    open_whole(path).close()
    yield Finding("store", True, f"{path} can be used")


def voice_engines(voice: dict[str, Any]) -> Iterator[Finding]:
    """A line for each engine. One that fails is a warning as long as another one of its role works."""
    if voice["state"] == "off":
        problem = str(voice["problem"])
        unwanted = "not installed" in problem or "voice.enabled" in problem  # not: it is meant to be on, and cannot
        yield Finding("voice", True, f"off: {problem}", warns=not unwanted)
    does = {"asr": "hears", "tts": "speaks"}
    for engine in voice["engines"]:
        fault = engine["problem"]
        others = any(o["role"] == engine["role"] and o["problem"] is None for o in voice["engines"])
        if fault is None:
            yield Finding("voice", True, f"{engine['name']} {does[engine['role']]}")
            continue
        what, step = _parted(fault, "docs/voice-engines.md")
        yield Finding("voice", others, f"{engine['name']}: {what}", step, warns=others)


def wyoming_services(wyoming: dict[str, Any]) -> Iterator[Finding]:
    """Nothing where no port is set."""
    if address := wyoming.get("address"):
        yield Finding("wyoming", True, f"services for Home Assistant at {address}")
    elif text := wyoming.get("text"):
        what, step = _parted(text, "docs/voice.md")
        yield Finding("wyoming", False, f"voice.wyoming_port is set; {what}", step)


def _parted(fault: str, default_step: str) -> tuple[str, str]:
    """Of a health line: what is wrong, and what to do."""
    what, _, step = fault.partition(" (next: ")
    return what, step.removesuffix(")") or default_step


def _open_gateway(where: str) -> Finding:
    text = f"the chat gateway is open ({where}): every program and every account of this machine is the owner there"
    return Finding("gateway", True, text, "microclaw config set gateway.open false, and no --open-gateway", warns=True)


def _unlocked(settings: Settings) -> Iterator[Finding]:
    """Listeners that the settings open beyond this machine without a lock."""
    gateway, voice = settings.gateway, settings.voice
    if gateway is not None and gateway.enabled and not is_loopback(gateway.host):
        text = f"the chat gateway listens at {gateway.host} without TLS: tokens and words can be read in that network"
        yield warning("gateway", text, "microclaw config set gateway.host --default")
    if voice.enabled and voice.wyoming_port is not None and not is_loopback(voice.wyoming_host):
        text = f"Wyoming listens at {voice.wyoming_host} without authentication: who reaches it is {voice.person}"
        yield warning("wyoming", text, "microclaw config set voice.wyoming_host --default")


def _alarms(home: Path) -> Iterator[Finding]:
    """From the security log itself, when no host runs."""
    for alarm in open_alarms(read_events(home), now_ms()):
        yield problem("alarm", *alarm_text(alarm, alarm.event.text.partition(":")[0]))


def _audit_chain(home: Path) -> Iterator[Finding]:
    broken = [report for report in verify_chains(home) if not report.whole]
    for report in broken:
        text = f"the security log {' '.join(chain_text(report).split())}"
        yield problem("audit", text, f"see where: microclaw person log --verify; {BROKEN_STEP}")
    if not broken:
        yield Finding("audit", True, "the security log is whole: microclaw person log --verify")


def _backup_warnings(settings: Settings) -> Iterator[Finding]:
    from microclaw.cli.backup_findings import key_findings, late_findings  # and its certificates

    yield from key_findings(settings)
    yield from late_findings(settings, now_ms())


def _backups(settings: Settings) -> Iterator[Finding]:
    """From their folder itself, when no host runs; nothing where none are set up."""
    if settings.backup is not None:
        from microclaw.backup.scheduled import backups_text, own_backups

        yield Finding("backup", True, backups_text(settings.backup, own_backups(settings.backup, settings.home)))


def _device(device: DeviceStatus) -> Finding:
    """The devices as the host last saw them: only the host opens a device."""
    name = device.name
    on = f"power it and see that it is on this network, then: microclaw device check {name}"
    if device.never_reached:
        return Finding("device", False, f"{name}: never reached", f"microclaw device check {name}")
    if device.problem:
        step = on if device.reachable is False else f"microclaw device show {name}"
        return Finding("device", False, f"{name}: {device.problem}", step)
    if device.reachable is False:
        return Finding("device", False, f"{name} does not answer", on)
    return Finding("device", True, f"{name} answers" if device.reachable else f"{name}: not asked yet")
