"""Docker hosts.

The board's list and the creation of a container speak the Engine API, through ``docker system dial-stdio``: docker's
own way over SSH, with the client, context and rights that the login has there. JSON goes out as it came in, so docker
to docker loses nothing, and no secret is in a command's words. All else is the CLI, as with podman.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from backends.orchestrators import docker_create, docker_survey, survey
from backends.orchestrators.compare import Difference
from backends.orchestrators.docker_compare import compare
from backends.orchestrators.docker_inspect import specification, unsupported
from backends.orchestrators.engine_cli import EngineCli
from backends.orchestrators.inspected import Raw
from umsui.adapters import Transport
from umsui.errors import CommandFailed
from umsui.model import Node, Service, Specification

# $1 the container, then volumes. A paused process dies only when it is thawed. Its restart policy goes first.
_REMOVE = r"""
name=$1; shift
state=$(docker container inspect --format '{{.State.Paused}} {{.State.Pid}}' "$name" 2>/dev/null)
case $state in true*)
  docker update --restart no "$name"; kill -KILL "${state#true }"; docker unpause "$name"
esac >/dev/null 2>&1
said=$(docker rm --force "$name" 2>&1) || case $said in *"No such container"*|*"already in progress"*) ;;
  *) printf '%s\n' "$said" >&2; exit 1 ;; esac
failed=0
for volume; do
  ! docker volume inspect "$volume" >/dev/null 2>&1 || docker volume rm "$volume" >/dev/null || failed=$?
done
exit $failed
"""

_WORDS = (
    ("network not found", "no-network", "create the network there first: docker network create NAME"),
    ("network ", "no-network", "create the network there first: docker network create NAME"),
    ("port is already allocated", "port-taken", "stop what listens at that port there, or choose another port"),
    ("is already in use by container", "name-taken", "remove or rename the container of that name there"),
    ("No such image", "no-image", "the image must be there first"),
    ("no space left", "no-space", "free some space there"),
    ("bind source path does not exist", "no-folder", "a bind mount's folder must exist there"),
    ("Cannot connect to the Docker daemon", "no-docker", "start it: systemctl start docker"),
)


class Docker(EngineCli):
    """The docker of a node. Holds no state: one serves for all nodes."""

    name = "docker"
    words = _WORDS

    def survey(self, transport: Transport, cluster: str, node: Node) -> tuple[Node, tuple[Service, ...]]:
        """The node with its facts filled in, and its services: one remote command.

        Raises CommandFailed (code "no-docker" when there is none), Unreachable.
        """
        what = "facts" if "docker" in node.software else "versions"
        done = transport.run(["sh", "-s", "--", what], stdin=docker_survey.SCRIPT)
        found = survey.parse(done.stdout, done.stderr, transport.address, "docker")
        return survey.node_of(found, node), docker_survey.services_of(found, cluster, node.name)

    def specification(self, transport: Transport, service: str) -> Specification:
        """What the service is made of. Raises BadInput when there is none of that name."""
        return specification(*self._inspect(transport, service))

    def particulars(self, transport: Transport, service: str) -> tuple[str, ...]:
        """The container's settings as docker has them, as one JSON document for ``create``."""
        return (docker_create.particulars(self.raw(transport, service)),)

    def unsupported(self, raw: Raw) -> tuple[str, ...]:
        """What of a service (its ``raw``) cannot be recreated elsewhere, in words."""
        return unsupported(raw)

    def differences(self, source: Raw, destination: Raw) -> list[Difference]:
        """Settings that are not equal between two ``raw``, but for those that must differ between two hosts."""
        return compare(source, destination)

    def create(self, transport: Transport, spec: Specification, particulars: Sequence[str] = ()) -> str:
        """Create the service, not started; returns its id. The image must be there. Raises CommandFailed."""
        # The same name may mean another image there; then only the id is right.
        named = self._image(transport, spec.image, "{{.Id}}") or ""
        if spec.image_id and named.removeprefix("sha256:") != spec.image_id:
            spec = replace(spec, image=spec.image_id)
        body = docker_create.body(spec, particulars)
        answer = self._post(transport, f"/containers/create?name={quote(spec.name)}", body, f"create {spec.name}")
        return str(answer["Id"])

    def _post(self, transport: Transport, path: str, body: Any, what: str) -> dict[str, Any]:
        """Ask the Engine API. Raises CommandFailed."""
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
        done = transport.run(["docker", "system", "dial-stdio"], stdin=request, timeout=60)
        answer, _, text = self._checked(done, transport, what).partition(b"\r\n\r\n")
        try:
            status = int(answer.split()[1])
            found: dict[str, Any] = json.loads(text)
        except (IndexError, ValueError) as error:
            raise CommandFailed(f"docker on {transport.address} answered what is no JSON: {answer[:80]!r}") from error
        if status >= 300:
            raise self._failed(transport, what, str(found.get("message", status)))
        return found

    def remove(self, transport: Transport, service: str, *, volumes: Sequence[str] = ()) -> None:
        """Kill and remove it, paused or not, and these of its named volumes. What is not there is no error.

        Raises CommandFailed, also when a volume is still in use.
        """
        done = transport.run(["sh", "-s", "--", service, *volumes], stdin=_REMOVE.encode(), timeout=60)
        self._checked(done, transport, f"remove {service}")
