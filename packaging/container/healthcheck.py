"""Whether the host in this container answers: /healthz on its control socket, whatever door is open to others.

Exit code 0 when it does. Used by the image's HEALTHCHECK.
"""

import os
import sys
from pathlib import Path

from microclaw.errors import MicroclawError
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import Client

TIMEOUT_S = 8.0  # less than the HEALTHCHECK's own


def main() -> int:
    try:
        settings = load_settings(os.environ, home=Path(os.environ["MICROCLAW_HOME"]))
        found = Client(settings.control_socket, timeout_s=TIMEOUT_S).get("/healthz")
    except MicroclawError as exc:
        print(exc.message)
        return 1
    print(f"microclaw {found['version']} answers; failing: {', '.join(found['failing']) or 'nothing'}")
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
