"""A device's end of the link, as the virtual board has it: identity, connection, messages, speech."""
