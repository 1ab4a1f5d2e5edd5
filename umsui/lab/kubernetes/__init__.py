"""Kubernetes clusters for the lab: compiled once, then hosts of the lab like the others."""
