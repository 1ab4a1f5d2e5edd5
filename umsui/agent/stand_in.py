"""A stand-in for ``criu`` on the node's own path, for runtimes that are started in an environment that is not ours.

While there is a migration, a link in the first folder of the path leads to a script below ``/run``. It passes on to
the real CRIU whatever is not meant for a relay. The last migration takes it away; after a reboot it leads nowhere.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from umsui.agent import relay
from umsui.agent.host import CONTROL, PATH, Folder, Trouble, locked

KEY = "umsui.migration"  # a file among a checkpoint's images: which migration a restore belongs to

# Started by the runtime, whose last word is the container's id; where that is not known beforehand, the images that it
# was told to restore name the migration. A shell: other users of criu wait for it, too.
SCRIPT = """#!/bin/sh
words=$(tr '\\0' '\\n' <"/proc/$PPID/cmdline")
id=$(echo "$words" | tail -n 1)
if [ ! -f {waiting}/"$id" ]; then
    id=$(cat "$(echo "$words" | grep -A 1 -x -e --image-path | tail -n 1)/{key}" 2>/dev/null)
fi
[ ! -f {waiting}/"$id" ] || exec {waiting}/"$id" "$@"
exec {criu} "$@"
"""


def waiting() -> Path:
    """Holds a link for each container that waits for its dump or restore, named by its id or its migration's."""
    return CONTROL / "waiting"


def link() -> Path:
    """The link on the node's path: in the first of its folders that comes before the real criu's. Raises Trouble."""
    real = os.path.dirname(relay.real_criu())
    before = PATH.split(":")[: PATH.split(":").index(real)]
    folder = next((Path(each) for each in before if os.path.isdir(each)), None)
    if folder is None:
        raise Trouble(
            "no-stand-in",
            f"criu is in {real}, the first folder that runtimes look into: umsui's stand-in cannot come before it",
            f"move it: mv {real}/criu /usr/sbin/",
        )
    return folder / "criu"


def put(folder: Folder, key: str) -> None:
    """Let the runtime meet the migration's relay when it comes with this key: a container's id, or the migration's."""
    at = link()
    script = CONTROL / "criu"
    with locked(CONTROL):
        waiting().mkdir(mode=0o700, exist_ok=True)
        mine = waiting() / key
        mine.unlink(missing_ok=True)
        mine.symlink_to(folder.control / "bin" / "criu")
        words = {"waiting": shlex.quote(str(waiting())), "criu": shlex.quote(relay.real_criu()), "key": KEY}
        script.write_text(SCRIPT.format(**words))
        script.chmod(0o700)
        if not at.is_symlink():
            at.symlink_to(script)
    folder.note(waits=key)


def take(folder: Folder) -> None:
    """Nothing of this migration is waited for any more; the last one takes the stand-in off the node's path."""
    at = link()
    with locked(CONTROL):
        if folder.state().get("waits"):
            (waiting() / folder.state()["waits"]).unlink(missing_ok=True)
        if waiting().is_dir() and not any(waiting().iterdir()):
            if at.is_symlink():
                at.unlink()
            (CONTROL / "criu").unlink(missing_ok=True)
            waiting().rmdir()
