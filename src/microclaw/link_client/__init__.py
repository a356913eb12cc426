"""A device's end of the link, as the virtual board and `voice talk` have it: identity, connection, messages, speech."""
