"""`status --open`, `signin` and `ca`: a browser's way in, its sessions, and the authority that it has to trust."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from microclaw.api.operations import read_status
from microclaw.cli.options import GlobalOptions, command_group, global_options
from microclaw.client.request import segment
from microclaw.errors import ConfigError, NoHost
from microclaw.text import moment_text

sign_in_group = command_group()
ca_group = command_group()
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


def open_page(options: GlobalOptions, person: str) -> None:
    """Print a link that signs a browser in, once."""
    options.only_here("microclaw status --open")
    host = options.host()
    found = host.call(read_status)
    if found.http is None:
        raise NoHost("this host has no address for browsers", next_step="microclaw up --port 8080")
    made, ca_sha256 = host.post("/v1/signin/links", {"person": person}), found.https.ca_sha256
    links = [url + made["path"] for url in found.https.urls]
    if not options.wrote_json("open", {**made, "url": links[0], "urls": links, "ca_sha256": ca_sha256}):
        options.line(links[0])
        for other in links[1:]:
            options.say(f"or  {other}")
        options.say(f"signs {made['person']} ({made['role']}) in once, within {made['expires_s'] / 60:.0f} minutes")
        if ca_sha256 is not None:
            options.say(f"the host's own authority, SHA-256 {ca_sha256}: microclaw ca export")


@sign_in_group.command("list")
def list_sign_ins(ctx: typer.Context) -> None:
    """Browsers that are signed in."""
    options = global_options(ctx)
    found = options.fetch("signins", "/v1/signins")
    rows = [
        (
            *(one[key] for key in ("id", "person", "role", "how", "address")),
            moment_text(one["used_ms"]),
            moment_text(one["ends_ms"]),
        )
        for one in found["signins"]
    ]
    head = ("ID", "PERSON", "ROLE", "BY", "FROM", "USED", "UNTIL")
    options.table(rows, head=head, empty="nobody is signed in: microclaw status --open")


@sign_in_group.command("end")
def end_sign_in(ctx: typer.Context, sign_in_id: Annotated[str, typer.Argument(metavar="ID|all")]) -> None:
    """End a session, or `all` of them, at once."""
    options = global_options(ctx)
    host = options.host()
    wanted = [sign_in_id]
    if sign_in_id == "all":
        wanted = [one["id"] for one in host.get("/v1/signins")["signins"]]
    for one in wanted:
        host.delete(f"/v1/signins/{segment(one)}")
    options.report("signins", {"ended": wanted}, f"{len(wanted)} ended")


@ca_group.command("show")
def show_authority(ctx: typer.Context) -> None:
    """The fingerprint of the host's own authority; needs no host."""
    options = global_options(ctx)
    pem, path = _authority(ctx)
    from microclaw.authority_pem import pem_fingerprint

    value: dict[str, Any] = {"sha256": pem_fingerprint(pem), "file": str(path)}
    if not options.wrote_json("ca", value):
        options.line(f"SHA-256 {value['sha256']}")
        options.say(
            "a browser or phone trusts this host's HTTPS once it has this certificate: microclaw ca export FILE"
        )


@ca_group.command("export")
def export_authority(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Where to write it; else it is printed.")] = None,
) -> None:
    """The authority's certificate (PEM), for browsers and `--host`; never its key."""
    options = global_options(ctx)
    pem, _ = _authority(ctx)
    if file is None:
        sys.stdout.write(pem.decode("ascii"))
        return
    try:
        file.write_bytes(pem)
    except OSError as exc:
        raise ConfigError(f"cannot write {file}: {exc.strerror or exc}", next_step="give another place") from exc
    options.report("ca", {"file": str(file)}, f"{file}: import it where the host's pages are opened")


def _authority(ctx: typer.Context) -> tuple[bytes, Path]:
    """The certificate of this home's authority, without the key that lies in the same file."""
    from microclaw.auth.authority import AUTHORITY_FILE
    from microclaw.durable import read_private

    path = global_options(ctx).settings().identity / AUTHORITY_FILE
    found = _CERTIFICATE.search(read_private(path) or b"")
    if found is None:
        step = "microclaw config set host.http_tls own, then microclaw up"
        raise ConfigError("this host has no authority of its own yet", next_step=step)
    return found[0], path
