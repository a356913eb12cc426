"""What the stock firmware of MicroPython has. Data only."""
