"""``umsui image``: the images that approaches need."""

from __future__ import annotations

import time

import click

from umsui.cli import output
from umsui.errors import BadInput
from umsui.model import Approach


@click.group()
def image() -> None:
    """Make the images that approaches need.

    \b
    Examples:
      umsui image build --approach service nginx:1.27 --node azure-lab/azure-1
      podman load -i $(umsui image build --approach container)
      umsui image build --approach container registry.example:5000/shop/web:1
    """


@image.command()
@click.argument("base", required=False)
@click.option(
    "--approach",
    type=click.Choice([Approach.SERVICE.value, Approach.CONTAINER.value]),
    required=True,
    help="service: BASE with umsui inside. container: the outer image, which unchanged services are nested in; with a "
    "BASE in a registry, that one nested in it.",
)
@click.option("--tag", metavar="T", default="", help="service: its name (default: BASE-umsui); container: one more.")
@click.option("--node", metavar="NODE", default="", help="Where BASE is: CLUSTER/NODE; without it, on this machine.")
@click.option("--engine", type=click.Choice(["podman", "docker"]), help="On this machine (default: what is there).")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def build(base: str | None, *, approach: str, tag: str, node: str, engine: str | None, as_json: bool) -> None:
    """Make an image, and print its name (service) or the file that it is in (container).

    service: adds umsui's supervisor and CRIU (16 MB, in /umsui) to BASE, whose own contents, command, user and
    environment stay. A service that runs from it with three capabilities can be moved from inside.

    container: a runtime (crun), CRIU and umsui's agent, of the lab's root file system: 50 MB, no network needed where
    a lab has been up. With BASE (HOST:PORT/NAME:TAG): that one nested, put together in the registry where BASE is, for
    pods, and for podman and docker where a service is to move to pods. `umsui deploy --approach container` makes what
    it needs by itself.

    \b
    Examples:
      umsui image build --approach service docker.io/library/nginx:1.27 --node azure-lab/azure-1
      podman load -i $(umsui image build --approach container)
      umsui image build --approach container registry.example:5000/shop/web:1
    """
    if approach == Approach.SERVICE:
        made = _service(base, tag, node, engine)
    elif node or engine is not None:
        raise BadInput("the image for container-level is made on this machine", "leave out --node and --engine")
    else:
        made = _outer(tag) if base is None else _nested(base, tag)
    if as_json:
        output.document(made)
    else:
        click.echo(made.get("file") or made["image"])


def _service(base: str | None, tag: str, node: str, engine: str | None) -> dict[str, object]:
    from umsui.cli import image_service  # noqa: PLC0415

    if base is None:
        raise BadInput("service-level needs a base image", "name the image that umsui is to be added to")
    made = image_service.build(base, tag, node, engine)
    output.say(f"run it with {image_service.RUN}")
    return made


def _outer(tag: str) -> dict[str, object]:
    from umsui.images import outer  # noqa: PLC0415

    began = time.monotonic()
    path = outer.build(output.say, tag)
    output.say(f"{outer.reference()}: {path.stat().st_size >> 20} MiB, {time.monotonic() - began:.1f} s")
    return {"image": outer.reference(), "file": str(path), "bytes": path.stat().st_size}


def _nested(base: str, tag: str) -> dict[str, object]:
    from umsui.images import nested, outer  # noqa: PLC0415
    from umsui.inside.registry import Reference  # noqa: PLC0415

    made = nested.build(Reference.of(base), outer.build(output.say), Reference.of(tag) if tag else None)
    return {"image": made.image}
