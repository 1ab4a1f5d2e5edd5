"""``umsui serve``: the console in a browser on this machine."""

from __future__ import annotations

import asyncio
import shlex
import sys
import webbrowser
from importlib.util import find_spec

import click

from umsui.cli import output, session
from umsui.errors import BadInput


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of 127.0.0.1; any free one unless given.")
@click.option("--open", "browse", is_flag=True, help="Open it in the browser of this machine.")
def serve(port: int, browse: bool) -> None:
    """Show the console in a browser. Prints an address that opens once; Ctrl+C ends it, migrations go on.

    It listens on 127.0.0.1 only; from elsewhere, forward the port.

    \b
    Examples:
      umsui serve --open
      ssh -L 8765:127.0.0.1:8765 HOST umsui serve --port 8765
    """
    if find_spec("textual_serve") is None:
        raise BadInput("the console in a browser needs textual-serve", "pip install 'umsui[web]'", code="no-extra")
    from umsui.console.web.door import Door, told_to_stop  # noqa: PLC0415

    session.ensure()
    try:
        door = Door(shlex.join([sys.executable, "-m", "umsui.console.web"]), port)
    except OSError as error:
        raise BadInput(f"port {port} cannot be had: {error.strerror}", "choose another --port", code="port") from error

    def opened() -> None:
        click.echo(door.url)
        sys.stdout.flush()
        output.say("this address opens once, in one browser; Ctrl+C ends it")
        if browse:
            webbrowser.open(door.url)

    asyncio.run(door.run(opened, told_to_stop))
