"""Podman hosts, through the podman CLI and its JSON."""

from __future__ import annotations

from collections.abc import Sequence

from backends.orchestrators import podman_create, podman_survey, survey
from backends.orchestrators.compare import Difference
from backends.orchestrators.engine_cli import EngineCli
from backends.orchestrators.inspected import Raw
from backends.orchestrators.podman_compare import compare
from backends.orchestrators.podman_inspect import specification
from backends.orchestrators.podman_particulars import particulars, unsupported
from umsui.adapters import Transport
from umsui.model import Node, Service, Specification

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
    ("address already in use", "port-taken", "stop what listens at that port there, or choose another port"),
    ("already in use", "name-taken", "remove or rename the container of that name there"),
    ("image not known", "no-image", "the image must be there first"),
    ("catatonit", "no-init", "install catatonit there: containers with --init need it"),
    ("not enough unused IDs", "no-subids", "give the user more subordinate ids in /etc/subuid and /etc/subgid"),
    ("no space left", "no-space", "free some space there"),
    ("statfs", "no-folder", "a bind mount's folder must exist there"),
)


class Podman(EngineCli):
    """The podman of a node. Holds no state: one serves for all nodes."""

    name = "podman"
    words = _WORDS

    def survey(self, transport: Transport, cluster: str, node: Node) -> tuple[Node, tuple[Service, ...]]:
        """The node with its facts filled in, and its services: one remote command.

        Versions are asked for only while ``node.software`` has none: clear it to have them read again.
        Raises CommandFailed (code "no-podman" when there is none), Unreachable.
        """
        what = "facts" if "podman" in node.software else "versions"
        done = transport.run(["sh", "-s", "--", what], stdin=podman_survey.SCRIPT)
        found = survey.parse(done.stdout, done.stderr, transport.address, "podman")
        return survey.node_of(found, node), podman_survey.services_of(found, cluster, node.name)

    def specification(self, transport: Transport, service: str) -> Specification:
        """What the service is made of. Raises BadInput when there is none of that name."""
        return specification(*self._inspect(transport, service))

    def particulars(self, transport: Transport, service: str) -> tuple[str, ...]:
        """Flags for ``create`` with all that only podman knows, so that podman to podman loses nothing."""
        return particulars(*self._inspect(transport, service))

    def unsupported(self, raw: Raw) -> tuple[str, ...]:
        """What of a service (its ``raw``) cannot be recreated elsewhere, in words."""
        return unsupported(raw)

    def differences(self, source: Raw, destination: Raw) -> list[Difference]:
        """Settings that are not equal between two ``raw``, but for those that must differ between two hosts."""
        return compare(source, destination)

    def create(self, transport: Transport, spec: Specification, particulars: Sequence[str] = ()) -> str:
        """Create the service, not started; returns its id. The image must be there. Raises CommandFailed."""
        done = transport.run(["sh", "-s"], stdin=podman_create.script(spec, particulars), timeout=60)
        return self._checked(done, transport, f"create {spec.name}").decode().strip().splitlines()[-1]

    def remove(self, transport: Transport, service: str, *, volumes: Sequence[str] = ()) -> None:
        """Kill and remove it, paused or not, and these of its named volumes. What is not there is no error.

        Raises CommandFailed, also when a volume is still in use.
        """
        done = transport.run(["sh", "-s", "--", service, *volumes], stdin=_REMOVE.encode(), timeout=60)
        self._checked(done, transport, f"remove {service}")
