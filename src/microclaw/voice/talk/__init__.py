"""This machine's microphone and speaker as a device on the link of the host that runs here (`voice talk`)."""
