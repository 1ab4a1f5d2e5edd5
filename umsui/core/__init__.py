"""Core migration: what carries a service's state, and the coordinator's side of the agent's protocol."""
