"""What goes out of the host beside its answers: MQTT. What it was told of devices, it passes on."""
