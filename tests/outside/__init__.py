"""The broker against a real HTTP service on loopback that has a limit of its own: docs/outside.md."""
