"""`microclaw firmware`: what needs files, keys or patience of this machine; the other acts are in ota/operations.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from msgspec.structs import replace

from microclaw.cli.firmware_publish import keygen, publish
from microclaw.cli.firmware_signing import (
    CommandOption,
    KeyOption,
    PasswordOption,
    PublicOption,
    Signer,
    new_manifest,
)
from microclaw.cli.many_devices import ask_once, choice_body, chosen_names
from microclaw.cli.operation_commands import show
from microclaw.cli.options import FAILED, GlobalOptions, command_group, global_options
from microclaw.errors import ConfigError
from microclaw.operations.client import Client
from microclaw.ota import operations as firmware
from microclaw.ota.keys import read_public_key
from microclaw.ota.manifest import KeyChange
from microclaw.ota.results import OfferOutcome, Offers, RolloutFacts
from microclaw.text import count_text

firmware_group = command_group()
firmware_group.command("keygen")(keygen)
firmware_group.command("publish")(publish)
FOLLOW_S: Final = 3_600.0
"""A trial that fails three times takes half an hour."""
_POLL_S: Final = 0.5
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for the end.")]
T = TypeVar("T")


@firmware_group.command("change-keys")
def change_keys(
    ctx: typer.Context,
    add: Annotated[
        list[Path] | None, typer.Option("--add", metavar="FILE.pub.pem", help="The host knows it from then on, too.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="KEY", help="What it signed is refused there for ever.")
    ] = None,
    key: KeyOption = None,
    password: PasswordOption = None,
    sign_command: CommandOption = None,
    public_key: PublicOption = None,
    follow: Follow = True,
) -> None:
    """Devices (-d, -l, --all) trust other keys from then on, by a change that a key of theirs signed."""
    options, host = global_options(ctx), global_options(ctx).host()
    new, gone = [read_public_key(file) for file in add or ()], tuple(remove or ())
    if not new and not gone:
        raise typer.BadParameter("say which key: --add FILE.pub.pem, or --remove KEY")
    signer = Signer(key, password, sign_command, public_key)
    signed_by = signer.public.key_id
    if signed_by in gone:
        raise ConfigError(f"{signed_by} cannot sign its own removal", next_step="sign with the key that stays")
    names = chosen_names(options, host)
    what = [*(f"trust {one.key_id}" for one in new), *(f"trust {one} no more" for one in gone)]
    options.agree(f"{count_text(len(names), 'device')}: {' and '.join(what)}?")
    for one, file in zip(new, add or (), strict=True):
        host.call(firmware.trust, public=one.pem.decode(), name=file.name.removesuffix(".pub.pem"))
    kinds: dict[str, list[str]] = {}  # devices by the name of their firmware: each has a signed change of its own
    for status in host.call(firmware.status).devices:
        if status.device in names and status.runs is not None:
            kinds.setdefault(status.runs.name, []).append(status.device)
    if left_out := sorted({*names} - {name for of_kind in kinds.values() for name in of_kind}):
        options.say(f"left out, as they take no updates: {', '.join(left_out)}")
    if not kinds:
        raise ConfigError("none of these devices takes updates", next_step="microclaw firmware status")
    made = host.call(firmware.list_releases).releases
    serial = max((int(one.version.removeprefix("keys-")) for one in made if one.kind == "keys"), default=0) + 1
    change: dict[str, Any] = {"serial": serial, "add": tuple(one.trusted for one in new), "remove": gone}
    results: list[OfferOutcome] = []
    for kind, devices in sorted(kinds.items()):
        manifest = new_manifest(KeyChange, kind="keys", name=kind, key_id=signed_by, **change)
        release = host.call(firmware.publish, manifest=manifest, signature=signer.sign(manifest)).release
        assert release is not None
        offers = host.call(firmware.update, release=str(release.release_id), devices=tuple(devices))
        results += offers.results
    _end_offers(options, host, Offers(version=offers.version, results=results), follow=follow)


@firmware_group.command("update")
def update(
    ctx: typer.Context,
    release: Annotated[str, typer.Argument(metavar="VERSION", help="Or its number: firmware list.")],
    follow: Follow = True,
) -> None:
    """Offer a release to devices (-d, -l, --all), and follow it; one that is away gets it when it is back."""
    options, host = global_options(ctx), global_options(ctx).host()
    ask_once(options, host, f"offer {release} to")
    _end_offers(options, host, host.call(firmware.update, release=release, **choice_body(options)), follow=follow)


@firmware_group.command("rollouts")
def rollouts(
    ctx: typer.Context,
    number: Annotated[int | None, typer.Argument(metavar="NUMBER", min=1, help="How this one stands.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Show how it goes on, until its end.")] = False,
) -> None:
    """Rollouts, the newest first, or how one of them stands. Exit code 1 with -f when it stopped by itself."""
    options, host = global_options(ctx), global_options(ctx).host()
    if number is None:
        show(options, firmware.list_rollouts, host.call(firmware.list_rollouts))
        return
    one = host.call(firmware.show_rollout, number=number)

    def look(_: RolloutFacts) -> tuple[RolloutFacts, bool]:
        now = host.call(firmware.show_rollout, number=number)
        return now, not now.is_over

    if follow and not one.is_over:
        one = _followed(options, one, look, lambda now: list(now.lines())[:1], goes_on=True)
    show(options, firmware.show_rollout, one)
    if follow and one.state == "halted":
        raise typer.Exit(FAILED)


def _followed(
    options: GlobalOptions,
    made: T,
    look: Callable[[T], tuple[T, bool]],
    lines: Callable[[T], Iterable[str]],
    *,
    goes_on: bool,
    within_s: float = inf,
) -> T:
    """Tell each of its lines once while it goes on, as `look` says; how it stands then."""
    told, until_s = set[str](), time.monotonic() + within_s
    while True:
        for line in lines(made):
            if line not in told:
                options.say(line)
            told.add(line)
        if not goes_on or time.monotonic() > until_s:
            return made
        time.sleep(_POLL_S)
        made, goes_on = look(made)


def _end_offers(options: GlobalOptions, host: Client, made: Offers, *, follow: bool) -> None:
    """Tell each change until every offer is over, or waits for a device that is absent; the exit code of all."""

    def look(before: Offers) -> tuple[Offers, bool]:
        known = {one.device: one for one in host.call(firmware.status).devices}
        results, goes_on = list(before.results), False
        for index, one in enumerate(results):
            if one.offer is not None and (status := known.get(one.device)) is not None:
                now = status.now(one.offer)
                results[index] = replace(one, offer=now)
                goes_on = goes_on or not (now.is_over or (now.state == "waiting" and status.absent))
        return replace(before, results=results), goes_on

    made = _followed(
        options, made, look, lambda now: [one.text for one in now.results], goes_on=follow, within_s=FOLLOW_S
    )
    show(options, firmware.update, made)
