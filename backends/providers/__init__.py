"""Who runs the machines: where the nodes come from."""
