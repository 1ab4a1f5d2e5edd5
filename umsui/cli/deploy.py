"""``umsui deploy``: start a service so that it can be migrated later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from umsui.cli import output, session
from umsui.documents import plain
from umsui.model import Approach, Deployment, Exit


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--cluster", required=True, metavar="C", help="Where it starts.")
@click.option("--node", metavar="N", help="The node there; else the one with the most free memory.")
@click.option(
    "--approach",
    type=click.Choice([each.value for each in Approach]),
    help="How it will be migrated: orchestrator starts it plainly, container nests it. Else what the file says.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def deploy(file: Path, cluster: str, node: str | None, approach: str | None, as_json: bool) -> Exit:
    """Start the service that FILE describes, so that it can be migrated later.

    \b
    web.toml, complete with everything that is optional:
      name = "web"
      image = "docker.io/library/nginx:1.27"
      approach = "container"                # orchestrator, service, container
      command = ["nginx", "-g", "daemon off;"]
      entrypoint = ["/docker-entrypoint.sh"]
      environment = { TZ = "UTC" }
      labels = { team = "shop" }
      ports = ["8080:80", "127.0.0.1:5353:53/udp"]
      volumes = ["pages:/usr/share/nginx/html", "settings:/etc/nginx:ro"]
      tmpfs = ["/run"]
      hostname = "web"
      user = "nginx"
      workdir = "/"
      restart = "on-failure:3"              # no, always, unless-stopped
      stop_signal = "SIGQUIT"
      stop_timeout = 10
      memory = "256MiB"
      cpus = 0.5
      pids = 100
      cap_drop = ["NET_RAW"]                # and cap_add
      read_only = false
      privileged = false
      [health]
      test = "curl -f http://localhost/"    # a shell's line, or a list of words
      interval = "10s"                      # timeout, start_period, retries

    \b
    Approaches:
      orchestrator   the container as it is; moves between platforms that you control
      service        its image has umsui's agent in it: `umsui image build --approach service`
      container      the image unchanged, nested in an outer container: moves anywhere (docs/approaches.md)

    \b
    Examples:
      umsui deploy web.toml --cluster azure-lab --approach container
      umsui migrate azure-lab/web --to gcp-lab
    """
    from umsui import servicefile  # noqa: PLC0415

    specification, asked = servicefile.load(file)
    chosen = Approach(approach) if approach else asked or Approach.ORCHESTRATOR
    deployment = Deployment(specification, cluster, node, chosen)
    if chosen is Approach.CONTAINER:
        from umsui.images import outer  # noqa: PLC0415

        deployment = replace(deployment, archive=str(outer.build(output.say)))
    place = session.connect().deploy(deployment)
    if as_json:
        output.document({"service": f"{cluster}/{specification.name}", **plain(place), "approach": chosen.value})
    else:
        click.echo(f"{cluster}/{specification.name} runs on {place.node} ({chosen.value}-level)")
    return Exit.DONE
