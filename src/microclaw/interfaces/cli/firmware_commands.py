"""`microclaw firmware`: makes keys and signs manifests on this machine, never on the host.

It signs with a key file, or by the user's own command, which never shows its key. The rest is in ota/operations.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from click.exceptions import Exit
from msgspec.structs import replace

from microclaw.devices.ota import operations as firmware
from microclaw.devices.ota.bundle import own_files, pack, read_application
from microclaw.devices.ota.keys import SIGNATURE_BYTES, SigningKey, SigningPublicKey, read_public_key, read_signing_key
from microclaw.devices.ota.manifest import (
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
from microclaw.devices.ota.results import OfferOutcome, OfferResults
from microclaw.durable import check_given_path, read_given
from microclaw.errors import ConfigError, MicroclawError
from microclaw.hardware.boards.feature_status import OUR_FIRMWARE
from microclaw.hardware.boards.firmware import UpdateFacts
from microclaw.host.operations.client import Client
from microclaw.host.store.firmware import ReleaseRow
from microclaw.interfaces.cli.operation_commands import perform, show
from microclaw.interfaces.cli.options import FAILED, SECRET_METAVAR, GlobalOptions, Texts, command, secret_value
from microclaw.interfaces.cli.targets import choice_fields, chosen_names, confirm_many
from microclaw.text import count_text

firmware_group = click.Group(no_args_is_help=True)
PIECE_BYTES: Final = 512 << 10
FOLLOW_S: Final = 3_600.0
"""A trial that fails three times takes half an hour."""
_POLL_S: Final = 0.5
SIGN_S: Final = 120.0
"""The user may have to touch a token, or type its PIN."""
follow_option = click.option("--follow/--no-follow", default=True, help="Wait for the end.")


def signing_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say who signs; `_take_signer` reads them."""
    for option in (
        click.option("--public-key", type=Path, metavar="FILE.pub.pem", help="Of what --sign-command signs with."),
        click.option("--sign-command", metavar="CMD", help="Signs instead: manifest on stdin, 384 bytes on stdout."),
        click.option("--password", metavar=SECRET_METAVAR, help="Of a key that has one; asked for otherwise."),
        click.option("--key", type=Path, metavar="FILE", help="The private key, only on this machine."),
    ):
        command = option(command)
    return command


def _take_signer(given: dict[str, Any]) -> tuple[SigningPublicKey, Callable[[bytes], bytes]]:
    """Return the public key and the function that signs; removes the options of `signing_options` from `given`.

    The function raises ConfigError if the command fails, BadSignature if it signed with another key.
    """
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
        signature = run_sign_command(command, manifest)
        public.verify(manifest, signature)
        return signature

    return public, sign


def new_manifest(form: type[Release | KeyChange], *, valid_days: int = 90, **facts: Any) -> bytes:
    """Return the bytes to sign, valid from now on; `facts` are the other fields."""
    now_s = time.time()
    expires = moment(now_s + valid_days * 86_400)
    return write_manifest(form(schema=SCHEMA, created=moment(now_s), expires=expires, alg=ALG, **facts))


def run_sign_command(command: str, manifest: bytes, limit_s: float = SIGN_S) -> bytes:
    """Return the raw signature that a command writes to stdout; it may ask the user on the terminal.

    Raises ConfigError if it cannot be started, fails, takes longer than `limit_s`, or writes anything else.
    """
    try:
        process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except (OSError, ValueError, IndexError) as exc:
        raise ConfigError(f"cannot start {command[:80]!r}: {exc}", next_step="check --sign-command") from exc
    timer = threading.Timer(limit_s, process.kill)
    timer.start()
    try:
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            # A command that reads nothing signs nothing, and is refused below. A manifest fits into any pipe.
            with suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(manifest)
            signature = process.stdout.read(SIGNATURE_BYTES + 1)
    finally:
        timer.cancel()
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
    secret = None
    if password is not None:
        secret = secret_value("--password", password, is_new=True).strip()
    public = out.with_suffix(".pub.pem")
    if check_given_path(public):
        raise ConfigError(f"{public} is there already", next_step="give another --out")
    key = SigningKey.generate()
    key.write(out, secret)
    public.write_bytes(key.public.pem)
    problem: str | None = None
    try:
        options.host().call(firmware.trust, public=key.public.pem.decode(), name=name or out.stem)
    # The key is made and stays, also if no host takes it now.
    except MicroclawError as exc:
        problem = exc.message
    key_id = key.public.key_id
    document = {"key_id": key_id, "private": str(out), "public": str(public), "known_to_host": problem is None}
    options.end_with_json("firmware-key", document)
    options.line(f"key {key_id}: {out} (secret), {public}")
    options.say("anyone with it can update every board that trusts it; if it is lost, no one can (docs/updates.md)")
    if problem is not None:
        options.say(f"no host knows it yet ({problem}); next: microclaw firmware trust {public}")
    options.say("boards trust it once it is on them: microclaw flash; if they have a key: firmware change-keys")


@command(firmware_group, "publish")
@click.option("--board", required=True, metavar="CHIP", help="esp32s3, esp32c3, ...; CHIP-small without PSRAM.")
@click.option("--version", metavar="X.Y.Z", help="Of the release.")
@click.option("--image", type=Path, metavar="FILE", help="An application of your own.")
@click.option("--revision", multiple=True, metavar="R", help="Only boards of this revision take it; repeatable.")
@click.option("--channel", default="stable", help="Devices of this channel take it.")
@click.option("--name", help="Of the firmware, as devices say it.")
@click.option("--only", "device", metavar="DEVICE_ID", help="Only for this device.")
@click.option("--security-version", type=click.IntRange(0, 65_535), help="None: as the last release had it.")
@click.option("--allow-downgrade", is_flag=True, help="Boards with a newer one take it.")
@click.option("--valid-days", default=90, type=click.IntRange(1, 3_650), help="Boards take it for this time.")
@signing_options
def publish(options: GlobalOptions, board: str, version: str | None, image: Path | None, **facts: Any) -> None:
    """Sign a release of this installation's files for boards, or of an image, and give it to the host."""
    host = options.host()
    _check_board(board, takes_small=image is None)
    if image is None and version is None:
        raise click.BadParameter("a release of our files needs its number: --version 1.4.0")
    public, sign = _take_signer(facts)
    name = facts.pop("name")
    revisions = facts.pop("revision")
    security_version = facts.pop("security_version")
    if security_version is None:
        security_version = _last_security_version(host, board)
    if image is None:
        name = name or OUR_FIRMWARE
        files = own_files(board, name=name, version=str(version), security_version=security_version)
        payload = pack(asyncio.run(files))
    else:
        payload = read_given(image, MAX_PAYLOAD_BYTES)
        application = read_application(payload, chip=board)
        version = check_version(version or application.version)
        name = name or application.project
    facts |= {"name": name, "board": board, "version": version, "security_version": security_version}
    facts["kind"] = "files" if image is None else "image"
    facts["revisions"] = tuple(sorted(set(revisions))) or None
    release = send_release(host, payload, public.key_id, sign, options.say, **facts)
    text = f"release {release.release_id}: {release.name} {release.version} for {release.board}"
    options.report("firmware-release", {"release": msgspec.to_builtins(release)}, f"{text}, {release.size_bytes} bytes")
    # A version stands for the release that raises it, so a downgrade is named by its number.
    target = release.release_id if release.allow_downgrade else release.version
    options.say(f"offer it: microclaw firmware update {target} -d DEVICE")


def _check_board(board: str, *, takes_small: bool) -> None:
    """Raise ConfigError for an unknown chip; boards without PSRAM take our files, but no images."""
    boards = list(CHIPS)
    if takes_small:
        boards += [f"{chip}{SMALL}" for chip in CHIPS]
    if board not in boards:
        raise ConfigError(f"no board {board[:40]!r} takes updates", next_step=f"--board is one of {', '.join(boards)}")


def _last_security_version(host: Client, board: str) -> int:
    """Return the highest security version of the board's releases, or 0."""
    releases = host.call(firmware.list_releases).releases
    return max((release.security_version for release in releases if release.board == board), default=0)


@command(firmware_group, "change-keys")
@click.option("--add", multiple=True, type=Path, metavar="FILE.pub.pem", help="The host knows it from then on, too.")
@click.option("--remove", multiple=True, metavar="KEY", help="They do not trust it any more: 16 digits.")
@signing_options
@follow_option
def change_keys(options: GlobalOptions, add: tuple[Path, ...], remove: Texts, follow: bool, **signs: Any) -> None:
    """Change the keys that devices (-d, -l, --all) trust, signed by a key that they trust now."""
    host = options.host()
    files = add or ()
    new_keys = [read_public_key(file) for file in files]
    removed = tuple(remove or ())
    if not new_keys and not removed:
        raise click.BadParameter("say which key: --add FILE.pub.pem, or --remove KEY")
    public, sign = _take_signer(signs)
    if public.key_id in removed:
        raise ConfigError(f"{public.key_id} cannot sign its own removal", next_step="sign with the key that stays")
    names = chosen_names(options, host)
    firmwares = _running_firmware(host, names)
    _check_trusted(host, removed, firmwares)
    changes = [f"trust {key.key_id}" for key in new_keys] + [f"do not trust {key_id} any more" for key_id in removed]
    options.agree(f"{count_text(len(names), 'device')}: {' and '.join(changes)}?")
    for key, file in zip(new_keys, files, strict=True):
        host.call(firmware.trust, public=key.pem.decode(), name=file.name.removesuffix(".pub.pem"))
    others = sorted({*names} - firmwares.keys())
    if others:
        options.say(f"left out, as they take no updates: {', '.join(others)}")
    if not firmwares:
        raise ConfigError("none of these devices takes updates", next_step="microclaw firmware status")
    change = {"add": tuple(key.trusted for key in new_keys), "remove": removed, "key_id": public.key_id}
    offers = _offer_key_change(host, _group_by_name(firmwares), sign, change)
    _end_offers(options, host, offers, follow=follow)


def _running_firmware(host: Client, names: Collection[str]) -> dict[str, UpdateFacts]:
    """Return the firmware of each named device that takes updates."""
    firmwares = {}
    for device in host.call(firmware.status).devices:
        if device.device in names and device.runs:
            firmwares[device.device] = device.runs
    return firmwares


def _check_trusted(host: Client, key_ids: Collection[str], firmwares: Mapping[str, UpdateFacts]) -> None:
    """Raise ConfigError for keys that neither the host nor any of the devices knows."""
    known = {key.key_id for key in host.call(firmware.list_keys).keys}
    for running in firmwares.values():
        known.update(running.keys)
    unknown = sorted(set(key_ids) - known)
    if unknown:
        text = f"none of these devices trusts {', '.join(unknown)}"
        raise ConfigError(text, next_step="microclaw firmware status shows the keys of each")


def _group_by_name(firmwares: Mapping[str, UpdateFacts]) -> dict[str, list[str]]:
    """Return the devices by the name of their firmware: a signed change is for one name."""
    groups: dict[str, list[str]] = {}
    for device, running in firmwares.items():
        groups.setdefault(running.name, []).append(device)
    return groups


def _offer_key_change(
    host: Client, groups: Mapping[str, list[str]], sign: Callable[[bytes], bytes], change: Mapping[str, Any]
) -> OfferResults:
    """Publish a signed change for each firmware's name, and offer it to its devices."""
    serial = _next_serial(host)
    version = ""
    results: list[OfferOutcome] = []
    for name, devices in sorted(groups.items()):
        manifest = new_manifest(KeyChange, kind="keys", name=name, serial=serial, **change)
        release = host.call(firmware.publish, manifest=manifest, signature=sign(manifest)).release
        assert release is not None
        offers = host.call(firmware.update, release=str(release.release_id), devices=tuple(devices))
        version = offers.version
        results += offers.results
    return OfferResults(version=version, results=results)


def _next_serial(host: Client) -> int:
    """Return the number of the next change of keys; the host keeps the changes as releases "keys-1", "keys-2", ..."""
    serials = [0]
    for release in host.call(firmware.list_releases).releases:
        if release.kind == "keys":
            serials.append(int(release.version.removeprefix("keys-")))
    return max(serials) + 1


@command(firmware_group, "update")
@click.argument("release", metavar="VERSION", help="Or its number: firmware list.")
@follow_option
def update(options: GlobalOptions, release: str, follow: bool) -> None:
    """Offer a release to devices (-d, -l, --all), and follow it; an offline device gets it when it reconnects."""
    host = options.host()
    confirm_many(options, host, f"offer {release} to")
    _end_offers(options, host, host.call(firmware.update, release=release, **choice_fields(options)), follow=follow)


@command(firmware_group, "rollouts")
@click.argument("number", required=False, type=click.IntRange(min=1), metavar="[NUMBER]", help="Show only this one.")
@click.option("-f", "--follow", is_flag=True, help="Show its progress until its end.")
@click.option(
    "--do",
    type=click.Choice(["pause", "resume", "stop", "undo"]),
    help="Stop offering; continue; end it for good; return its boards to the release before.",
)
def rollouts(options: GlobalOptions, number: int | None, follow: bool, do: str | None) -> None:
    """List rollouts, the newest first, or show one. Exit code 1 with -f if it stopped by itself."""
    host = options.host()
    if do is not None:
        if number is None or follow:
            raise click.BadParameter("--do is for one rollout: firmware rollouts NUMBER --do pause")
        perform(options, firmware.change_rollout, {"number": number, "act": do})
        return
    if number is None:
        show(options, firmware.list_rollouts, host.call(firmware.list_rollouts))
        return
    rollout = host.call(firmware.show_rollout, number=number)
    printed = set[str]()
    while follow and not rollout.is_over:
        _say_new(options, printed, [*rollout.lines()][:1])
        time.sleep(_POLL_S)
        rollout = host.call(firmware.show_rollout, number=number)
    show(options, firmware.show_rollout, rollout)
    if follow and rollout.state == "halted":
        raise Exit(FAILED)


def send_release(
    host: Client, payload: bytes, key_id: str, sign: Callable[[bytes], bytes], say: Callable[[str], None], **facts: Any
) -> ReleaseRow:
    """Sign a release of these bytes, and send the pieces that the host does not have. Return the stored release.

    `facts` are the other fields of the manifest; `say` gets the progress.
    """
    digest = hashlib.sha256(payload).hexdigest()
    manifest = new_manifest(Release, sha256=digest, size=len(payload), key_id=key_id, **facts)
    signature = sign(manifest)
    published = host.call(firmware.publish, manifest=manifest, signature=signature)
    wanted = published.wanted
    if wanted is not None:
        offset = wanted.offset
        while offset < len(payload):
            piece = payload[offset : offset + PIECE_BYTES]
            offset = host.call(firmware.receive, sha256=wanted.sha256, offset=offset, data=piece).offset
            say(f"sent {offset * 100 // len(payload)} %")
        published = host.call(firmware.publish, manifest=manifest, signature=signature)
    assert published.release is not None
    return published.release


def _end_offers(options: GlobalOptions, host: Client, offers: OfferResults, *, follow: bool) -> None:
    """Print each change until every offer is over or waits for an absent device; end with the exit code of all."""
    printed = set[str]()
    until_s = time.monotonic() + FOLLOW_S
    is_open = follow
    while True:
        _say_new(options, printed, [outcome.text for outcome in offers.results])
        if not is_open or time.monotonic() > until_s:
            break
        time.sleep(_POLL_S)
        offers, is_open = _refresh_offers(host, offers)
    show(options, firmware.update, offers)


def _refresh_offers(host: Client, offers: OfferResults) -> tuple[OfferResults, bool]:
    """Return the offers as they are now, and True if one of them can still change."""
    devices = {device.device: device for device in host.call(firmware.status).devices}
    results = []
    is_open = False
    for outcome in offers.results:
        device = devices.get(outcome.device)
        if outcome.offer is None or device is None:
            results.append(outcome)
            continue
        offer = device.now(outcome.offer)
        results.append(replace(outcome, offer=offer, online=device.online))
        is_waiting = offer.state == "waiting" and device.absent
        is_open = is_open or not (offer.is_over or is_waiting)
    return replace(offers, results=results), is_open


def _say_new(options: GlobalOptions, printed: set[str], lines: Iterable[str]) -> None:
    """Print the lines that are not in `printed` yet, and add them to it."""
    for line in lines:
        if line not in printed:
            options.say(line)
        printed.add(line)
