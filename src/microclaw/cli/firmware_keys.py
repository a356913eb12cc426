"""`microclaw firmware keys`: which keys sign updates, on the host and, by a signed change, on devices."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from microclaw.cli.firmware_offers import follow_offers, offer
from microclaw.cli.firmware_signing import CommandOption, NameOption, PasswordOption, PublicOption, Signer, SignWith
from microclaw.cli.many_devices import chosen_names
from microclaw.cli.options import GlobalOptions, command_group, global_options
from microclaw.client import Client
from microclaw.client.request import segment
from microclaw.errors import ConfigError
from microclaw.ota.keys import PublicKey, read_public_key
from microclaw.ota.manifest import ALG, SCHEMA, KeyChange, moment, write_manifest

keys_group = command_group()
_VALID_S: Final = 90 * 86_400
SignOption = Annotated[
    Path | None, typer.Option("--sign-with", metavar="FILE", help="A private key that devices trust.")
]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for the devices' answers.")]


@keys_group.command("list")
def list_keys(ctx: typer.Context) -> None:
    """The keys that this host knows; what a device trusts: microclaw firmware status."""
    options = global_options(ctx)
    found = options.fetch("firmware-keys", "/v1/firmware/keys")["keys"]
    rows = [(row["key_id"], row["name"]) for row in found]
    options.table(rows, head=("KEY", "NAME"), empty="no key is known: microclaw firmware keygen")


@keys_group.command("trust")
def trust(
    ctx: typer.Context,
    public: Annotated[Path, typer.Argument(metavar="FILE.pub.pem")],
    name: NameOption = None,
) -> None:
    """This host passes on what the key signs; no device is told."""
    options = global_options(ctx)
    key = read_public_key(public)
    made = options.host().post("/v1/firmware/keys", _named(key, name, public))
    options.report("firmware-key", made, f"updates signed by {key.key_id} are passed on")


@keys_group.command("distrust")
def distrust(ctx: typer.Context, key_id: Annotated[str, typer.Argument(metavar="KEY")]) -> None:
    """This host takes no more releases of the key; no device is told."""
    options = global_options(ctx)
    gone = options.host().delete(f"/v1/firmware/keys/{segment(key_id)}")
    options.report("firmware-key", gone, f"updates signed by {key_id} are taken no more")


@keys_group.command("add")
def add(
    ctx: typer.Context,
    public: Annotated[Path, typer.Argument(metavar="FILE.pub.pem", help="The new key's public part.")],
    sign_with: SignOption = None,
    password: PasswordOption = None,
    sign_command: CommandOption = None,
    public_key: PublicOption = None,
    name: NameOption = None,
    follow: Follow = True,
) -> None:
    """Devices (-d, -l, --all) trust one more key from then on; the host knows it too."""
    options, new = global_options(ctx), read_public_key(public)
    signer = Signer(options, SignWith(sign_with, password, sign_command, public_key))
    options.host().post("/v1/firmware/keys", _named(new, name, public))
    _change(options, signer, add=(new,), remove=(), follow=follow)


@keys_group.command("remove")
def remove(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The first 16 digits: microclaw firmware keys list.")],
    sign_with: SignOption = None,
    password: PasswordOption = None,
    sign_command: CommandOption = None,
    public_key: PublicOption = None,
    follow: Follow = True,
) -> None:
    """Devices (-d, -l, --all) trust a key no more; what it signed is refused there for ever."""
    options = global_options(ctx)
    signer = Signer(options, SignWith(sign_with, password, sign_command, public_key))
    if signer.public.key_id == key_id:
        text = f"{key_id} cannot sign its own removal: a device would be left with what nobody proved to have"
        raise ConfigError(text, next_step="sign with the key that stays")
    _change(options, signer, add=(), remove=(key_id,), follow=follow)


def _named(key: PublicKey, name: str | None, file: Path) -> dict[str, str]:
    return {"public": key.pem.decode(), "name": name or file.name.removesuffix(".pub.pem")}


def _change(
    options: GlobalOptions, signer: Signer, *, add: Sequence[PublicKey], remove: Sequence[str], follow: bool
) -> None:
    """One signed change for each firmware's name among the devices, with one number."""
    host = options.host()
    names = chosen_names(options, host)
    what = " and ".join([*(f"trust {key.key_id}" for key in add), *(f"trust {key} no more" for key in remove)])
    options.agree(f"{len(names)} {'device' if len(names) == 1 else 'devices'}: {what}?")
    by_firmware: dict[str, list[str]] = {}
    for one in host.firmware.status():
        if one["device"] in names and one["firmware"] is not None:
            by_firmware.setdefault(str(one["firmware"]["name"]), []).append(str(one["device"]))
    if not by_firmware:
        raise ConfigError("none of these devices takes updates", next_step="microclaw firmware status")
    serial = _next_serial(host)
    results: list[dict[str, Any]] = []
    for firmware, devices in sorted(by_firmware.items()):
        manifest = _manifest(signer, firmware, serial, add, remove)
        body = {
            "manifest": base64.b64encode(manifest).decode(),
            "signature": base64.b64encode(signer.sign(manifest)).decode(),
        }
        release = host.post("/v1/firmware/releases", body)["release"]
        results += offer(options, host, str(release["release"]), {"devices": devices, "labels": [], "all": False})
    left_out = sorted(set(names) - {name for devices in by_firmware.values() for name in devices})
    if left_out:
        options.say(f"left out, as they take no updates: {', '.join(left_out)}")
    follow_offers(options, host, f"keys-{serial}", results, follow=follow)


def _next_serial(host: Client) -> int:
    """Above every one that this host gave."""
    rows = host.firmware.releases()
    given = [int(str(row["version"]).removeprefix("keys-")) for row in rows if row["kind"] == "keys"]
    return max(given, default=0) + 1


def _manifest(signer: Signer, firmware: str, serial: int, add: Sequence[PublicKey], remove: Sequence[str]) -> bytes:
    now_s = time.time()
    return write_manifest(
        KeyChange(
            schema=SCHEMA,
            kind="keys",
            name=firmware,
            serial=serial,
            add=tuple(key.trusted for key in add),
            remove=tuple(remove),
            created=moment(now_s),
            expires=moment(now_s + _VALID_S),
            key_id=signer.public.key_id,
            alg=ALG,
        )
    )
