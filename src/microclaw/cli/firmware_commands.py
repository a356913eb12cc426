"""`microclaw firmware`: signed updates of boards: list, show, verify, withdraw, offer, follow (docs/updates.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from microclaw.cli.firmware_keys import keys_group
from microclaw.cli.firmware_offers import follow_offers, offer, offer_text
from microclaw.cli.firmware_publish import keygen, publish
from microclaw.cli.many_devices import chosen_names
from microclaw.cli.options import command_group, global_options
from microclaw.client.request import segment
from microclaw.devices.selection import names_text
from microclaw.durable import read_given
from microclaw.ota.keys import SIGNATURE_BYTES, read_public_key
from microclaw.ota.manifest import MAX_MANIFEST_BYTES, read_manifest

firmware_group = command_group()
firmware_group.command("keygen")(keygen)
firmware_group.command("publish")(publish)
firmware_group.add_typer(keys_group, name="keys", help="The keys that sign updates, here and on devices.")
ReleaseArgument = Annotated[str, typer.Argument(metavar="VERSION|NUMBER", help="microclaw firmware list shows them.")]


@firmware_group.command("list")
def list_releases(ctx: typer.Context) -> None:
    """Every release, the newest first."""
    options = global_options(ctx)
    found = options.fetch("firmware-releases", "/v1/firmware/releases")["releases"]
    options.table(
        [
            (
                row["release"],
                row["version"],
                row["kind"],
                row["name"],
                " ".join([row["board"] or "every board", *row["revisions"]]),
                row["channel"] or "",
                _release_state(row),
            )
            for row in found
        ],
        head=("NO", "VERSION", "KIND", "NAME", "BOARD", "CHANNEL", "STATE"),
        empty="nothing is published: microclaw firmware publish --help",
    )


def _release_state(row: dict[str, Any]) -> str:
    if row["withdrawn_ms"] is not None:
        return "withdrawn"
    return f"until {row['expires'][:10]}{', boards may go back to it' if row['allow_downgrade'] else ''}"


@firmware_group.command("show")
def show(ctx: typer.Context, release: ReleaseArgument) -> None:
    """A release with its manifest, as it was signed."""
    options = global_options(ctx)
    found = options.fetch("firmware-release", f"/v1/firmware/releases/{segment(release)}")["releases"]
    for row in found:
        state = "withdrawn" if row["withdrawn_ms"] is not None else "published"
        options.line(f"release {row['release']}: {row['version']}, {state} by {row['published_by']}")
        options.line(row["manifest"])


@firmware_group.command("verify")
def verify(
    ctx: typer.Context,
    release: Annotated[str | None, typer.Argument(metavar="VERSION|NUMBER")] = None,
    manifest: Annotated[Path | None, typer.Option("--manifest", metavar="FILE", help="A file; needs no host.")] = None,
    signature: Annotated[Path | None, typer.Option("--signature", metavar="FILE", help="Of --manifest.")] = None,
    public: Annotated[
        Path | None, typer.Option("--public-key", metavar="FILE", help="Whose signature it is to be.")
    ] = None,
) -> None:
    """Check signature and payload again: of a release on the host, or of files here."""
    options = global_options(ctx)
    if release is not None:
        found = options.host().firmware.verify(release)["releases"]
        text = f"{found[0]['version']}: signature and payload are right"
        options.report("firmware-verified", {"releases": found}, text)
        return
    if manifest is None or signature is None or public is None:
        raise typer.BadParameter("give a release, or --manifest, --signature and --public-key")
    data = read_given(manifest, MAX_MANIFEST_BYTES)
    read, key = read_manifest(data), read_public_key(public)
    key.verify(data, read_given(signature, SIGNATURE_BYTES))
    options.report(
        "firmware-verified", {"version": read.version, "key_id": key.key_id}, f"{read.version}: signed by {key.key_id}"
    )


@firmware_group.command("withdraw")
def withdraw(ctx: typer.Context, release: ReleaseArgument) -> None:
    """Nobody gets it any more; a device that has the offer and not the update gives it up, one that runs it goes on."""
    options = global_options(ctx)
    options.agree(f"withdraw {release}?")
    found = options.host().firmware.withdraw(release)
    off = f", and called off on {names_text(found['called_off'])}" if found["called_off"] else ""
    options.report("firmware-withdrawn", found, f"{release} is withdrawn{off}")


@firmware_group.command("update")
def update(
    ctx: typer.Context,
    release: ReleaseArgument,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for the end.")] = True,
) -> None:
    """Offer a release to devices (-d, -l, --all), and follow it; one that is away gets it when it is back."""
    options, host = global_options(ctx), global_options(ctx).host()
    names = chosen_names(options, host)
    if len(names) > 1:
        options.agree(f"update {len(names)} devices to {release}: {names_text(names)}?")
    choice = {"devices": list(options.devices), "labels": list(options.labels), "all": options.every}
    follow_offers(options, host, release, offer(options, host, release, choice), follow=follow)


@firmware_group.command("status")
def status(ctx: typer.Context) -> None:
    """What each device runs and trusts, and how its update stands; of one with -d."""
    options = global_options(ctx)
    query = {"device": options.device} if options.device else None
    found = options.fetch("firmware-status", "/v1/firmware/status", query)["devices"]
    rows = [(one["device"], *_status_cells(one)) for one in found]
    options.table(rows, head=("DEVICE", "FIRMWARE", "BOARD", "CHANNEL", "UPDATE"), empty="no device has a link")


@firmware_group.command("cancel")
def cancel(ctx: typer.Context) -> None:
    """Ask a device (-d) to give up an update that it has not written yet."""
    options = global_options(ctx)
    if options.device is None:
        raise typer.BadParameter("say which device: -d NAME")
    made = options.host().firmware.cancel_offer(options.device)
    options.report("firmware-cancelled", made, f"{made['device']} was asked to give up {made['offer']['version']}")


def _status_cells(one: dict[str, Any]) -> tuple[str, str, str, str]:
    if not one["takes_updates"]:
        return "", "", "", "takes no updates"
    said = "" if one["offer"] is None else offer_text(one["offer"], is_away=not one["online"])
    if one["not_ours"] is not None and one["offer"] is None:
        said = f"{one['not_ours']['version']} {one['not_ours']['state']}, which is not ours"
    firmware = one["firmware"]
    board = " ".join([one["board"], *([one["revision"]] if one["revision"] else [])])
    return f"{firmware['name']} {firmware['version']}", board, str(one["channel"]), said
