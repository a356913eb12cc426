"""Who is a device: the host's certificate authority, certificates, tokens, pairing, revocation. Opens no connection."""
