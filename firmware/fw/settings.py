"""The board's settings, and its credential: two files that are replaced, never changed in place."""

import json

from binding import bound, once

# board {name and what board.py says}, wifi [{ssid, password}], host, port, ca_sha256, secret, ap_key; where wanted
# name (of this device, for `microclaw flash`), host_name, ntp, ap_after_s, revision (of the board, for updates);
# wifi_trial is networks.py's


class Settings:
    """The settings. `told` is /settings.json; nothing in it is needed to start."""

    SETTINGS = "settings.json"
    CREDENTIAL = "credential.json"  # token
    # `ip`: the last address of the host.
    ADDRESS = "address.json"
    AUTHORITY = "ca.der"

    def __init__(self, folder=""):
        self._folder = folder
        self.told = self._read(self.SETTINGS)
        self.token = self._read(self.CREDENTIAL).get("token")
        self.address = self._read(self.ADDRESS).get("ip")

    def __getattr__(self, name):
        """Load the functions that change settings, which are needed seldom, from settings_file.py."""
        return bound(getattr(once("settings_file"), name), self)

    def get(self, name, default=None):
        return self.told.get(name, default)

    def board_name(self):
        return self.told.get("board", {}).get("name", "esp32")

    def authority(self):
        """Return the host's authority in DER form, or None before it was fetched."""
        try:
            with open(self._folder + self.AUTHORITY, "rb") as file:
                return file.read()
        except OSError:
            return None

    def path(self, name):
        return self._folder + name

    def _read(self, name):
        try:
            with open(self._folder + name) as file:
                value = json.load(file)
        except (OSError, ValueError):
            return {}
        if isinstance(value, dict):
            return value
        return {}
