"""``umsui info``: versions and every path used."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Any

import click

from umsui import __version__, locations
from umsui.cli import output, session
from umsui.errors import UmsuiError

LIBRARIES = ("click", "dbos", "fastapi", "httpx", "paramiko", "pydantic", "rich", "textual", "uvicorn")
GROUPS = ("providers", "orchestrators", "transports")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def info(as_json: bool) -> None:
    """Versions and every path used. Starts nothing.

    \b
    Examples:
      umsui info
      $EDITOR "$(umsui info --json | jq -r .paths.config_file)"
    """
    found = gather()
    if as_json:
        output.document(found)
        return
    for title, values in found.items():
        click.echo(click.style(title, bold=True))
        for name, value in values.items():
            shown = ", ".join(value) if isinstance(value, list) else value
            click.echo(f"  {name:<20} {'-' if shown in (None, '') else shown}")


def gather() -> dict[str, dict[str, Any]]:
    """Everything, by section."""
    lab = locations.lab_config()
    return {
        "versions": {"umsui": __version__, "python": platform.python_version(), "system": platform.platform()},
        "paths": {
            "program": sys.executable,
            "config_file": str(locations.config_file()),
            "lab_config": str(lab) if lab else None,
            "cache": str(locations.cache_dir()),
            "data": str(locations.data_dir()),
            "recordings": str(locations.recordings_dir()),
            "runtime": str(locations.runtime_dir()),
            "socket": str(locations.coordinator_socket()),
            "lab": str(locations.lab_dir()),
        },
        "coordinator": _coordinator(),
        "adapters": {group: sorted(point.name for point in entry_points(group=f"umsui.{group}")) for group in GROUPS},
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def _coordinator() -> dict[str, Any]:
    try:
        return {"running": True, **session.connect(start=False).info()}
    except UmsuiError:
        return {"running": False}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
