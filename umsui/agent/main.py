"""The programs that the agent's one file can be: the agent itself, and what it starts.

Each imports only what it needs: a migration starts a dozen of them, most of them on the way to the freeze.
"""

from __future__ import annotations

from typing import List


def main(arguments: List[str]) -> int:
    """Be one of the programs."""
    program, rest = arguments[0], arguments[1:]
    if program == "serve":
        from umsui.agent import serve

        return serve.main()
    if program == "wire":
        from umsui.agent import wire

        return wire.main(rest[0])
    if program == "outer":
        from umsui.agent import outer

        return outer.main(rest)
    return of_migration(program, rest)


def of_migration(program: str, rest: List[str]) -> int:
    """Be one of those that work for one end of one migration."""
    from umsui.agent.host import Folder

    folder = Folder(rest[0], rest[1])
    if program in ("joint", "dial"):
        from umsui.agent import joint

        return joint.main(folder) if program == "joint" else joint.dial(folder)
    if program == "door":
        from umsui.agent import door

        return door.main(folder)
    if program == "guard":
        from umsui.agent import guard

        return guard.main(folder)
    if program == "pager":
        from umsui.agent import pager

        return pager.main(folder, rest[2:])
    from umsui.agent import relay

    return relay.main(folder, rest[2:])
