"""The commands: parse, call the coordinator's client, print. Data goes to stdout, everything else to stderr."""
