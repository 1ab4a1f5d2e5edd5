"""Real hosts on this machine: three clusters with sample services, to try umsui on and to test it with."""

from umsui.lab.commands import LabError
from umsui.lab.lab import ORCHESTRATORS, HostStatus, Status, down, prepare, reset, shape, status, up

__all__ = ["ORCHESTRATORS", "HostStatus", "LabError", "Status", "down", "prepare", "reset", "shape", "status", "up"]
