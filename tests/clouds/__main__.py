"""``python -m tests.clouds FOLDER``: serve both clouds until the standard input ends."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from tests.clouds import arm, control, entra, gce, gke, google_login
from tests.clouds.secrets import Folder, listen, make
from tests.clouds.serving import Protocol
from tests.clouds.world import World


def _server(world: World, routes: Sequence[BaseRoute], **settings: Any) -> uvicorn.Server:
    app = Starlette(routes=list(routes))
    app.state.world = world
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=60,
        http=Protocol,
        **settings,
    )
    return uvicorn.Server(config)


async def _serve(options: argparse.Namespace) -> None:
    folder = Folder(options.folder)
    tls = listen(options.address, options.port)
    machine = listen(options.metadata, options.metadata_port)
    deaf = listen(options.address, 0)  # nobody accepts here: a socket that never answers
    port = tls.getsockname()[1]
    token_uri = "https://oauth2.googleapis.com/token" if port == 443 else f"https://localhost:{port}/token"
    world = World(make(folder, token_uri))
    clouds = [*entra.ROUTES, *arm.ROUTES, *google_login.ROUTES, *gce.ROUTES, *gke.ROUTES]
    public = _server(world, clouds, ssl_certfile=str(folder.certificate))
    inside = _server(world, [*entra.MACHINE_ROUTES, *google_login.MACHINE_ROUTES])
    told = _server(world, control.ROUTES, uds=str(folder.control))
    servers = [
        asyncio.create_task(public.serve(sockets=[tls])),
        asyncio.create_task(inside.serve(sockets=[machine])),
        asyncio.create_task(told.serve()),
    ]
    while not all(server.started for server in (public, inside, told)):
        await asyncio.sleep(0.01)
    ports = {"port": port, "metadata_port": machine.getsockname()[1], "deaf_port": deaf.getsockname()[1]}
    print(json.dumps(ports), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for server in (public, inside, told):
        server.should_exit = server.force_exit = True  # whoever is still connected is a test that has ended
    await asyncio.gather(*servers)
    deaf.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the CA, the credentials and the control socket go")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--metadata", default="127.0.0.1", help="address of the machines' metadata server")
    parser.add_argument("--metadata-port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
