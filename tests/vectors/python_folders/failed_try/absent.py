raise ImportError("absent")
