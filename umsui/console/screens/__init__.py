"""The console's screens, one module and one style sheet each."""
