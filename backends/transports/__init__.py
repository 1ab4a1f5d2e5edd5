"""Ways to reach a node: run a command there, or start a program and stay connected with it."""
