"""The network of apps: the firmware's own clients, where the board may use one."""
