"""/v1/firmware: keys, releases, payloads, offers. Owners alone; a private key never comes here."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final

from fastapi import APIRouter
from pydantic import Field

from microclaw.api.answers import answers, filled
from microclaw.api.body import RequestBody
from microclaw.api.caller import RequestCaller, admit
from microclaw.api.firmware_answers import (
    ForeignUpdate,
    OfferCancelled,
    OfferFacts,
    OffersMade,
    PayloadOffset,
    Publication,
    ReleaseFacts,
    Releases,
    ShownReleases,
    UpdateKey,
    UpdateKeys,
    UpdateStatuses,
    WithdrawnReleases,
)
from microclaw.api.many_acts import Choice, device_names
from microclaw.api.parts import HostParts
from microclaw.auth.gate import Permission
from microclaw.devices.device import Device
from microclaw.devices.selection import Selection, names_text
from microclaw.errors import ConfigError, MicroclawError, NotSupported, UnknownName
from microclaw.ota.keys import public_key
from microclaw.ota.manifest import read_manifest
from microclaw.ota.offers import AlreadyRuns, link_of, release_for
from microclaw.ota.publisher import MAX_PIECE_BYTES, PayloadWanted
from microclaw.store.firmware import ForeignRow, KeyRow, OfferRow, ReleaseRow
from microclaw.wire.host_api import failure_object, failure_of

_DIGEST: Final = r"^[0-9a-f]{64}$"
Coded = Annotated[str, Field(max_length=8_192)]


class KeyBody(RequestBody):
    public: Annotated[str, Field(max_length=16_384)]
    name: Annotated[str, Field(min_length=1, max_length=64)]


class ReleaseBody(RequestBody):
    """Both in base64."""

    manifest: Coded
    signature: Coded


class PieceBody(RequestBody):
    offset: Annotated[int, Field(ge=0, le=1 << 24)]
    data: Annotated[str, Field(max_length=MAX_PIECE_BYTES * 4 // 3 + 4)]


class OfferBody(Choice):
    """A release by its number or version; of several of a version each device gets the one that is for it."""

    release: Annotated[str, Field(min_length=1, max_length=40)]


def firmware_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/firmware", tags=["firmware"])
    _route_keys(router, parts)
    _route_releases(router, parts)
    _route_offers(router, parts)
    return router


def _route_keys(router: APIRouter, parts: HostParts) -> None:
    publisher, gate = parts.rollouts.publisher, parts.admission.gate

    @router.get("/keys", summary="The public keys whose updates this host passes on", responses=answers(UpdateKeys))
    async def list_keys(by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "see the keys of updates")
        return {"keys": [_key_object(row) for row in await publisher.table.keys()]}

    @router.post("/keys", status_code=201, summary="Pass on what this key signs", responses=answers(UpdateKey, 201))
    async def trust(body: KeyBody, by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "choose the keys of updates")
        key = public_key(body.public.encode())
        await admit(gate, by, Permission.RISKY, f"pass on updates signed by the key {key.key_id} ({body.name})")
        return _key_object(await publisher.trust(key, body.name, by=gate.name_of(by.person_id)))

    @router.delete(
        "/keys/{key_id}",
        summary="Take no more releases of this key; devices keep what they trust",
        responses=answers(UpdateKey),
    )
    async def distrust(key_id: str, by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "choose the keys of updates")
        known = await publisher.key(key_id)  # first: nobody is asked for what is not there
        await admit(gate, by, Permission.RISKY, f"take no more updates signed by the key {known.key_id}")
        return _key_object(await publisher.distrust(key_id, by=gate.name_of(by.person_id)))


def _route_releases(router: APIRouter, parts: HostParts) -> None:
    publisher, gate = parts.rollouts.publisher, parts.admission.gate

    @router.get("/releases", summary="Every release, the newest first", responses=answers(Releases))
    async def list_releases(by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "see the releases of firmware")
        return {"releases": [_release_object(row) for row in await publisher.table.releases()]}

    @router.get(
        "/releases/{release}",
        summary="One release by number or version, with its manifest",
        responses=answers(ShownReleases),
    )
    async def show(release: str, by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "see the releases of firmware")
        found = [row for row in await publisher.table.releases() if release in (str(row.release_id), row.version)]
        if not found:
            raise UnknownName(f"there is no release {release[:40]!r}", next_step="microclaw firmware list")
        return {"releases": [_shown_release(row) for row in found]}

    @router.post(
        "/releases/{release}/verify",
        summary="Read its payload and check the signature again",
        responses=answers(Releases),
    )
    async def verify(release: str, by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "see the releases of firmware")
        rows = await publisher.find(release)
        for row in rows:
            await publisher.verify_again(row)
        return {"releases": [_release_object(row) for row in rows]}

    @router.post(
        "/releases",
        summary="Publish a signed manifest; the answer says what of the payload is missing",
        responses=answers(Publication),
    )
    async def publish(body: ReleaseBody, by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "publish firmware")
        manifest, signature = _decoded(body.manifest), _decoded(body.signature)
        read = read_manifest(manifest)
        made: ReleaseRow | PayloadWanted | None = await publisher.missing(manifest, signature)
        if made is None:  # first: nobody is asked for what is refused, or twice
            detail = (f"signed by {read.key_id}",)
            await admit(gate, by, Permission.RISKY, f"publish {read.name} {read.version}", detail=detail)
            made = await publisher.publish(manifest, signature, by=gate.name_of(by.person_id))
        if isinstance(made, PayloadWanted):
            wanted = {"sha256": made.sha256, "size_bytes": made.size_bytes, "offset": made.offset}
            return {"state": "wanted", "wanted": wanted, "release": None}
        return {"state": "published", "wanted": None, "release": _release_object(made)}

    @router.put(
        "/payloads/{sha256}", summary="A piece of a payload that a manifest asked for", responses=answers(PayloadOffset)
    )
    async def receive(sha256: str, body: PieceBody, by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "publish firmware")
        return {"offset": await publisher.receive(sha256, body.offset, _decoded(body.data))}

    @router.post(
        "/releases/{release}/withdraw",
        summary="Nobody gets it any more; `called_off`: devices that are told to give it up",
        responses=answers(WithdrawnReleases),
    )
    async def withdraw(release: str, by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "withdraw firmware")
        rows = await publisher.find(release)
        await admit(gate, by, Permission.RISKY, f"withdraw {rows[0].name} {rows[0].version}")
        name = gate.name_of(by.person_id)
        found = [await publisher.withdraw(row.release_id, by=name) for row in rows]
        for version in {row.version for row in found}:
            await parts.rollouts.withdrawn(version)
        told = [device.name for row in found for device in await parts.rollouts.offers.call_off(row, by=name)]
        return {"releases": [_release_object(row) for row in found], "called_off": sorted(set(told))}


def _route_offers(router: APIRouter, parts: HostParts) -> None:
    offers, gate = parts.rollouts.offers, parts.admission.gate

    @router.post(
        "/offers",
        summary="Offer a release to devices; one that is away gets it when it is back",
        responses=answers(OffersMade),
    )
    async def offer(body: OfferBody, by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "update devices")
        rows = await parts.rollouts.publisher.find(body.release)
        chosen = chosen_devices(parts, body)
        names = device_names(chosen)
        await admit(gate, by, Permission.RISKY, f"update {names_text(names)} to {rows[0].version}", detail=names[:50])
        results = []
        for device in chosen:
            try:
                release = release_for(rows, device)
                row = await offers.offer(device.device_id, release, by=gate.name_of(by.person_id), again=True)
                results.append({"device": device.name, "offer": _offer_object(row)})
            except AlreadyRuns as exc:
                results.append({"device": device.name, "already": exc.version})
            except MicroclawError as exc:
                results.append({"device": device.name, "error": failure_object(failure_of(exc))})
        return {"version": rows[0].version, "results": results}

    @router.get(
        "/status", summary="What each device runs, trusts and was offered last", responses=answers(UpdateStatuses)
    )
    async def status(by: RequestCaller, device: str | None = None) -> dict[str, Any]:
        gate.check_owner(by.person_id, "see the updates of devices")
        devices = parts.devices.list() if device is None else [parts.devices.get(device)]
        foreign = {row.device_id: row for row in await parts.rollouts.publisher.table.foreign()}
        latest = {(row.device_id, row.is_of_keys): row for row in await parts.rollouts.publisher.table.latest()}
        return {"devices": [_status_object(one, latest, foreign) for one in devices if _has_link(one)]}

    @router.post(
        "/offers/{device}/cancel",
        summary="Ask a device to give up what it has not written yet",
        responses=answers(OfferCancelled),
    )
    async def cancel(device: str, by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "update devices")
        found = parts.devices.get(device)
        await admit(gate, by, Permission.ACT, f"cancel the update of {found.name}")
        row = await offers.cancel(found.device_id, by=gate.name_of(by.person_id))
        if row is None:
            raise ConfigError(
                f"{found.name} has no update that could be cancelled", next_step="microclaw firmware status"
            )
        return {"device": found.name, "offer": _offer_object(row)}


def chosen_devices(parts: HostParts, body: Choice) -> list[Device]:
    """Those that are named, or of those that are meant the ones with a link."""
    selection = Selection(tuple(body.devices), tuple(body.labels), body.all)
    selection.check()
    if selection.names:
        return list(dict.fromkeys(parts.devices.get(name) for name in selection.names))
    found = [one for one in parts.devices.list() if selection.means(one.labels) and _has_link(one)]
    if not found:
        raise ConfigError(
            "no device that is meant has a link, by which updates come", next_step="microclaw device list"
        )
    return found


def _has_link(device: Device) -> bool:
    try:
        link_of(device)
    except NotSupported:
        return False
    return True


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ConfigError("that is no base64", next_step="send it with microclaw firmware publish") from exc


def _key_object(row: KeyRow) -> dict[str, Any]:
    key = public_key(row.public_der)
    return filled(UpdateKey, row, public=key.pem.decode(), n=key.trusted.n)


def _release_object(row: ReleaseRow) -> dict[str, Any]:
    return filled(
        ReleaseFacts,
        row,
        release=row.release_id,
        board=row.board or None,
        revisions=list(row.revisions),
        channel=row.channel or None,
        device=row.device or None,
        sha256=row.sha256 or None,
    )


def _shown_release(row: ReleaseRow) -> dict[str, Any]:
    return {**_release_object(row), "manifest": row.manifest.decode(), "signature": row.signature.hex()}


def _offer_object(row: OfferRow) -> dict[str, Any]:
    return filled(OfferFacts, row, offer=row.offer_id, release=row.release_id, over=row.is_over)


def _status_object(
    device: Device, latest: dict[tuple[str, bool], OfferRow], foreign: dict[str, ForeignRow]
) -> dict[str, Any]:
    link = link_of(device)
    facts = None if link.presence is None else link.presence.ota
    offer, keys = latest.get((link.link_id, False)), latest.get((link.link_id, True))
    other = foreign.get(link.link_id)
    return {
        "device": device.name,
        "device_id": device.device_id,
        "online": link.anywhere,
        "takes_updates": facts is not None,
        "firmware": None if facts is None else {"name": facts.name, "version": facts.version},
        "board": None if facts is None else facts.board,
        "revision": None if facts is None else facts.revision or None,
        "channel": None if facts is None else facts.channel,
        "kinds": [] if facts is None else list(facts.kinds),
        "keys": [] if facts is None else list(facts.keys),
        "security_version": None if facts is None else facts.security_version,
        "offer": None if offer is None else _offer_object(offer),
        "keys_offer": None if keys is None else _offer_object(keys),
        "not_ours": None if other is None else filled(ForeignUpdate, other),
    }
