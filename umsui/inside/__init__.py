"""umsui's part inside a service's own container (C, one static program), and the images that have it."""
