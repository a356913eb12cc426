"""The host over HTTP and WebSocket: routes of the declared acts, streams, sign-in, OpenAI's protocol, the gateway."""
