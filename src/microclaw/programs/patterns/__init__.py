"""Ready programs in C and MicroPython, and catalogues of them."""
