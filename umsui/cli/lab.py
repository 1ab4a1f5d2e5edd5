"""``umsui lab``: real hosts on this machine."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from typing import Any

import click

from umsui import locations
from umsui.cli import output, session
from umsui.documents import plain
from umsui.errors import UmsuiError

SHUTDOWN_TIME = 5.0
CHOICE = click.Choice(["podman", "docker", "engines", "kubernetes", "mixed"])


@click.group()
def lab() -> None:
    """Real hosts on this machine: three clusters, `azure-lab`, `gcp-lab` and `onprem-lab`, with services running.

    Each host has its own namespaces, files, SSH server and podman or docker. Two more hosts can be Kubernetes clusters,
    `aks-lab` and `gke-lab`: an API server of 2021, compiled when they are first wanted. Needs root on Linux.

    \b
    Examples:
      umsui lab up --rate 1gbit
      umsui lab status
      umsui lab shape 100mbit
      umsui lab down
    """


@lab.command()
@click.option("--rate", metavar="RATE", help="Limit the links: 100mbit, 1gbit; without it they are unlimited.")
@click.option(
    "--orchestrator",
    type=CHOICE,
    default="podman",
    show_default=True,
    help="What runs on the hosts; engines: podman and docker, mixed: Kubernetes clusters beside them.",
)
@click.option("--inside", is_flag=True, help="Also run memhog-service, with umsui inside: it moves at service-level.")
def up(rate: str | None, orchestrator: str, inside: bool) -> None:
    """Bring the lab up; what is there already stays. The first time takes some minutes, Kubernetes some more."""
    from umsui import lab as hosts  # noqa: PLC0415

    began = time.monotonic()
    hosts.up(rate, orchestrator, output.say)
    if inside:
        from umsui.cli import image_service  # noqa: PLC0415

        output.say(f"{image_service.run_sample(locations.lab_config())}: memhog-service runs, with umsui inside")
    output.say(f"the lab is up after {time.monotonic() - began:.1f} s; `umsui services` lists what runs")
    _warn_of_another_config()


def _warn_of_another_config() -> None:
    config, running = locations.lab_config(), _coordinator_config()
    if config and running is not None and running != str(config):
        output.say(
            f"the running coordinator uses {running or 'no config'}; `umsui coordinator stop` makes it see the lab"
        )


def _coordinator_config() -> str | None:
    """The config of the running coordinator; None when none runs."""
    try:
        return str(session.connect(start=False).info().get("config") or "")
    except UmsuiError:
        return None


@lab.command()
def down() -> None:
    """Take the lab down; nothing of it is left. Also stops a coordinator that runs on it."""
    from umsui import lab as hosts  # noqa: PLC0415

    config = locations.lab_config()
    if config and _coordinator_config() == str(config):
        _stop_coordinator()
    hosts.down(output.say)


def _stop_coordinator() -> None:
    api = session.connect(start=False)
    with contextlib.suppress(UmsuiError):
        api.shutdown(force=True)
        output.say("stopping the coordinator that runs on the lab")
    until = time.monotonic() + SHUTDOWN_TIME
    while _coordinator_config() is not None and time.monotonic() < until:
        time.sleep(0.05)


@lab.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def status(as_json: bool) -> None:
    """What of the lab is up."""
    from umsui import lab as hosts  # noqa: PLC0415

    found = hosts.status()
    if as_json:
        output.document(_plain(found))
        return
    if not any(host.up for host in found.hosts):
        click.echo("the lab is down; `umsui lab up` brings it up")
        return
    rows = [
        (f"{host.cluster}/{host.name}", host.address, "● up" if host.up else "○ down", ", ".join(host.services) or "-")
        for host in found.hosts
    ]
    click.echo(output.table(("NODE", "ADDRESS", "STATE", "SERVICES"), rows))
    click.echo(f"\nlinks   {found.rate or 'unlimited'}\nconfig  {found.config or '-'}")
    if found.kubernetes:
        click.echo(f"note    {found.kubernetes}")


def _plain(found: Any) -> Any:
    return plain(asdict(found))


@lab.command()
@click.argument("rate")
def shape(rate: str) -> None:
    """Limit the links to RATE (100mbit, 1gbit), or `none` for no limit."""
    from umsui import lab as hosts  # noqa: PLC0415

    hosts.shape(None if rate == "none" else rate)
    output.say(f"links: {'unlimited' if rate == 'none' else rate}")


@lab.command()
@click.option("--orchestrator", type=CHOICE, default="engines", show_default=True, help="As for `umsui lab up`.")
def prepare(orchestrator: str) -> None:
    """Make what is slow and kept: the hosts' root file system, images, and Kubernetes where wanted. Idempotent."""
    from umsui import lab as hosts  # noqa: PLC0415

    hosts.prepare(output.say, orchestrator)


@lab.command()
def reset() -> None:
    """Start the sample services anew, each where it was at first."""
    from umsui import lab as hosts  # noqa: PLC0415

    hosts.reset(output.say)
