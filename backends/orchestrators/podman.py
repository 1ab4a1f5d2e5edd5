"""Podman hosts, through the podman CLI and its JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from backends.orchestrators import podman_create, podman_survey
from backends.orchestrators.podman_compare import Difference, compare
from backends.orchestrators.podman_inspect import Raw, specification
from backends.orchestrators.podman_particulars import particulars, unsupported
from umsui.adapters import Completed, Transport
from umsui.errors import BadInput, CommandFailed
from umsui.model import Node, Service, Specification

_PODMAN = ("env", "PODMAN_IGNORE_CGROUPSV1_WARNING=1", "podman")

# $1 the container. Its image is asked for in the same breath: what comes from it is no setting of the container.
_INSPECT = r"""
export PODMAN_IGNORE_CGROUPSV1_WARNING=1
found=$(podman container inspect "$1") || exit
printf '%s\n\036' "$found"
image=$(printf '%s\n' "$found" | sed -n 's/^ *"Image": "\([0-9a-f]\{64\}\)",*$/\1/p' | head -n 1)
exec podman image inspect "$image"
"""

# $1 the container, then volumes. Under cgroup v1 a frozen process dies only when it is thawed, so `podman kill` and
# `podman rm` would wait for it in vain. Its restart policy goes first: it must not come back without its memory.
_REMOVE = r"""
export PODMAN_IGNORE_CGROUPSV1_WARNING=1
name=$1; shift
facts='{{.State.Status}} {{.State.Pid}} {{.HostConfig.RestartPolicy.Name}}'
state=$(podman container inspect --format "$facts" "$name" 2>/dev/null)
case $state in paused*)
  pid=${state#paused }; policy=${pid#* }
  [ "$policy" = no ] || podman update --restart no "$name"
  kill -KILL "${pid% *}"; podman unpause "$name"
esac >/dev/null 2>&1
podman rm --force --time 0 --ignore "$name" >/dev/null || exit
failed=0
for volume; do
  ! podman volume exists "$volume" || podman volume rm "$volume" >/dev/null || failed=$?
done
exit $failed
"""

_WORDS = (  # what podman says, the code for it, what mends it
    ("network not found", "no-network", "create the network there first: podman network create NAME"),
    ("already in use", "name-taken", "remove or rename the container of that name there"),
    ("image not known", "no-image", "the image must be there first"),
    ("catatonit", "no-init", "install catatonit there: containers with --init need it"),
    ("not enough unused IDs", "no-subids", "give the user more subordinate ids in /etc/subuid and /etc/subgid"),
    ("no space left", "no-space", "free some space there"),
    ("statfs", "no-folder", "a bind mount's folder must exist there"),
)


class Podman:
    """The podman of a node. Holds no state: one serves for all nodes."""

    name = "podman"

    def survey(self, transport: Transport, cluster: str, node: Node) -> tuple[Node, tuple[Service, ...]]:
        """The node with its facts filled in, and its services: one remote command.

        Versions are asked for only while ``node.software`` has none: clear it to have them read again.
        Raises CommandFailed (code "no-podman" when there is none), Unreachable.
        """
        what = "facts" if "podman" in node.software else "versions"
        done = transport.run(["sh", "-s", "--", what], stdin=podman_survey.SCRIPT.encode())
        found = podman_survey.parse(done.stdout, done.stderr, transport.address)
        return podman_survey.node_of(found, node), podman_survey.services_of(found, cluster, node.name)

    def specification(self, transport: Transport, service: str) -> Specification:
        """What the service is made of. Raises BadInput when there is none of that name."""
        return specification(*self._inspect(transport, service))

    def particulars(self, transport: Transport, service: str) -> tuple[str, ...]:
        """Flags for ``create`` with all that only podman knows, so that podman to podman loses nothing."""
        return particulars(*self._inspect(transport, service))

    def unsupported(self, raw: Raw) -> tuple[str, ...]:
        """What of a service (its ``raw``) cannot be recreated elsewhere, in words."""
        return unsupported(raw)

    def raw(self, transport: Transport, service: str) -> Raw:
        """``podman inspect``. Raises BadInput when there is no service of that name."""
        return self._inspect(transport, service)[0]

    def differences(self, source: Raw, destination: Raw) -> list[Difference]:
        """Settings that are not equal between two ``raw``, but for those that must differ between two hosts."""
        return compare(source, destination)

    def create(self, transport: Transport, spec: Specification, particulars: Sequence[str] = ()) -> str:
        """Create the service, not started; returns its id. The image must be there. Raises CommandFailed."""
        done = transport.run(["sh", "-s"], stdin=podman_create.script(spec, particulars), timeout=60)
        return _checked(done, transport, f"create {spec.name}").decode().strip().splitlines()[-1]

    def start(self, transport: Transport, service: str) -> None:
        """Start it. Raises CommandFailed."""
        _checked(transport.run([*_PODMAN, "start", service], timeout=60), transport, f"start {service}")

    def remove(self, transport: Transport, service: str, *, volumes: Sequence[str] = ()) -> None:
        """Kill and remove it, paused or not, and these of its named volumes. What is not there is no error.

        Raises CommandFailed, also when a volume is still in use.
        """
        done = transport.run(["sh", "-s", "--", service, *volumes], stdin=_REMOVE.encode(), timeout=60)
        _checked(done, transport, f"remove {service}")

    def logs(self, transport: Transport, service: str, lines: int = 100) -> list[str]:
        """The last lines that it printed, of both its outputs. Raises BadInput when there is none of that name."""
        done = transport.run([*_PODMAN, "logs", "--tail", str(lines), service])
        if done.status and b"no such container" in done.stderr:
            raise _missing(transport, service)
        _checked(done, transport, f"read the logs of {service}")
        return (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()

    def has_image(self, transport: Transport, image: str) -> bool:
        """Whether the image (an id or a name) is there."""
        done = transport.run([*_PODMAN, "image", "exists", image])
        if done.status not in (0, 1):
            _checked(done, transport, f"look for the image {image}")
        return done.status == 0

    def image_size(self, transport: Transport, image: str) -> int:
        """The image's size in bytes, its layers unpacked. Raises BadInput when it is not there."""
        done = transport.run([*_PODMAN, "image", "inspect", "--format", "{{.Size}}", image])
        if done.status and b"image not known" in done.stderr:
            raise BadInput(f"there is no image {image} on {transport.address}")
        return int(_checked(done, transport, f"inspect the image {image}"))

    def _inspect(self, transport: Transport, service: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """``podman inspect`` of a container and of its image."""
        done = transport.run(["sh", "-s", "--", service], stdin=_INSPECT.encode())
        if done.status and b"no such container" in done.stderr:
            raise _missing(transport, service)
        container, _, image = _checked(done, transport, f"inspect {service}").partition(b"\x1e")
        try:
            return json.loads(container)[0], json.loads(image)[0]
        except (ValueError, IndexError) as error:
            raise CommandFailed(f"podman on {transport.address} answered what is no JSON: {error}") from error


def _missing(transport: Transport, service: str) -> BadInput:
    return BadInput(
        f"there is no service {service} on {transport.address}", "`umsui services` lists them", code="no-service"
    )


def _checked(done: Completed, transport: Transport, what: str) -> bytes:
    """The output of a command that went well. Raises CommandFailed with podman's own words and what mends it."""
    if done.status == 0:
        return done.stdout
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    said = lines[-1].removeprefix("Error: ") if lines else f"status {done.status}"
    if done.status == 127:
        raise CommandFailed(f"there is no podman on {transport.address}", "install podman there", code="no-podman")
    code, fix = next(((code, fix) for words, code, fix in _WORDS if words in said), ("", ""))
    raise CommandFailed(f"podman on {transport.address} could not {what}: {said}", fix, code=code)
