"""`microclaw firmware keygen` and `publish`: keys are made and manifests signed here, never on the host."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from microclaw.boards.today import OUR_FIRMWARE
from microclaw.cli.firmware_signing import Signer, new_manifest, signing_options
from microclaw.cli.options import GlobalOptions
from microclaw.cli.secret_value import SECRET_METAVAR, secret_value
from microclaw.durable import read_given
from microclaw.errors import ConfigError, MicroclawError
from microclaw.operations.client import Client
from microclaw.ota import operations as firmware
from microclaw.ota.bundle import own_files, pack
from microclaw.ota.image import read_application
from microclaw.ota.keys import SigningKey
from microclaw.ota.manifest import CHIPS, MAX_PAYLOAD_BYTES, SMALL, Release, check_version
from microclaw.store.firmware import ReleaseRow

PIECE_BYTES: Final = 512 << 10


@click.command()
@click.option("--out", default=Path("firmware-key.pem"), type=Path, metavar="FILE", help="The private key's file.")
@click.option("--password", metavar=SECRET_METAVAR, help="Lock the key with it; - asks for it.")
@click.option("--name", help="What people call it; its file's name otherwise.")
@click.pass_obj
def keygen(options: GlobalOptions, out: Path, password: str | None, name: str | None) -> None:
    """Make the key that signs updates: FILE is secret, FILE.pub.pem is for hosts and boards."""
    secret = None if password is None else secret_value("--password", password, is_new=True)
    public = out.with_suffix(".pub.pem")
    if public.exists():
        raise ConfigError(f"{public} is there already", next_step="give another --out")
    key = SigningKey.generate()
    key.write(out, secret)
    public.write_bytes(key.public.pem)
    unknown: str | None = None
    try:
        options.host().call(firmware.trust, public=key.public.pem.decode(), name=name or out.stem)
    except MicroclawError as exc:  # the key is made, and stays
        unknown = exc.message
    made = {"key_id": key.public.key_id, "private": str(out), "public": str(public), "known_to_host": unknown is None}
    options.end_with_json("firmware-key", made)
    options.line(f"key {key.public.key_id}: {out} (secret), {public}")
    options.say("who has it can update every board that trusts it; if it is lost, nobody can (docs/updates.md)")
    if unknown is not None:
        options.say(f"no host knows it yet ({unknown}); next: microclaw firmware trust {public}")
    options.say(
        "boards trust it once it is on them: microclaw flash, or for boards with a key already: firmware change-keys"
    )


@click.command()
@click.option("--board", required=True, metavar="CHIP", help="esp32s3, esp32c3, ...; CHIP-small without PSRAM.")
@click.option("--version", metavar="X.Y.Z", help="Of the release.")
@click.option("--image", type=Path, metavar="FILE", help="An application of your own.")
@click.option(
    "--revision", multiple=True, metavar="R", help="Only boards of this revision take it; may be given again."
)
@click.option("--channel", default="stable", help="Devices of this channel take it.")
@click.option("--name", help="Of the firmware, as devices say it.")
@click.option("--only", "device", metavar="DEVICE_ID", help="For one device alone.")
@click.option("--security-version", type=click.IntRange(0, 65_535), help="None: as the last release had it.")
@click.option("--allow-downgrade", is_flag=True, help="Boards with a newer one take it.")
@click.option("--valid-days", default=90, type=click.IntRange(1, 3_650), help="Boards take it for so long.")
@signing_options
@click.pass_obj
def publish(
    options: GlobalOptions,
    /,
    board: str,
    version: str | None,
    image: Path | None,
    revision: tuple[str, ...],
    name: str | None,
    security_version: int | None,
    make_signer: Callable[[], Signer],
    **facts: Any,
) -> None:
    """Sign a release of this installation's files for boards, or of an image, and give it to the host."""
    host = options.host()
    known = CHIPS if image is not None else (*CHIPS, *(f"{chip}{SMALL}" for chip in CHIPS))
    if board not in known:
        raise ConfigError(f"no board {board[:40]!r} takes updates", next_step=f"--board is one of {', '.join(known)}")
    if image is None and version is None:
        raise click.BadParameter("a release of our files needs its number: --version 1.4.0")
    signer = make_signer()
    if security_version is None:
        rows = host.call(firmware.list_releases).releases
        security_version = max((row.security_version for row in rows if row.board == board), default=0)
    if image is None:
        name = name or OUR_FIRMWARE
        files = own_files(board, name=name, version=str(version), security_version=security_version)
        payload = pack(asyncio.run(files))
    else:
        payload = read_given(image, MAX_PAYLOAD_BYTES)
        found = read_application(payload, chip=board)
        version, name = check_version(version or found.version), name or found.project
    manifest = release_manifest(
        payload,
        kind="files" if image is None else "image",
        name=name,
        board=board,
        revisions=tuple(sorted(set(revision))) if revision else None,
        version=version,
        security_version=security_version,
        key_id=signer.public.key_id,
        **facts,
    )
    made = send_release(host, manifest, signer.sign(manifest), payload, options.say)
    text = f"release {made.release_id}: {made.name} {made.version} for {made.board}, {made.size_bytes} bytes"
    options.report("firmware-release", {"release": msgspec.to_builtins(made)}, text)
    options.say(f"offer it: microclaw firmware update {made.version} -d DEVICE")


def release_manifest(payload: bytes, **facts: Any) -> bytes:
    """A release that is to be signed; `facts` are the further fields of Release."""
    return new_manifest(Release, sha256=hashlib.sha256(payload).hexdigest(), size=len(payload), **facts)


def send_release(
    host: Client, manifest: bytes, signature: bytes, payload: bytes, say: Callable[[str], None]
) -> ReleaseRow:
    """The release as the host keeps it; the payload goes in pieces, and only where the host has it not."""
    made = host.call(firmware.publish, manifest=manifest, signature=signature)
    if (wanted := made.wanted) is not None:
        offset = wanted.offset
        while offset < len(payload):
            piece = payload[offset : offset + PIECE_BYTES]
            offset = host.call(firmware.receive, sha256=wanted.sha256, offset=offset, data=piece).offset
            say(f"sent {offset * 100 // len(payload)} %")
        made = host.call(firmware.publish, manifest=manifest, signature=signature)
    assert made.release is not None
    return made.release
