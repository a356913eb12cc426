"""People, roles, tokens, sessions; the gate before an act and its approvals; certificates and pairing."""
