"""umsui: drag a running container from one cloud to another, and watch it arrive."""

__version__ = "0.1.0"
