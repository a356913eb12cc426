"""What devices measure and how they fail, kept by the host."""
