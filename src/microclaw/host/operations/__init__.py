"""The declaration of an act, and what is derived from it: route, OpenAPI, command, tool, the client's call."""
