"""C source to a checked wasm image, and the checks on a module that comes as bytes."""
