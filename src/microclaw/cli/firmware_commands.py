"""`microclaw firmware`: what needs files, keys or patience of this machine; the other acts are in ota/operations.py."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click
import msgspec
from click.exceptions import Exit

from microclaw.cli.firmware_publish import keygen, publish, unsigned
from microclaw.cli.firmware_signing import (
    Signer,
    command_option,
    key_option,
    name_option,
    password_option,
    public_option,
)
from microclaw.cli.many_devices import ask_once, choice_body, chosen_names
from microclaw.cli.operation_commands import show
from microclaw.cli.options import FAILED, GlobalOptions, command_group
from microclaw.errors import ConfigError
from microclaw.operations.client import Client
from microclaw.ota import operations as firmware
from microclaw.ota.keys import PublicKey, read_public_key
from microclaw.ota.manifest import KeyChange
from microclaw.ota.results import Offers, UpdateKey
from microclaw.text import count_text

firmware_group = command_group()
firmware_group.add_command(keygen, "keygen")
firmware_group.add_command(publish, "publish")
FOLLOW_S: Final = 3_600.0
"""A trial that fails three times takes half an hour."""
_POLL_S: Final = 0.5
follow_option = click.option("--follow/--no-follow", default=True, help="Wait for the end.")


@firmware_group.command("trust")
@click.argument("public", type=Path, metavar="FILE.pub.pem")
@name_option
@click.pass_obj
def trust(options: GlobalOptions, public: Path, name: str | None) -> None:
    """This host passes on what the key signs; no device is told."""
    show(options, firmware.trust, _known(options.host(), read_public_key(public), name, public))


@firmware_group.command("change-keys")
@click.option("--add", multiple=True, type=Path, metavar="FILE.pub.pem", help="The host knows it from then on, too.")
@click.option("--remove", multiple=True, metavar="KEY", help="What it signed is refused there for ever.")
@key_option
@password_option
@command_option
@public_option
@follow_option
@click.pass_obj
def change_keys(
    options: GlobalOptions,
    add: tuple[Path, ...],
    remove: tuple[str, ...],
    key: Path | None,
    password: str | None,
    sign_command: str | None,
    public_key: Path | None,
    follow: bool,
) -> None:
    """Devices (-d, -l, --all) trust other keys from then on, by a change that a key of theirs signed."""
    host = options.host()
    new, gone = [(read_public_key(file), file) for file in add or ()], tuple(remove or ())
    if not new and not gone:
        raise click.BadParameter("say which key: --add FILE.pub.pem, or --remove KEY")
    signer = Signer(options, key, password, sign_command, public_key)
    if signer.public.key_id in gone:
        text = f"{signer.public.key_id} cannot sign its own removal"
        raise ConfigError(text, next_step="sign with the key that stays")
    for one, file in new:
        _known(host, one, None, file)
    what = [*(f"trust {one.key_id}" for one, _ in new), *(f"trust {one} no more" for one in gone)]
    names = chosen_names(options, host)
    options.agree(f"{count_text(len(names), 'device')}: {' and '.join(what)}?")
    statuses = [one for one in host.call(firmware.status).devices if one.device in names]
    if left_out := sorted({*names} - {one.device for one in statuses if one.runs is not None}):
        options.say(f"left out, as they take no updates: {', '.join(left_out)}")
    if not (kinds := sorted({one.runs.name for one in statuses if one.runs is not None})):
        raise ConfigError("none of these devices takes updates", next_step="microclaw firmware status")
    serial, made = _next_serial(host), Offers(version="", results=[])
    for kind in kinds:  # a signed change for each firmware's name
        keys = tuple(one.trusted for one, _ in new)
        manifest = unsigned(
            KeyChange, kind="keys", name=kind, serial=serial, add=keys, remove=gone, key_id=signer.public.key_id
        )
        published = host.call(firmware.publish, manifest=manifest, signature=signer.sign(manifest)).release
        assert published is not None
        devices = tuple(one.device for one in statuses if one.runs is not None and one.runs.name == kind)
        offered = host.call(firmware.update, release=str(published.release_id), devices=devices)
        made = Offers(version=offered.version, results=made.results + offered.results)
    _end(options, host, made, follow=follow)


@firmware_group.command("update")
@click.argument("release", metavar="VERSION", help="Or its number: firmware list.")
@follow_option
@click.pass_obj
def update(options: GlobalOptions, release: str, follow: bool) -> None:
    """Offer a release to devices (-d, -l, --all), and follow it; one that is away gets it when it is back."""
    host = options.host()
    ask_once(options, host, f"offer {release} to")
    _end(options, host, host.call(firmware.update, release=release, **choice_body(options)), follow=follow)


@firmware_group.command("rollouts")
@click.argument("number", required=False, type=click.IntRange(min=1), metavar="[NUMBER]", help="How this one stands.")
@click.option("-f", "--follow", is_flag=True, help="Show how it goes on, until its end.")
@click.pass_obj
def rollouts(options: GlobalOptions, number: int | None, follow: bool) -> None:
    """Rollouts, the newest first, or how one of them stands. Exit code 1 with -f when it stopped by itself."""
    host = options.host()
    if number is None:
        show(options, firmware.list_rollouts, host.call(firmware.list_rollouts))
        return
    one, told = host.call(firmware.show_rollout, number=number), ""
    while follow and not one.is_over:
        head = next(iter(one.lines()))
        if head != told:
            options.say(head)
        told = head
        time.sleep(_POLL_S)
        one = host.call(firmware.show_rollout, number=number)
    show(options, firmware.show_rollout, one)
    if follow and one.state == "halted":
        raise Exit(FAILED)


def _known(host: Client, key: PublicKey, name: str | None, file: Path) -> UpdateKey:
    return host.call(firmware.trust, public=key.pem.decode(), name=name or file.name.removesuffix(".pub.pem"))


def _end(options: GlobalOptions, host: Client, made: Offers, *, follow: bool) -> None:
    """Tell each change until every offer is over, or waits for a device that is absent; the exit code of all."""
    until_s, told, waits = time.monotonic() + FOLLOW_S, set[str](), follow
    while True:
        for text in [one.text for one in made.results if one.text not in told]:
            options.say(text)
            told.add(text)
        if not waits or time.monotonic() > until_s:
            break
        time.sleep(_POLL_S)
        known, waits = {one.device: one for one in host.call(firmware.status).devices}, False
        results = []
        for one in made.results:
            if one.offer is not None and (status := known.get(one.device)) is not None:
                one = msgspec.structs.replace(one, offer=(now := status.now(one.offer)))
                waits = waits or not (now.is_over or (now.state == "waiting" and status.absent))
            results.append(one)
        made = msgspec.structs.replace(made, results=results)
    show(options, firmware.update, made)


def _next_serial(host: Client) -> int:
    """Above every one that this host gave."""
    found = host.call(firmware.list_releases).releases
    return max((int(one.version.removeprefix("keys-")) for one in found if one.kind == "keys"), default=0) + 1
