"""The host's end of the device link: the server, one connection after the other, and the face over it."""
