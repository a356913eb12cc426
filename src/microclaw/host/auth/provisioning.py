"""The data that makes a new device trust this host and pair: as text, file and QR code. Sends nothing.

One line has all of it: `MICROCLAW://HOST:PORT/FINGERPRINT/SECRET`. FINGERPRINT is the SHA-256 of the host's authority
certificate (64 hexadecimal digits), SECRET is absent for a device that shows a code. It is upper case throughout, so
that a QR code can use its dense alphabet; a reader lowers the host's name and the fingerprint.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field

from microclaw.addresses import bracketed


@dataclass(frozen=True, slots=True)
class Provision:
    """The host's name, port and authority, and a one-time secret for boards without a display.

    `name` is the name that the host gives the device that the secret lets in.
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
        if self.secret is not None:
            line += f"/{self.secret}"
        return line.upper()

    def to_text(self) -> str:
        """Return the text for a person who types it in: a value a line, the secret in groups of four, and the line."""
        lines = [f"host    {self.host}", f"port    {self.port}", f"ca      {self.ca_sha256}"]
        if self.secret is not None:
            groups = (self.secret[start : start + 4] for start in range(0, len(self.secret), 4))
            lines.append(f"secret  {'-'.join(groups)}")
        return "\n".join([*lines, f"line    {self.uri}"])

    def to_json(self) -> str:
        """Return the content of the file."""
        values: dict[str, str | int] = {"microclaw": 1, "host": self.host, "port": self.port}
        values["ca_sha256"] = self.ca_sha256
        if self.secret is not None:
            values |= {"secret": self.secret, "expires_ms": self.expires_ms or 0}
        if self.name is not None:
            values["name"] = self.name
        return json.dumps(values, indent=1) + "\n"

    def qr(self) -> str:
        """Return the line as a QR code of half-block characters, for a terminal."""
        # Only this function needs QR codes.
        import segno

        output = io.StringIO()
        segno.make(self.uri, error="m", micro=False).terminal(out=output, compact=True)
        return output.getvalue()
