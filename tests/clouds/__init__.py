"""A local Azure and Google Cloud for tests: real connections, TLS, state, and faults on demand (docs/clouds.md)."""
