"""The data that makes a new device trust this host and pair: as text, file and QR code. Sends nothing.

One line says it all: `MICROCLAW://HOST:PORT/FINGERPRINT/SECRET`. FINGERPRINT is the SHA-256 of the host's authority
certificate (64 hexadecimal digits), SECRET is absent for a device that shows a code. Upper case throughout, so that a
QR code can use its dense alphabet; a reader lowers the host's name and the fingerprint.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field

from microclaw.addresses import bracketed


@dataclass(frozen=True, slots=True)
class Provision:
    """The host's name, port and authority, and a one-time secret for boards without a display.

    `name` is what the host calls the device that the secret lets in.
    """

    host: str
    port: int
    ca_sha256: str
    secret: str | None = field(default=None, repr=False)
    expires_ms: int | None = None
    name: str | None = None

    @property
    def uri(self) -> str:
        line = f"microclaw://{bracketed(self.host)}:{self.port}/{self.ca_sha256}"
        return (line if self.secret is None else f"{line}/{self.secret}").upper()

    def to_text(self) -> str:
        """For a person who types it in: the values one a line, the secret in groups of four, and the line."""
        lines = [f"host    {self.host}", f"port    {self.port}", f"ca      {self.ca_sha256}"]
        if self.secret is not None:
            groups = (self.secret[at : at + 4] for at in range(0, len(self.secret), 4))
            lines.append(f"secret  {'-'.join(groups)}")
        return "\n".join([*lines, f"line    {self.uri}"])

    def to_json(self) -> str:
        """The file's content."""
        values: dict[str, str | int] = {"microclaw": 1, "host": self.host, "port": self.port}
        values["ca_sha256"] = self.ca_sha256
        if self.secret is not None:
            values |= {"secret": self.secret, "expires_ms": self.expires_ms or 0}
        if self.name is not None:
            values["name"] = self.name
        return json.dumps(values, indent=1) + "\n"

    def qr(self) -> str:
        """The line as a QR code of half-block characters, for a terminal."""
        import segno  # QR codes: only here

        drawn = io.StringIO()
        segno.make(self.uri, error="m", micro=False).terminal(out=drawn, compact=True)
        return drawn.getvalue()
