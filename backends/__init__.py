"""Adapters to the outside, found through entry points; they know the model and nothing above it."""
