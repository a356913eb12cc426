"""`microclaw flash`: a board on a USB cable gets MicroPython, our files, its host and its Wi-Fi."""
