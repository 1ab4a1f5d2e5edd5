"""Inter-system coordination: the durable three-phase workflow, its journal, its HTTP API and client."""
