raise OSError(19)
