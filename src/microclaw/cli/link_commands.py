"""`microclaw link check`: whether a host, or a device, keeps the rules of docs/protocols/link.md."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from microclaw.cli.options import FAILED, GlobalOptions, command_group, global_options
from microclaw.errors import ConfigError

if TYPE_CHECKING:  # they take 0.2 s to import, which `--help` must not
    from microclaw.auth.provisioning import Provision
    from microclaw.link_check.as_device import HostUnderCheck
    from microclaw.link_check.report import Finding
    from microclaw.link_check.run import Findings

CHECK_NAME: Final = "link-check"
_HOST_PORT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})")
link_group = command_group()


@link_group.callback()
def link() -> None:
    """The device link."""


@link_group.command("check")
def check(
    ctx: typer.Context,
    address: Annotated[
        str | None, typer.Argument(metavar="[HOST:PORT]", help="With --as-device: the host; none: this machine's own.")
    ] = None,
    as_device: Annotated[bool, typer.Option("--as-device", help="Act as a device and check a host.")] = False,
    as_host: Annotated[bool, typer.Option("--as-host", help="Listen as a host and check the device that comes.")] = (
        False
    ),
    provision: Annotated[
        Path | None,
        typer.Option("--provision", metavar="FILE", help="What `device provision NAME --file FILE` wrote; - is stdin."),
    ] = None,
    ca_sha256: Annotated[
        str | None, typer.Option("--ca-sha256", metavar="HEX", help="With HOST:PORT: the authority's fingerprint.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="A device's token; a new one is written there.")
    ] = None,
    credential: Annotated[
        str, typer.Option("--credential", metavar="certificate|token", help="What to pair for.")
    ] = "certificate",
    board: Annotated[str, typer.Option("--board", help="What to call the board.")] = "virtual",
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="With --as-host; 0.0.0.0:8444 is your network.")
    ] = "127.0.0.1:0",
    reach: Annotated[
        str | None, typer.Option("--address", metavar="HOST", help="With --as-host: how the device reaches this one.")
    ] = None,
    with_secret: Annotated[
        bool, typer.Option("--secret", help="With --as-host: pair by a secret, not by a code.")
    ] = False,
    rule: Annotated[list[str] | None, typer.Option("--rule", metavar="L-NN", help="Only this one, or these.")] = None,
    slow: Annotated[bool, typer.Option("--slow", help="Also the rules that take a minute each.")] = False,
    wait_s: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=1, max=3600, help="With --as-host: for a device to come.")
    ] = 300.0,
) -> None:
    """Say of each rule of docs/protocols/link.md whether it is kept, broken or was not tried; 1 when one is broken."""
    options = global_options(ctx)
    if as_device == as_host:
        raise typer.BadParameter("either --as-device or --as-host")
    if credential not in ("certificate", "token"):
        raise typer.BadParameter(f"{credential!r} is neither certificate nor token", param_hint="--credential")
    run = _findings(options, "host" if as_device else "device", rule or [], with_slow=slow)
    if as_host:
        _check_device(options, run, listen, reach, with_secret=with_secret, wait_s=wait_s)
    else:
        found = _Given(address, provision, ca_sha256, token_file, credential, board)
        _check_host(options, run, found)


def _findings(
    options: GlobalOptions, keeper: Literal["host", "device"], only: list[str], *, with_slow: bool
) -> Findings:
    from microclaw.link_check.rules import BY_ID
    from microclaw.link_check.run import Findings

    for rule_id in only:
        if rule_id not in BY_ID or not BY_ID[rule_id].is_for(keeper):
            raise typer.BadParameter(f"no rule {rule_id} for a {keeper} in docs/protocols/link.md", param_hint="--rule")

    def told(finding: Finding) -> None:
        options.say(f"{finding.verdict:<10} {finding.rule_id}  {BY_ID[finding.rule_id].text}")
        if finding.verdict == "broken":
            options.say(f"           sent: {finding.sent}")
            options.say(f"           came: {finding.came}")
        elif finding.why is not None:
            options.say(f"           {finding.why}")

    return Findings(keeper, told, only=only, with_slow=with_slow)


def _finish(options: GlobalOptions, run: Findings, facts: dict[str, Any]) -> None:
    from microclaw.link_check.report import count

    counts = {verdict: count(run.all, verdict) for verdict in ("kept", "broken", "not tried")}
    shown = {verdict.replace(" ", "_"): number for verdict, number in counts.items()}
    document = {**facts, **shown, "rules": [finding.to_json() for finding in run.all]}
    options.report("link-check", document, ", ".join(f"{number} {verdict}" for verdict, number in counts.items()))
    if counts["broken"]:
        raise typer.Exit(FAILED)


# As a device


@dataclass(frozen=True, slots=True)
class _Given:
    """What the command line says of the host."""

    address: str | None
    provision: Path | None
    ca_sha256: str | None
    token_file: Path | None
    credential: str
    board: str


def _check_host(options: GlobalOptions, run: Findings, given: _Given) -> None:
    from microclaw.link_check.as_device import check_host

    device_id: str | None = None
    with _target(options, given) as (target, is_ours):
        device_id = asyncio.run(check_host(target, run))
    if device_id is not None and not is_ours and target.token is None:
        options.say(f"the host keeps an entry of this check; there: microclaw device remove {device_id}")
    _finish(options, run, {"checked": "host", "address": f"{target.host}:{target.port}", "device_id": device_id})


@contextmanager
def _target(options: GlobalOptions, given: _Given) -> Iterator[tuple[HostUnderCheck, bool]]:
    """The host to check, and whether it is our own, which forgets the check's device at the end."""
    if given.address is None and given.provision is None:
        client = options.host()
        known = {device["name"] for device in client.devices.list()}
        name = next(name for number in range(1, 1000) if (name := f"{CHECK_NAME}-{number}") not in known)
        made = client.post("/v1/devices/provision", {"name": name, "board": None, "secret": True, "host": None})
        try:
            yield _host_under_check(given, made["host"], made["port"], made["ca_sha256"], made["secret"]), True
        finally:
            if any(device["name"] == name for device in client.devices.list()):
                client.devices.remove(name)
        return
    if given.provision is not None:
        made = _read_provision(given.provision)
        host, port, ca_sha256, secret = made["host"], made["port"], made["ca_sha256"], made.get("secret")
    else:
        assert given.address is not None
        host, port = _host_and_port(given.address)
        ca_sha256, secret = given.ca_sha256, None
        if ca_sha256 is None:
            raise typer.BadParameter("HOST:PORT needs --ca-sha256, or instead of both --provision FILE")
    yield _host_under_check(given, host, port, ca_sha256, secret), False


def _host_under_check(given: _Given, host: str, port: int, ca_sha256: str, secret: str | None) -> HostUnderCheck:
    from microclaw.durable import write_private
    from microclaw.link_check.as_device import HostUnderCheck

    if not re.fullmatch("[0-9A-Fa-f]{64}", ca_sha256):
        raise ConfigError("a fingerprint has 64 hexadecimal digits", next_step="copy it again")
    path = given.token_file

    def show_code(code: str, expires_s: int) -> None:
        print(
            f"pairing code {code}, good for {expires_s} s. At the host: microclaw device pair {code}", file=sys.stderr
        )

    return HostUnderCheck(
        host,
        port,
        ca_sha256,
        secret,
        token=None if path is None else path.read_text(encoding="ascii").strip(),
        credential="token" if given.credential == "token" else "certificate",
        board=given.board,
        show_code=show_code,
        keep_token=None if path is None else lambda token: write_private(path, f"{token}\n".encode()),
    )


def _read_provision(path: Path) -> dict[str, Any]:
    remedy = "microclaw device provision NAME --file FILE writes one"
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        made = json.loads(text)
        fine = (made["microclaw"], type(made["host"]), type(made["port"]), type(made["ca_sha256"])) == (
            1,
            str,
            int,
            str,
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ConfigError(f"{path} is no provision: {exc or type(exc).__name__}", next_step=remedy) from exc
    if not fine:
        raise ConfigError(f"{path} is no provision of this version", next_step=remedy)
    found: dict[str, Any] = made
    return found


def _host_and_port(text: str) -> tuple[str, int]:
    found = _HOST_PORT.fullmatch(text)
    if found is None or int(found[3]) > 65_535:
        raise typer.BadParameter(f"{text!r} is not HOST:PORT")
    return found[1] or found[2], int(found[3])


# As a host


def _check_device(
    options: GlobalOptions, run: Findings, listen: str, reach: str | None, *, with_secret: bool, wait_s: float
) -> None:
    from microclaw.link_check.as_host import CheckHost, check_device

    host, port = _host_and_port(listen)
    is_everywhere = host in ("0.0.0.0", "::")  # noqa: S104  the person asked for it

    def show(made: Provision) -> None:
        """To stderr: stdout has the findings, and with --json the document alone."""
        print(f"listening. Enter this into the device:\n{made.to_text()}\n{made.qr()}", file=sys.stderr, flush=True)
        words = f"microclaw virtual --link wss://{made.host}:{made.port}/link --link-ca-sha256 {made.ca_sha256}"
        print(f"a virtual board instead: {words}", file=sys.stderr, flush=True)

    def show_code(code: str) -> None:
        print(f"the device should show {code}", file=sys.stderr, flush=True)

    told = CheckHost(show, show_code, reach or (None if is_everywhere else host), with_secret, wait_s)
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
            asyncio.run(check_device(told, listening, run))
    except OSError as exc:
        raise ConfigError(f"cannot listen on {listen}: {exc.strerror}", next_step="take another port") from exc
    options.say("the device has a credential of this check alone: give it a factory reset before it joins a host")
    _finish(options, run, {"checked": "device"})
