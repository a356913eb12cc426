"""A host while it is built: the parts that a room finds there, and what the room adds."""
