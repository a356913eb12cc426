"""`microclaw firmware`: keys are made and manifests signed here, never on the host: with a key file on this machine, or
somebody's own command that never shows its key. The rest: ota/operations.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from click.exceptions import Exit
from msgspec.structs import replace

from microclaw.boards.today import OUR_FIRMWARE
from microclaw.cli.many_devices import ask_once, choice_body, chosen_names
from microclaw.cli.operation_commands import perform, show
from microclaw.cli.options import FAILED, SECRET_METAVAR, GlobalOptions, Texts, command, secret_value
from microclaw.durable import read_given
from microclaw.errors import ConfigError, MicroclawError
from microclaw.operations.client import Client
from microclaw.ota import operations as firmware
from microclaw.ota.bundle import own_files, pack, read_application
from microclaw.ota.keys import SIGNATURE_BYTES, PublicKey, SigningKey, read_public_key, read_signing_key
from microclaw.ota.manifest import (
    ALG,
    CHIPS,
    MAX_PAYLOAD_BYTES,
    SCHEMA,
    SMALL,
    KeyChange,
    Release,
    check_version,
    moment,
    write_manifest,
)
from microclaw.ota.results import OfferOutcome, Offers
from microclaw.store.firmware import ReleaseRow
from microclaw.text import count_text

firmware_group = click.Group(no_args_is_help=True)
PIECE_BYTES: Final = 512 << 10
FOLLOW_S: Final = 3_600.0
"""A trial that fails three times takes half an hour."""
_POLL_S: Final = 0.5
follow_option = click.option("--follow/--no-follow", default=True, help="Wait for the end.")
SIGN_S: Final = 120.0
"""A person may have to touch a token, or type its PIN."""


def signing_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of who signs, for `_take_signer`."""
    for option in (
        click.option("--public-key", type=Path, metavar="FILE.pub.pem", help="Of what --sign-command signs with."),
        click.option("--sign-command", metavar="CMD", help="Signs instead: manifest on stdin, 384 bytes on stdout."),
        click.option("--password", metavar=SECRET_METAVAR, help="Of a key that has one; asked for otherwise."),
        click.option("--key", type=Path, metavar="FILE", help="The private key, on this machine alone."),
    ):
        command = option(command)
    return command


def _take_signer(given: dict[str, Any]) -> tuple[PublicKey, Callable[[bytes], bytes]]:
    """The public key, and what signs with it; takes these options out of `given`."""
    key = given.pop("key")
    password = given.pop("password")
    command = given.pop("sign_command")
    public_key = given.pop("public_key")
    if key is not None:
        remedy = "the key has a password: --password @FILE"
        private = read_signing_key(key, lambda: secret_value("--password", password, remedy=remedy).strip())
        return private.public, private.sign
    if command is None or public_key is None:
        raise click.BadParameter("say who signs: --key FILE, or --sign-command CMD and --public-key FILE.pub.pem")
    public = read_public_key(public_key)

    def sign(manifest: bytes) -> bytes:
        """Raises ConfigError, and BadSignature where the command signed with another key."""
        signature = run_sign_command(command, manifest)
        public.verify(manifest, signature)
        return signature

    return public, sign


def new_manifest(form: type[Release | KeyChange], *, valid_days: int = 90, **facts: Any) -> bytes:
    """The bytes to sign, valid from now on; `facts` are the further fields."""
    now_s = time.time()
    expires = moment(now_s + valid_days * 86_400)
    return write_manifest(form(schema=SCHEMA, created=moment(now_s), expires=expires, alg=ALG, **facts))


def run_sign_command(command: str, manifest: bytes, limit_s: float = SIGN_S) -> bytes:
    """Return the command's answer, within its time; it may ask a person on the terminal. ConfigError otherwise."""
    try:
        process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except (OSError, ValueError, IndexError) as exc:
        raise ConfigError(f"cannot start {command[:80]!r}: {exc}", next_step="check --sign-command") from exc
    end = threading.Timer(limit_s, process.kill)
    end.start()
    try:
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(BrokenPipeError), process.stdin as stdin:  # one that reads nothing signs nothing
                stdin.write(manifest)  # smaller than any pipe
            signature = process.stdout.read(SIGNATURE_BYTES + 1)
    finally:
        end.cancel()
    if process.returncode != 0 or len(signature) != SIGNATURE_BYTES:
        text = f"the command that signs ended with {process.returncode} and gave {len(signature)} bytes"
        step = f"it has {limit_s:g} s to write the raw signature, {SIGNATURE_BYTES} bytes, to stdout and nothing else"
        raise ConfigError(text, next_step=step)
    return signature


@command(firmware_group, "keygen")
@click.option("--out", default=Path("firmware-key.pem"), type=Path, metavar="FILE", help="The private key's file.")
@click.option("--password", metavar=SECRET_METAVAR, help="Lock the key with it; - asks for it.")
@click.option("--name", help="What people call it; its file's name otherwise.")
def keygen(options: GlobalOptions, out: Path, password: str | None, name: str | None) -> None:
    """Make the key that signs updates: FILE is secret, FILE.pub.pem is for hosts and boards."""
    if password is None:
        secret = None
    else:
        secret = secret_value("--password", password, is_new=True).strip()
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
    options.say("boards trust it once it is on them: microclaw flash; if they have a key: firmware change-keys")


@command(firmware_group, "publish")
@click.option("--board", required=True, metavar="CHIP", help="esp32s3, esp32c3, ...; CHIP-small without PSRAM.")
@click.option("--version", metavar="X.Y.Z", help="Of the release.")
@click.option("--image", type=Path, metavar="FILE", help="An application of your own.")
@click.option("--revision", multiple=True, metavar="R", help="Only boards of this revision take it; repeatable.")
@click.option("--channel", default="stable", help="Devices of this channel take it.")
@click.option("--name", help="Of the firmware, as devices say it.")
@click.option("--only", "device", metavar="DEVICE_ID", help="For one device alone.")
@click.option("--security-version", type=click.IntRange(0, 65_535), help="None: as the last release had it.")
@click.option("--allow-downgrade", is_flag=True, help="Boards with a newer one take it.")
@click.option("--valid-days", default=90, type=click.IntRange(1, 3_650), help="Boards take it for so long.")
@signing_options
def publish(options: GlobalOptions, board: str, version: str | None, image: Path | None, **facts: Any) -> None:
    """Sign a release of this installation's files for boards, or of an image, and give it to the host."""
    host = options.host()
    known = CHIPS if image is not None else (*CHIPS, *(f"{chip}{SMALL}" for chip in CHIPS))
    if board not in known:
        raise ConfigError(f"no board {board[:40]!r} takes updates", next_step=f"--board is one of {', '.join(known)}")
    if image is None and version is None:
        raise click.BadParameter("a release of our files needs its number: --version 1.4.0")
    public, sign = _take_signer(facts)
    name, revisions, security_version = (facts.pop(one) for one in ("name", "revision", "security_version"))
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
        version = check_version(version or found.version)
        name = name or found.project
    facts |= {"name": name, "board": board, "version": version, "security_version": security_version}
    facts |= {"kind": "files" if image is None else "image", "revisions": tuple(sorted(set(revisions))) or None}
    made = send_release(host, payload, public.key_id, sign, options.say, **facts)
    text = f"release {made.release_id}: {made.name} {made.version} for {made.board}, {made.size_bytes} bytes"
    options.report("firmware-release", {"release": msgspec.to_builtins(made)}, text)
    meant = made.release_id if made.allow_downgrade else made.version  # a version means the one that raises it
    options.say(f"offer it: microclaw firmware update {meant} -d DEVICE")


@command(firmware_group, "change-keys")
@click.option("--add", multiple=True, type=Path, metavar="FILE.pub.pem", help="The host knows it from then on, too.")
@click.option("--remove", multiple=True, metavar="KEY", help="They trust it no more: 16 digits.")
@signing_options
@follow_option
def change_keys(options: GlobalOptions, add: tuple[Path, ...], remove: Texts, follow: bool, **signs: Any) -> None:
    """Devices (-d, -l, --all) trust other keys from then on, by a change that a key of theirs signed."""
    host = options.host()
    new = [read_public_key(file) for file in add or ()]
    gone = tuple(remove or ())
    if not new and not gone:
        raise click.BadParameter("say which key: --add FILE.pub.pem, or --remove KEY")
    public, sign = _take_signer(signs)
    if public.key_id in gone:
        raise ConfigError(f"{public.key_id} cannot sign its own removal", next_step="sign with the key that stays")
    names = chosen_names(options, host)
    known = {one.key_id for one in host.call(firmware.list_keys).keys}
    runs = {one.device: one.runs for one in host.call(firmware.status).devices if one.device in names and one.runs}
    unknown = sorted(set(gone) - known.union(*(one.keys for one in runs.values())))
    if unknown:
        text = f"none of these devices trusts {', '.join(unknown)}"
        raise ConfigError(text, next_step="microclaw firmware status shows the keys of each")
    what = [*(f"trust {one.key_id}" for one in new), *(f"trust {one} no more" for one in gone)]
    options.agree(f"{count_text(len(names), 'device')}: {' and '.join(what)}?")
    for one, file in zip(new, add or (), strict=True):
        host.call(firmware.trust, public=one.pem.decode(), name=file.name.removesuffix(".pub.pem"))
    kinds: dict[str, list[str]] = {}  # devices by the name of their firmware: each has a signed change of its own
    for device, facts in runs.items():
        kinds.setdefault(facts.name, []).append(device)
    left_out = sorted({*names} - runs.keys())
    if left_out:
        options.say(f"left out, as they take no updates: {', '.join(left_out)}")
    if not kinds:
        raise ConfigError("none of these devices takes updates", next_step="microclaw firmware status")
    made = host.call(firmware.list_releases).releases
    serial = max((int(one.version.removeprefix("keys-")) for one in made if one.kind == "keys"), default=0) + 1
    change: dict[str, Any] = {"serial": serial, "add": tuple(one.trusted for one in new), "remove": gone}
    results: list[OfferOutcome] = []
    for kind, devices in sorted(kinds.items()):
        manifest = new_manifest(KeyChange, kind="keys", name=kind, key_id=public.key_id, **change)
        release = host.call(firmware.publish, manifest=manifest, signature=sign(manifest)).release
        assert release is not None
        offers = host.call(firmware.update, release=str(release.release_id), devices=tuple(devices))
        results += offers.results
    _end_offers(options, host, Offers(version=offers.version, results=results), follow=follow)


@command(firmware_group, "update")
@click.argument("release", metavar="VERSION", help="Or its number: firmware list.")
@follow_option
def update(options: GlobalOptions, release: str, follow: bool) -> None:
    """Offer a release to devices (-d, -l, --all), and follow it; one that is away gets it when it is back."""
    host = options.host()
    ask_once(options, host, f"offer {release} to")
    _end_offers(options, host, host.call(firmware.update, release=release, **choice_body(options)), follow=follow)


@command(firmware_group, "rollouts")
@click.argument("number", required=False, type=click.IntRange(min=1), metavar="[NUMBER]", help="How this one stands.")
@click.option("-f", "--follow", is_flag=True, help="Show how it goes on, until its end.")
@click.option(
    "--do",
    type=click.Choice(["pause", "resume", "stop", "undo"]),
    help="No more offers; go on; end it for good; take its boards back to what they ran.",
)
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
    one = host.call(firmware.show_rollout, number=number)
    told = set[str]()
    while follow and not one.is_over:
        _tell(options, told, [*one.lines()][:1])
        time.sleep(_POLL_S)
        one = host.call(firmware.show_rollout, number=number)
    show(options, firmware.show_rollout, one)
    if follow and one.state == "halted":
        raise Exit(FAILED)


def send_release(
    host: Client, payload: bytes, key_id: str, sign: Callable[[bytes], bytes], say: Callable[[str], None], **facts: Any
) -> ReleaseRow:
    """Sign a release of these bytes. They go in pieces, and only where the host has them not; the release as it is
    kept there.
    """
    digest = hashlib.sha256(payload).hexdigest()
    manifest = new_manifest(Release, sha256=digest, size=len(payload), key_id=key_id, **facts)
    signature = sign(manifest)
    made = host.call(firmware.publish, manifest=manifest, signature=signature)
    wanted = made.wanted
    if wanted is not None:
        offset = wanted.offset
        while offset < len(payload):
            piece = payload[offset : offset + PIECE_BYTES]
            offset = host.call(firmware.receive, sha256=wanted.sha256, offset=offset, data=piece).offset
            say(f"sent {offset * 100 // len(payload)} %")
        made = host.call(firmware.publish, manifest=manifest, signature=signature)
    assert made.release is not None
    return made.release


def _end_offers(options: GlobalOptions, host: Client, made: Offers, *, follow: bool) -> None:
    """Tell each change until every offer is over, or waits for a device that is absent; the exit code of all."""
    told = set[str]()
    until_s = time.monotonic() + FOLLOW_S
    while True:
        _tell(options, told, [one.text for one in made.results])
        if not follow or time.monotonic() > until_s:
            break
        time.sleep(_POLL_S)
        known = {one.device: one for one in host.call(firmware.status).devices}
        results = list(made.results)
        follow = False
        for index, one in enumerate(results):
            if one.offer is not None and (status := known.get(one.device)) is not None:
                now = status.now(one.offer)
                results[index] = replace(one, offer=now, online=status.online)
                follow = follow or not (now.is_over or (now.state == "waiting" and status.absent))
        made = replace(made, results=results)
    show(options, firmware.update, made)


def _tell(options: GlobalOptions, told: set[str], lines: Iterable[str]) -> None:
    """Say those that are not `told` yet."""
    for line in lines:
        if line not in told:
            options.say(line)
        told.add(line)
