"""The firmware's device nodes, one file a kind: what a descriptor of /dev does. Opens none and runs no app."""
