"""What apps reach in the network through the firmware's own clients, where the board may use one."""
