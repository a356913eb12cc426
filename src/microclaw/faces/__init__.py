"""The ways into a device: each turns calls into its protocol, and the IO to devices lives here alone."""
