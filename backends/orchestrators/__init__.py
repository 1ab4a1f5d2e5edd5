"""What manages the containers of a node: services, and how to create, start and remove them."""
