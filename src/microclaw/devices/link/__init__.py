"""The host's end of the device link: the listener, a socket and a connection for each device, and its transport."""
