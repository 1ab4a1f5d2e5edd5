"""A node's container engine through its command line: what podman and docker do alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from backends.orchestrators.inspected import Raw
from umsui.adapters import Completed, Transport
from umsui.errors import BadInput, CommandFailed

# $1 the engine, $2 the container. Its image is asked for in the same breath: what comes from it is no setting of the
# container.
_INSPECT = r"""
export PODMAN_IGNORE_CGROUPSV1_WARNING=1
found=$("$1" container inspect "$2") || exit
printf '%s\n\036' "$found"
image=$(printf '%s\n' "$found" | sed -n 's/^ *"Image": "\(sha256:\)\{0,1\}\([0-9a-f]\{64\}\)",*$/\2/p' | head -n 1)
exec "$1" image inspect "$image"
"""

_SHELL = "command -v bash >/dev/null && exec bash || exec sh"


class EngineCli:
    """The engine called ``name`` on a node. Holds no state: one serves for all nodes."""

    name: ClassVar[str]
    words: ClassVar[Sequence[tuple[str, str, str]]] = ()
    """What the engine says, the code for it, what mends it."""

    def _argv(self, *words: str) -> list[str]:
        return ["env", "PODMAN_IGNORE_CGROUPSV1_WARNING=1", self.name, *words]

    def raw(self, transport: Transport, service: str) -> Raw:
        """What it inspects. Raises BadInput when there is no service of that name."""
        done = transport.run(self._argv("container", "inspect", service))
        return self._parsed(transport, service, done)[0]

    def start(self, transport: Transport, service: str) -> None:
        """Start it. Raises CommandFailed."""
        self._checked(transport.run(self._argv("start", service), timeout=60), transport, f"start {service}")

    def logs(self, transport: Transport, service: str, lines: int = 100) -> list[str]:
        """The last lines that it printed, of both its outputs. Raises BadInput when there is none of that name."""
        done = transport.run(self._argv("logs", "--tail", str(lines), service))
        if done.status and b"no such container" in done.stderr.lower():
            raise _missing(transport, service)
        self._checked(done, transport, f"read the logs of {service}")
        return (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()

    def logs_command(self, service: str, lines: int) -> list[str]:
        """``logs`` that follows."""
        return self._argv("logs", "--follow", "--tail", str(lines), service)

    def shell_command(self, service: str) -> list[str]:
        """``exec`` of the best shell that is there."""
        return self._argv("exec", "--interactive", "--tty", service, "sh", "-c", _SHELL)

    def has_image(self, transport: Transport, image: str) -> bool:
        """Whether the image (an id or a name) is there."""
        return self._image(transport, image, "{{.Id}}") is not None

    def image_size(self, transport: Transport, image: str) -> int:
        """The image's size in bytes, its layers unpacked. Raises BadInput when it is not there."""
        found = self._image(transport, image, "{{.Size}}")
        if found is None:
            raise BadInput(f"there is no image {image} on {transport.address}")
        return int(found)

    def _image(self, transport: Transport, image: str, wanted: str) -> str | None:
        """What a template says of an image; None when it is not there."""
        done = transport.run(self._argv("image", "inspect", "--format", wanted, image))
        said = done.stderr.lower()
        if done.status and (b"image not known" in said or b"no such image" in said):
            return None
        return self._checked(done, transport, f"inspect the image {image}").decode().strip()

    def _inspect(self, transport: Transport, service: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The container and its image."""
        done = transport.run(["sh", "-s", "--", self.name, service], stdin=_INSPECT.encode())
        container, image = self._parsed(transport, service, done)
        return container, image

    def _parsed(self, transport: Transport, service: str, done: Completed) -> list[dict[str, Any]]:
        """What was inspected, one after the other."""
        if done.status and b"no such container" in done.stderr.lower():
            raise _missing(transport, service)
        printed = self._checked(done, transport, f"inspect {service}")
        try:
            return [json.loads(part)[0] for part in printed.split(b"\x1e")]
        except (ValueError, IndexError) as error:
            raise CommandFailed(f"{self.name} on {transport.address} answered what is no JSON: {error}") from error

    def _checked(self, done: Completed, transport: Transport, what: str) -> bytes:
        """The output of a command that went well. Raises CommandFailed with its own words and what mends it."""
        if done.status == 0:
            return done.stdout
        lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        reasons = [line for line in lines if line.startswith("Error response from daemon: ")] or lines[-1:]
        said = reasons[-1].removeprefix("Error: ") if reasons else f"status {done.status}"
        if done.status == 127:
            where, code = f"there is no {self.name} on {transport.address}", f"no-{self.name}"
            raise CommandFailed(where, f"install {self.name} there", code=code)
        raise self._failed(transport, what, said)

    def _failed(self, transport: Transport, what: str, said: str) -> CommandFailed:
        code, fix = next(((code, fix) for words, code, fix in self.words if words in said), ("", ""))
        return CommandFailed(f"{self.name} on {transport.address} could not {what}: {said}", fix, code=code)


def _missing(transport: Transport, service: str) -> BadInput:
    return BadInput(
        f"there is no service {service} on {transport.address}", "`umsui services` lists them", code="no-service"
    )
