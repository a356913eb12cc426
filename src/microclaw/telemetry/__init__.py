"""What devices measure and how they fail, kept by the host, and passed on to an MQTT broker."""
