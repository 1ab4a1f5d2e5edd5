"""Starting a service so that it can be migrated later: as it is, or nested in an outer container."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from umsui.adapters import Transport
from umsui.agent import nested
from umsui.agent.inside import INIT
from umsui.core.within import Within
from umsui.errors import BadInput, CommandFailed
from umsui.images.nested import LABEL, settings_of
from umsui.interface.outer_ends import RUN, UNCONFINED
from umsui.interface.protocol import End
from umsui.model import Approach, Deployment, Mount, Specification

APPROACH_LABEL = "umsui.io/approach"
LONG = 600.0  # seconds that pulling, loading or packing an image may take
STARTED = 20.0  # seconds until a nested service's first process is there
INSIDE = "/umsui/inside"
INSIDE_CAPABILITIES = ("CHECKPOINT_RESTORE", "SETPCAP", "SYS_PTRACE")  # what CRIU needs in a service's own container

CAPABILITIES = ("SYS_ADMIN", "SYS_CHROOT", "SETPCAP", "MKNOD", "SETGID", "NET_ADMIN", "SYS_TIME")
"""What an outer container needs beyond what its service may have; docs/approaches.md tells what for."""

FOR_OTHER_USERS = ("SYS_PTRACE", "SYS_RESOURCE")
"""And for processes that do not run as root: to trace them, and to know their limits."""

# $1 engine, $2 the service's image, $3 the outer image, $4 the name of the result, $5 a name for what is temporary,
# then words for commit. Devices are the runtime's to make.
_NEST = r"""
set -eu
engine=$1 service=$2 outer=$3 result=$4 taken=$5-taken into=$5-into
shift 5
clear() { "$engine" rm -f "$taken" "$into" >/dev/null 2>&1 || :; }
trap clear EXIT
clear
"$engine" create --name "$taken" --network none --entrypoint /none "$service" none >/dev/null
"$engine" run -d --name "$into" --network none --entrypoint /usr/bin/python3 "$outer" \
    -ISc 'import signal; signal.pause()' >/dev/null
"$engine" export "$taken" | "$engine" exec -i "$into" tar -xp --numeric-owner --xattrs '--xattrs-include=*' \
    --exclude='dev/*' --exclude=.dockerenv -C /umsui/rootfs
"$engine" commit "$@" "$into" "$result" >/dev/null
"""


def deploy(end: End, deployment: Deployment) -> str:
    """Start the service at ``end``; its container's id. Raises BadInput, CommandFailed, Unreachable."""
    spec = deployment.specification
    image = _image(end, spec.image)
    labels = {**spec.labels, APPROACH_LABEL: deployment.approach.value}
    spec = replace(spec, labels=labels, image_id=_id(image))
    if deployment.approach is Approach.CONTAINER:
        created = end.orchestrator.create(end.transport, _nested(end, spec, image, deployment))
    elif deployment.approach is Approach.SERVICE:
        created = end.orchestrator.create(end.transport, inside_specification(spec, image))
    else:
        created = end.orchestrator.create(end.transport, spec)
    try:
        end.orchestrator.start(end.transport, spec.name)
        if deployment.approach is Approach.CONTAINER:
            wait_for_nested(end, spec.name, Within(end.transport, end.orchestrator.name, spec.name))
    except CommandFailed:
        end.orchestrator.remove(end.transport, spec.name)
        raise
    return created


def _nested(end: End, spec: Specification, image: Mapping[str, Any], deployment: Deployment) -> Specification:
    """Its outer container, of the nested image that it names, or of one that is made here."""
    told = settings_of(image.get("Config") or {})
    if told is not None:
        return outer_specification(spec, {"Config": told}, _bounding(end))
    made = _nest(end, image, _outer(end, deployment), spec.image)
    return replace(outer_specification(spec, image, _bounding(end)), image=_reference(spec.image), image_id=made)


def wait_for_nested(end: End, name: str, way: Transport) -> None:
    """Until the nested service has been started; ``way`` leads into its outer container.

    Raises CommandFailed with what that says.
    """
    until = time.monotonic() + STARTED
    started = ["/bin/sh", "-c", f"[ -s {nested.PID} ]"]
    while way.run(started).status:
        running = end.orchestrator.raw(end.transport, name)["State"]["Status"] == "running"
        if not running or time.monotonic() > until:
            said = " | ".join(end.orchestrator.logs(end.transport, name, 5))
            raise CommandFailed(f"the nested service does not start: {said or 'it says nothing'}", code="not-started")
        time.sleep(0.05)


def inside_specification(spec: Specification, image: Mapping[str, Any]) -> Specification:
    """A service whose image has umsui inside, with what CRIU needs in there. Raises BadInput when it has none."""
    if ((image.get("Config") or {}).get("Entrypoint") or [""])[0] != INIT:
        fix = f"`umsui image build --approach service {spec.image}`, and name what it makes in the file"
        raise BadInput(f"the image {spec.image} has no umsui agent", fix, code="no-agent-inside")
    added = {name.removeprefix("CAP_") for name in spec.cap_add} | set(INSIDE_CAPABILITIES)
    kept = [option for option in spec.security_options if not option.startswith("seccomp")]
    return replace(spec, cap_add=tuple(sorted(added)), security_options=(*kept, "seccomp=unconfined"))


def outer_specification(spec: Specification, image: Mapping[str, Any], bounding: int = -1) -> Specification:
    """The outer container that stands for ``spec`` towards the orchestrator, but for its image.

    ``image`` is the service's own (inspected); ``bounding`` are the capabilities that anything there can have at most
    (a mask; -1: all).
    """
    config = image.get("Config") or {}
    command = [*(spec.entrypoint or config.get("Entrypoint") or ())]
    command += spec.command or (() if spec.entrypoint else config.get("Cmd") or ())
    if not command:
        raise BadInput(f"the image {spec.image} says no command", "give `command` in the file", code="no-command")
    variables = dict(pair.partition("=")[::2] for pair in config.get("Env") or ())
    wanted = {
        "user": spec.user or config.get("User") or "",
        "workdir": spec.workdir or config.get("WorkingDir") or "/",
        "read_only": spec.read_only,
        "cap_add": list(spec.cap_add),
        "cap_drop": list(spec.cap_drop),
        "mounts": [
            {"kind": m.kind, "destination": m.destination, "read_only": m.read_only, "options": list(m.options)}
            for m in spec.mounts
        ],
        "shm_size": spec.shm_size or 64 << 20,
        "memory": spec.memory_limit,
    }
    return replace(
        spec,
        entrypoint=(),
        command=tuple(command),
        environment={**variables, **spec.environment, nested.VARIABLE: json.dumps(wanted, sort_keys=True)},
        mounts=tuple(_outer_mounts(spec)),
        cgroupns="private",  # so that it may write into its own cgroups, and sees no others
        hostname=spec.hostname or spec.name,
        user="",
        workdir="",
        stop_signal=spec.stop_signal or config.get("StopSignal") or "",
        cap_drop=() if spec.privileged else ("ALL",),
        cap_add=() if spec.privileged else tuple(_capabilities(spec, bounding)),
        security_options=() if spec.privileged else UNCONFINED,
        read_only=False,
        health=_health(spec.health or _image_health(image)),
    )


def _capabilities(spec: Specification, bounding: int) -> list[str]:
    usual = {name for name in FOR_OTHER_USERS if bounding & (1 << nested.NUMBERS[name])} | set(nested.CAPABILITIES)
    usual -= nested.named_capabilities(spec.cap_drop)
    return sorted(usual | nested.named_capabilities(spec.cap_add) | set(CAPABILITIES))


def _bounding(end: End) -> int:
    """The capabilities that containers at ``end`` can have at most."""
    status = _run(end, ["cat", "/proc/self/status"], "read its capabilities")
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)", status, re.MULTILINE)
    return int(found.group(1), 16) if found else -1


def _outer_mounts(spec: Specification) -> list[Mount]:
    """The service's volumes, below one folder; what is in memory is the nested container's own."""
    volumes = [replace(m, destination=f"{nested.MOUNTS}{m.destination}") for m in spec.volumes]
    return [RUN, *volumes]


def _health(health: Mapping[str, Any]) -> dict[str, Any]:
    """The same question, asked inside the nested container."""
    test = list(health.get("test", ()))
    if test[:1] == ["CMD-SHELL"]:
        return {**health, "test": ["CMD", INSIDE, "/bin/sh", "-c", *test[1:]]}
    return {**health, "test": ["CMD", INSIDE, *test[1:]]} if test[:1] == ["CMD"] else dict(health)


def _image_health(image: Mapping[str, Any]) -> dict[str, Any]:
    check = (image.get("Config") or {}).get("Healthcheck") or image.get("HealthCheck") or {}
    if not check.get("Test"):
        return {}
    found = {key.lower(): check.get(key, 0) / 1e9 or usual for key, usual in (("Interval", 30.0), ("Timeout", 30.0))}
    start = check.get("StartPeriod", 0) / 1e9
    return {"test": check["Test"], **found, "start_period": start, "retries": check.get("Retries") or 3}


# -- images ---------------------------------------------------------------------------------------------------------


def _run(end: End, argv: Sequence[str], what: str, stdin: bytes = b"") -> str:
    done = end.transport.run(argv, stdin=stdin, timeout=LONG)
    if done.status:
        said = done.stderr.decode(errors="replace").strip()[-600:]
        raise CommandFailed(f"{end.place.cluster}/{end.place.node} could not {what}: {said}", code="image")
    return done.stdout.decode(errors="replace").strip()


def _inspect(end: End, image: str) -> dict[str, Any] | None:
    done = end.transport.run([end.orchestrator.name, "image", "inspect", image], timeout=30)
    found: dict[str, Any] | None = json.loads(done.stdout)[0] if done.status == 0 else None
    return found


def _id(image: Mapping[str, Any]) -> str:
    return str(image["Id"]).removeprefix("sha256:")


def _image(end: End, reference: str) -> dict[str, Any]:
    """The image, pulled by the orchestrator where it is not there yet."""
    found = _inspect(end, reference)
    if found is None:
        engine = end.orchestrator.name
        try:
            _run(end, [engine, "pull", "-q", reference], f"get the image {reference}")
        except CommandFailed as error:
            raise CommandFailed(
                error.message, f"bring it there: `{engine} pull` or `{engine} load`", code="no-image"
            ) from error
        found = _inspect(end, reference)
    if found is None:
        raise CommandFailed(f"the image {reference} is not there after it was pulled", code="no-image")
    return found


def _outer(end: End, deployment: Deployment) -> str:
    """The id of the outer image at ``end``; loaded from its archive where that is not there yet."""
    archive = Path(deployment.archive)
    reference = f"localhost/umsui/outer:{archive.stem.rpartition('-')[2]}"  # as umsui.images.outer names them
    found = _inspect(end, reference)
    if found is None:
        _run(end, [end.orchestrator.name, "load", "-q"], "load the outer image", archive.read_bytes())
        found = _inspect(end, reference)
    if found is None:
        raise CommandFailed("the outer image is not there after it was loaded", code="no-image")
    return _id(found)


def _reference(image: str) -> str:
    """What the image of a nested service is called: the service's own name, and its tag."""
    name, _, tag = image.rpartition(":")
    if "/" in tag or not name:
        name, tag = image, "latest"
    return f"localhost/umsui/nested/{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}:{tag[-128:]}"


def _nest(end: End, image: Mapping[str, Any], outer: str, name: str) -> str:
    """The id of the image with the service's files in the outer image; made where it is not there yet."""
    reference, made_of = _reference(name), f"{_id(image)}.{outer}"
    found = _inspect(end, reference)
    if found is not None and (found.get("Config") or {}).get("Labels", {}).get(LABEL) == made_of:
        return _id(found)
    engine = end.orchestrator.name
    entrypoint = json.dumps(["/usr/bin/python3", "-IS", "/umsui/agent.pyz", "outer"])
    changes = [f"ENTRYPOINT {entrypoint}", "CMD []", f"LABEL {LABEL}={made_of}"]
    words = ["--format=docker"] if engine == "podman" else []  # the format that keeps its id wherever it is loaded
    words += [f"--change={change}" for change in changes]
    argv = ["sh", "-s", "--", engine, _id(image), outer, reference, f"umsui-{_id(image)[:12]}", *words]
    _run(end, argv, f"nest the image {name}", _NEST.encode())
    found = _inspect(end, reference)
    if found is None:
        raise CommandFailed(f"the nested image {reference} is not there after it was made", code="no-image")
    return _id(found)
