print("only for a checker of types")
