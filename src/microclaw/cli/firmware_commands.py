"""`microclaw firmware`: what needs files, keys or patience of this machine; the other acts are in ota/operations.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import click
from click.exceptions import Exit
from msgspec.structs import replace

from microclaw.cli.firmware_publish import keygen, publish
from microclaw.cli.firmware_signing import Signer, new_manifest, signing_options
from microclaw.cli.many_devices import ask_once, choice_body, chosen_names
from microclaw.cli.operation_commands import perform, show
from microclaw.cli.options import FAILED, GlobalOptions, command_group
from microclaw.errors import ConfigError
from microclaw.operations.client import Client
from microclaw.ota import operations as firmware
from microclaw.ota.keys import read_public_key
from microclaw.ota.manifest import KeyChange
from microclaw.ota.results import OfferOutcome, Offers
from microclaw.text import count_text

firmware_group = command_group()
firmware_group.add_command(keygen, "keygen")
firmware_group.add_command(publish, "publish")
FOLLOW_S: Final = 3_600.0
"""A trial that fails three times takes half an hour."""
_POLL_S: Final = 0.5
follow_option = click.option("--follow/--no-follow", default=True, help="Wait for the end.")


@firmware_group.command("change-keys")
@click.option("--add", multiple=True, type=Path, metavar="FILE.pub.pem", help="The host knows it from then on, too.")
@click.option("--remove", multiple=True, metavar="KEY", help="What it signed is refused there for ever.")
@signing_options
@follow_option
@click.pass_obj
def change_keys(
    options: GlobalOptions,
    add: tuple[Path, ...],
    remove: tuple[str, ...],
    follow: bool,
    make_signer: Callable[[], Signer],
) -> None:
    """Devices (-d, -l, --all) trust other keys from then on, by a change that a key of theirs signed."""
    host = options.host()
    new, gone = [read_public_key(file) for file in add or ()], tuple(remove or ())
    if not new and not gone:
        raise click.BadParameter("say which key: --add FILE.pub.pem, or --remove KEY")
    signer = make_signer()
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
@click.argument("release", metavar="VERSION", help="Or its number: firmware list.")
@follow_option
@click.pass_obj
def update(options: GlobalOptions, release: str, follow: bool) -> None:
    """Offer a release to devices (-d, -l, --all), and follow it; one that is away gets it when it is back."""
    host = options.host()
    ask_once(options, host, f"offer {release} to")
    _end_offers(options, host, host.call(firmware.update, release=release, **choice_body(options)), follow=follow)


@firmware_group.command("rollouts")
@click.argument("number", required=False, type=click.IntRange(min=1), metavar="[NUMBER]", help="How this one stands.")
@click.option("-f", "--follow", is_flag=True, help="Show how it goes on, until its end.")
@click.option(
    "--do",
    type=click.Choice(["pause", "resume", "stop", "undo"]),
    help="No more offers; go on; end it for good; take its boards back to what they ran.",
)
@click.pass_obj
def rollouts(options: GlobalOptions, number: int | None, follow: bool, do: str | None) -> None:
    """Rollouts, the newest first, or how one of them stands. Exit code 1 with -f when it stopped by itself."""
    host = options.host()
    if do is not None:
        if number is None or follow:
            raise click.BadParameter("--do is of one rollout: firmware rollouts NUMBER --do pause")
        perform(options, firmware.change_rollout, {"number": number, "act": do})
        return
    if number is None:
        show(options, firmware.list_rollouts, host.call(firmware.list_rollouts))
        return
    one, told = host.call(firmware.show_rollout, number=number), set[str]()
    while follow and not one.is_over:
        _tell(options, told, [*one.lines()][:1])
        time.sleep(_POLL_S)
        one = host.call(firmware.show_rollout, number=number)
    show(options, firmware.show_rollout, one)
    if follow and one.state == "halted":
        raise Exit(FAILED)


def _end_offers(options: GlobalOptions, host: Client, made: Offers, *, follow: bool) -> None:
    """Tell each change until every offer is over, or waits for a device that is absent; the exit code of all."""
    told, until_s = set[str](), time.monotonic() + FOLLOW_S
    while True:
        _tell(options, told, [one.text for one in made.results])
        if not follow or time.monotonic() > until_s:
            break
        time.sleep(_POLL_S)
        known = {one.device: one for one in host.call(firmware.status).devices}
        results, follow = list(made.results), False
        for index, one in enumerate(results):
            if one.offer is not None and (status := known.get(one.device)) is not None:
                now = status.now(one.offer)
                results[index] = replace(one, offer=now)
                follow = follow or not (now.is_over or (now.state == "waiting" and status.absent))
        made = replace(made, results=results)
    show(options, firmware.update, made)


def _tell(options: GlobalOptions, told: set[str], lines: Iterable[str]) -> None:
    """Say those that are not `told` yet."""
    for line in lines:
        if line not in told:
            options.say(line)
        told.add(line)
