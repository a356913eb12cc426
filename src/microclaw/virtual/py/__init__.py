"""Programs in MicroPython on the virtual board: the firmware's runner on a real interpreter, simulated modules."""
