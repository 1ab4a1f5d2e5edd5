"""The command line as a whole: which commands there are, and how every error ends."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from umsui.cli import output
from umsui.errors import BadInput, UmsuiError
from umsui.model import Exit, Failure

SIGPIPE_EXIT = 141  # what a shell reports for a program whose reader went away


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is; its module is imported when it is called."""

    module: str
    attribute: str
    help: str


SECTIONS: dict[str, dict[str, Entry]] = {
    "What is there": {
        "clusters": Entry("inventory", "clusters", "All clusters, with their state and the age of what is shown."),
        "nodes": Entry("machines", "nodes", "The machines of the clusters; start and stop those of a cloud."),
        "services": Entry("inventory", "services", "The services that run on them."),
        "kubeconfig": Entry("machines", "kubeconfig", "Credentials for a managed Kubernetes cluster."),
        "doctor": Entry("doctor", "doctor", "What a node lacks, with the command that mends it."),
    },
    "Move a service": {
        "plan": Entry("plan", "plan", "What a migration would do and cost. Changes nothing."),
        "migrate": Entry("migrate", "migrate", "Move a running service to another cluster, and watch it arrive."),
        "deploy": Entry("deploy", "deploy", "Start a service so that it can be migrated later."),
        "watch": Entry("migrations", "watch", "Follow a running migration."),
        "replay": Entry("replay", "replay", "Play the recording of a migration."),
        "cancel": Entry("migrations", "cancel", "Call a migration off before it commits."),
        "resolve": Entry("migrations", "resolve", "Take up again a migration whose outcome is unknown."),
        "migrations": Entry("migrations", "migrations", "Past and running migrations, or all of one."),
    },
    "Machinery": {
        "init": Entry("init", "init", "A first config, from what is on this machine already."),
        "serve": Entry("serve", "serve", "The console in a browser on this machine."),
        "lab": Entry("lab", "lab", "Real hosts on this machine: three clusters to try it on."),
        "image": Entry("image", "image", "Make the images that approaches need."),
        "bench": Entry("bench", "bench", "Measure downtime and overhead; ours beside podman's own way."),
        "coordinator": Entry("coordinator", "coordinator", "The process that runs migrations."),
        "info": Entry("info", "info", "Versions and every path used."),
    },
}
COMMANDS: dict[str, Entry] = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class Lazy(click.Group):
    """A group whose commands are imported when they are needed, so that each starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All names, in the order in which the help shows them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(f"umsui.cli.{entry.module}"), entry.attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; suggest close names for one that is unknown."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            import difflib  # noqa: PLC0415  (only mistakes pay for it)

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            fix = f"did you mean `umsui {close[0]}`?" if close else "`umsui --help` lists the commands"
            raise BadInput(f"there is no command {args[0]}", fix)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The commands by section, without importing any."""
        width = max(map(len, COMMANDS))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), entry.help) for name, entry in section.items()])


@click.group(cls=Lazy, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, help="Print the version.")
@click.option("--theme", metavar="NAME", help="The console's theme, for this time.")
@click.option("--no-mouse", is_flag=True, help="The console leaves the mouse to the terminal.")
@click.pass_context
def root(ctx: click.Context, version: bool, theme: str | None, no_mouse: bool) -> Exit | None:
    """Move running containers between clouds, clusters and machines, with their memory intact.

    Without a command it opens the console (on a terminal), else it prints the clusters.

    \b
    Try it on this machine:
      umsui lab up
      umsui services
      umsui migrate azure-lab/memhog --to gcp-lab
    """
    if version:
        from umsui import __version__  # noqa: PLC0415

        click.echo(f"umsui {__version__}")
        return None
    if ctx.invoked_subcommand is not None:
        return None
    return _start(ctx, theme, mouse=not no_mouse)


def _start(ctx: click.Context, theme: str | None, *, mouse: bool) -> Exit | None:
    """The console; it starts the coordinator itself, once there is something to see."""
    from umsui import console  # noqa: PLC0415

    if not (output.interactive() and sys.stdout.isatty() and console.usable_terminal()):
        from umsui.cli import inventory  # noqa: PLC0415

        ctx.invoke(inventory.clusters, as_json=False, refresh=False)
        return None
    code = console.run(theme=theme, mouse=mouse)
    return Exit(code) if code else None


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are told on stderr, with ``--json`` also as a document."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where a test has put something else in its place
            stream.reconfigure(errors="replace")
    as_json = "--json" in arguments
    try:
        code = _invoke(list(arguments), as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SIGPIPE_EXIT
    return code


def _invoke(arguments: list[str], as_json: bool) -> int:
    try:
        answer: Any = root.main(
            arguments, "umsui", standalone_mode=False, color=False if os.environ.get("NO_COLOR") else None
        )
        return int(answer) if answer is not None else Exit.DONE.value
    except UmsuiError as error:
        output.error(error.failure(), as_json=as_json)
        return error.exit.value
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "umsui"
        failure = Failure("", "usage", error.format_message().rstrip("."), f"`{where} --help` tells how it is called")
        output.error(failure, as_json=as_json)
        return Exit.USAGE.value
    except click.ClickException as error:
        output.error(Failure("", "usage", error.format_message()), as_json=as_json)
        return Exit.USAGE.value
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return Exit.CANCELLED.value
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("UMSUI_DEBUG"):
            import traceback  # noqa: PLC0415

            traceback.print_exc()
        fix = "run it again with UMSUI_DEBUG=1 and report what it prints; `umsui migrations` tells what is running"
        output.error(
            Failure("", "internal", f"umsui has a defect: {type(error).__name__}: {error}", fix), as_json=as_json
        )
        return Exit.UNKNOWN.value
