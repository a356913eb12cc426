"""The conformance check of the link: each rule of docs/protocols/link.md kept, broken or not tried."""
