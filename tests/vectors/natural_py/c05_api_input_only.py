from microclaw import pin

led = pin(34)
