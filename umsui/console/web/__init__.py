"""The console in a browser on this machine: ``umsui serve``. Needs the extra ``web``."""
