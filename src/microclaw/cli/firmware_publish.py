"""`microclaw firmware keygen` and `publish`: keys are made and manifests signed here, never on the host."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from microclaw.boards.today import OUR_FIRMWARE
from microclaw.cli.firmware_signing import (
    Signer,
    command_option,
    key_option,
    name_option,
    password_option,
    public_option,
    signing_public_key,
)
from microclaw.cli.options import GlobalOptions
from microclaw.cli.secret_value import SECRET_METAVAR, secret_value
from microclaw.durable import read_given, replace_file
from microclaw.errors import ConfigError, MicroclawError, NoHost
from microclaw.operations.client import Client
from microclaw.ota import operations as firmware
from microclaw.ota.bundle import own_files, pack
from microclaw.ota.image import read_application
from microclaw.ota.keys import SIGNATURE_BYTES, SigningKey
from microclaw.ota.manifest import (
    ALG,
    CHIPS,
    MAX_MANIFEST_BYTES,
    MAX_PAYLOAD_BYTES,
    SCHEMA,
    SMALL,
    KeyChange,
    Release,
    check_version,
    moment,
    version_numbers,
    write_manifest,
)
from microclaw.store.firmware import ReleaseRow

PIECE_BYTES: Final = 512 << 10
_PAYLOAD: Final = ".payload"


@click.command()
@click.option("--out", default=Path("firmware-key.pem"), type=Path, metavar="FILE", help="The private key's file.")
@click.option("--password", metavar=SECRET_METAVAR, help="Lock the key with it.")
@click.option("--lock", is_flag=True, help="Ask for a password to lock the key with.")
@name_option
@click.pass_obj
def keygen(options: GlobalOptions, out: Path, password: str | None, lock: bool, name: str | None) -> None:
    """Make the key that signs updates: FILE is secret, FILE.pub.pem is for hosts and boards."""
    secret = _new_password(password, lock=lock)
    public = out.with_suffix(".pub.pem")
    if public.exists():
        raise ConfigError(f"{public} is there already", next_step="give another --out")
    key = SigningKey.generate()
    key.write(out, secret)
    try:
        replace_file(public, key.public.pem, mode=0o644)
    except OSError as exc:
        out.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {public}: {exc.strerror}", next_step="give another --out") from exc
    unknown: str | None = None
    try:
        options.host().call(firmware.trust, public=key.public.pem.decode(), name=name or out.stem)
    except MicroclawError as exc:  # the key is made, and stays
        unknown = exc.message
    made = {"key_id": key.public.key_id, "private": str(out), "public": str(public), "known_to_host": unknown is None}
    if options.wrote_json("firmware-key", made):
        return
    options.line(f"key {key.public.key_id}: {out} (secret), {public}")
    options.say("who has it can update every board that trusts it; if it is lost, nobody can (docs/updates.md)")
    if unknown is not None:
        options.say(f"no host knows it yet ({unknown}); next: microclaw firmware trust {public}")
    options.say(
        "boards trust it once it is on them: microclaw flash, or for boards with a key already: firmware change-keys"
    )


@click.command()
@click.option("--version", metavar="X.Y.Z", help="Of the release.")
@click.option("--board", metavar="CHIP", help="esp32s3, esp32c3, ...; CHIP-small without PSRAM.")
@click.option("--image", type=Path, metavar="FILE", help="An application of your own.")
@click.option(
    "--revision", multiple=True, metavar="R", help="Only boards of this revision take it; may be given again."
)
@click.option("--channel", default="stable", help="Devices of this channel take it.")
@click.option("--name", help="Of the firmware, as devices say it.")
@click.option("--only", metavar="DEVICE_ID", help="For one device alone.")
@click.option("--security-version", type=click.IntRange(0, 65_535), help="None: as the last release had it.")
@click.option("--allow-downgrade", is_flag=True, help="Boards with a newer one take it.")
@click.option("--valid-days", default=90, type=click.IntRange(1, 3_650), help="Boards take it for so long.")
@key_option
@password_option
@command_option
@public_option
@click.option("--manifest-only", type=Path, metavar="OUT", help="Write what is to be signed, and its payload.")
@click.option("--manifest", type=Path, metavar="FILE", help="What --manifest-only wrote.")
@click.option("--signature", type=Path, metavar="FILE", help="Of --manifest, 384 bytes.")
@click.pass_obj
def publish(
    options: GlobalOptions,
    version: str | None,
    board: str | None,
    image: Path | None,
    revision: tuple[str, ...],
    channel: str,
    name: str | None,
    only: str | None,
    security_version: int | None,
    allow_downgrade: bool,
    valid_days: int,
    key: Path | None,
    password: str | None,
    sign_command: str | None,
    public_key: Path | None,
    manifest_only: Path | None,
    manifest: Path | None,
    signature: Path | None,
) -> None:
    """Sign a release of this installation's files for boards, or of an image, and give it to the host."""
    if (manifest is None) != (signature is None):
        raise click.BadParameter("--manifest and --signature belong together")
    if manifest is not None and signature is not None:
        if version or board or image or key or sign_command or manifest_only:
            raise click.BadParameter("a signed manifest says all itself: give --manifest and --signature alone")
        payload = read_given(manifest.with_name(manifest.name + _PAYLOAD), MAX_PAYLOAD_BYTES)
        signed = read_given(manifest, MAX_MANIFEST_BYTES), read_given(signature, SIGNATURE_BYTES)
        _end(options, send_release(options.host(), *signed, payload, options.say))
        return
    if board is None:
        raise click.BadParameter("say for which chip: --board esp32s3")
    _check_board(board, image)
    signer = None if manifest_only is not None else Signer(options, key, password, sign_command, public_key)
    public = signing_public_key(options, public_key) if signer is None else signer.public
    level = security_version if security_version is not None else _last_security_version(options, board)
    payload, kind, name, version = _payload(board, image, name, version, level)
    data = new_manifest(
        payload,
        kind=kind,
        name=name,
        board=board,
        revisions=tuple(sorted(set(revision))) if revision else None,
        channel=channel,
        device=only,
        version=version,
        security_version=level,
        key_id=public.key_id,
        valid_days=valid_days,
        allow_downgrade=allow_downgrade,
    )
    if manifest_only is not None:
        _write_unsigned(options, manifest_only, data, payload)
        return
    assert signer is not None
    _end(options, send_release(options.host(), data, signer.sign(data), payload, options.say))


def new_manifest(payload: bytes, *, valid_days: int = 90, **facts: Any) -> bytes:
    """A release that is to be signed; `facts` are the further fields of Release."""
    return unsigned(Release, valid_days, sha256=hashlib.sha256(payload).hexdigest(), size=len(payload), **facts)


def unsigned(form: type[Release | KeyChange], valid_days: int = 90, **facts: Any) -> bytes:
    """What is to be signed, valid from now on."""
    now_s = time.time()
    expires = moment(now_s + valid_days * 86_400)
    return write_manifest(form(schema=SCHEMA, created=moment(now_s), expires=expires, alg=ALG, **facts))


def send_release(
    host: Client, manifest: bytes, signature: bytes, payload: bytes, say: Callable[[str], None]
) -> ReleaseRow:
    """The release as the host keeps it; the payload goes in pieces, and only where the host has it not."""
    made = host.call(firmware.publish, manifest=manifest, signature=signature)
    if (wanted := made.wanted) is not None:
        if hashlib.sha256(payload).hexdigest() != wanted.sha256:
            step = "it stands beside the manifest as --manifest-only wrote it: keep both together"
            raise ConfigError("the payload is not the one of the manifest", next_step=step)
        offset = wanted.offset
        while offset < len(payload):
            piece = payload[offset : offset + PIECE_BYTES]
            offset = host.call(firmware.receive, sha256=wanted.sha256, offset=offset, data=piece).offset
            say(f"sent {offset * 100 // len(payload)} %")
        made = host.call(firmware.publish, manifest=manifest, signature=signature)
    assert made.release is not None
    return made.release


def _check_board(board: str, image: Path | None) -> None:
    """Before anything is built or asked."""
    known = CHIPS if image is not None else (*CHIPS, *(f"{chip}{SMALL}" for chip in CHIPS))
    if board not in known:
        raise ConfigError(f"no board {board[:40]!r} takes updates", next_step=f"--board is one of {', '.join(known)}")


def _payload(
    board: str, image: Path | None, name: str | None, version: str | None, security_version: int
) -> tuple[bytes, Any, str, str]:
    """Payload, kind, name and version."""
    if image is None:
        if version is None:
            raise click.BadParameter("a release of our files needs its number: --version 1.4.0")
        name = name or OUR_FIRMWARE
        files = own_files(board, name=name, version=version, security_version=security_version)
        return pack(asyncio.run(files)), "files", name, version
    data = read_given(image, MAX_PAYLOAD_BYTES)
    found = read_application(data, chip=board)
    version = version or found.version
    if version_numbers(version) is None:
        text = f"the image calls itself {version[:40]!r}, and releases are compared by numbers"
        raise ConfigError(text, next_step="give --version X.Y.Z")
    return data, "image", name or found.project, check_version(version)


def _last_security_version(options: GlobalOptions, board: str) -> int:
    """Of what is published for the board; 0 where nothing is, or no host can be asked."""
    try:
        rows = options.host().call(firmware.list_releases).releases
    except NoHost:
        return 0
    return max((row.security_version for row in rows if row.board == board), default=0)


def _write_unsigned(options: GlobalOptions, out: Path, manifest: bytes, payload: bytes) -> None:
    beside = out.with_name(out.name + _PAYLOAD)
    try:
        replace_file(beside, payload, mode=0o644)
        replace_file(out, manifest, mode=0o644)
    except OSError as exc:
        raise ConfigError(f"cannot write {out}: {exc.strerror}", next_step="give another --manifest-only") from exc
    made = {"manifest": str(out), "payload": str(beside), "sha256": hashlib.sha256(manifest).hexdigest()}
    text = f"{out} is to be signed (RSA-PSS, SHA-256, salt 32), {beside} is its payload"
    options.report("firmware-unsigned", made, text)
    options.say(f"then: microclaw firmware publish --manifest {out} --signature FILE")


def _new_password(given: str | None, *, lock: bool) -> str | None:
    if given is not None:
        return secret_value("--password", given)
    if not lock:
        return None
    if not sys.stdin.isatty():
        raise click.BadParameter("nobody is at a terminal: --password @FILE")
    return str(click.prompt("Password of the new key", hide_input=True, confirmation_prompt=True, err=True))


def _end(options: GlobalOptions, release: ReleaseRow) -> None:
    text = f"release {release.release_id}: {release.name} {release.version} for {release.board}"
    options.report("firmware-release", {"release": msgspec.to_builtins(release)}, f"{text}, {release.size_bytes} bytes")
    options.say(f"offer it: microclaw firmware update {release.version} -d DEVICE")
