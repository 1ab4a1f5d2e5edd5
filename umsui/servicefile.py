"""The file that `umsui deploy` reads: one service, in TOML; what is wrong in it is told with file, line and key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from umsui.config import complaint
from umsui.errors import BadInput
from umsui.model import Approach, Mount, Port, Specification
from umsui.toml import place, read

_UNITS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def size(value: Any) -> int:
    """Bytes: a whole number, or ``"64MiB"``, ``"64M"``, ``"1g"`` (powers of 1024, as podman and docker have them)."""
    found = re.fullmatch(r"(\d+)\s*([bkmgt]?)(?:i?b)?", str(value).strip().lower())
    if isinstance(value, bool) or not found:
        raise ValueError('write it like 67108864, "64MiB" or "1GiB"')
    return int(found[1]) << 10 * _UNITS[found[2]]


def seconds(value: Any) -> float:
    """Seconds: a number, or ``"500ms"``, ``"5s"``, ``"2min"``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h)?", str(value).strip())
    if isinstance(value, bool) or not found:
        raise ValueError('write it like 5, "500ms", "5s" or "2min"')
    return float(found[1]) * _SECONDS[found[2] or "s"]


def port(text: str) -> str:
    """``[ADDRESS:]HOST:CONTAINER[/udp]``."""
    found = re.fullmatch(r"(?:(\[[0-9a-fA-F:]+\]|[0-9.]+):)?(\d+):(\d+)(?:/(tcp|udp))?", text)
    if not found or not all(0 < int(number) < 65536 for number in found.group(2, 3)):
        raise ValueError('write it like "8080:80", "127.0.0.1:8080:80" or "53:53/udp"')
    return text


def volume(text: str) -> str:
    """``NAME:PATH[:ro]``; a host's folder would not move along, so it is none of the choices."""
    name, _, rest = text.partition(":")
    path, _, access = rest.partition(":")
    if name.startswith(("/", ".")):
        raise ValueError("a host's folder does not move along; name a volume: NAME:PATH")
    if (
        not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name)
        or not path.startswith("/")
        or access not in ("", "ro", "rw")
    ):
        raise ValueError('write it like "data:/var/lib/data" or "settings:/etc/app:ro"')
    return text


def path(text: str) -> str:
    """An absolute path in the container."""
    if not text.startswith("/"):
        raise ValueError('an absolute path in the container, like "/run"')
    return text


def restart_policy(text: str) -> str:
    """When the orchestrator starts it again."""
    if not re.fullmatch(r"no|always|unless-stopped|on-failure(:\d+)?", text):
        raise ValueError("one of no, always, unless-stopped, on-failure, on-failure:3")
    return text


def words(value: Any) -> Any:
    """A command as a list; a text is split as a shell would not: it is one word."""
    return [value] if isinstance(value, str) else value


Bytes = Annotated[int, BeforeValidator(size)]
Seconds = Annotated[float, BeforeValidator(seconds)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Health(_Strict):
    """How the orchestrator asks whether it is well: a shell's line, or a list of words."""

    test: str | tuple[str, ...]
    interval: Seconds = 30.0
    timeout: Seconds = 30.0
    start_period: Seconds = 0.0
    retries: Annotated[int, Field(ge=1)] = 3


class ServiceFile(_Strict):
    """One service, as the file describes it."""

    name: Name
    image: Annotated[str, Field(min_length=1)]
    approach: Approach | None = None
    command: Annotated[tuple[str, ...], BeforeValidator(words)] = ()
    entrypoint: Annotated[tuple[str, ...], BeforeValidator(words)] = ()
    environment: dict[str, str] = {}
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    ports: tuple[Annotated[str, AfterValidator(port)], ...] = ()
    volumes: tuple[Annotated[str, AfterValidator(volume)], ...] = ()
    tmpfs: tuple[Annotated[str, AfterValidator(path)], ...] = ()
    network: str = "bridge"
    hostname: str = ""
    user: str = ""
    workdir: str = ""
    restart: Annotated[str, AfterValidator(restart_policy)] = "no"
    stop_signal: str = ""
    stop_timeout: Annotated[int, Field(ge=0)] = 10
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    read_only: bool = False
    memory: Bytes = 0
    cpus: Annotated[float, Field(ge=0)] = 0.0
    pids: Annotated[int, Field(ge=0)] = 0
    shm_size: Bytes = 0
    health: Health | None = None


def load(file: Path) -> tuple[Specification, Approach | None]:
    """The service of a file, and the approach it asks for. Raises BadInput naming file, line and key."""
    text, data = read(file)
    try:
        return _specification(found := ServiceFile(**data)), found.approach
    except ValidationError as error:
        raise _bad(file, text, error) from error


def _specification(file: ServiceFile) -> Specification:
    mounts = [_mount(each) for each in file.volumes] + [Mount("tmpfs", "", each) for each in file.tmpfs]
    return Specification(
        name=file.name,
        image=file.image,
        entrypoint=file.entrypoint,
        command=file.command,
        environment=file.environment,
        labels=file.labels,
        annotations=file.annotations,
        ports=tuple(_port(each) for each in file.ports),
        mounts=tuple(mounts),
        network=file.network,
        hostname=file.hostname,
        user=file.user,
        workdir=file.workdir,
        restart=file.restart,
        stop_signal=file.stop_signal,
        stop_timeout=file.stop_timeout,
        cap_add=file.cap_add,
        cap_drop=file.cap_drop,
        privileged=file.privileged,
        read_only=file.read_only,
        memory_limit=file.memory,
        cpu_limit=file.cpus,
        pids_limit=file.pids,
        shm_size=file.shm_size,
        health=_health(file.health) if file.health else {},
    )


def _port(text: str) -> Port:
    rest, _, protocol = text.partition("/")
    address, host, container = rest.rpartition(":")[0].rpartition(":")[0], *rest.rsplit(":", 2)[-2:]
    return Port(int(host), int(container), protocol or "tcp", address.strip("[]"))


def _mount(text: str) -> Mount:
    name, inside, *access = text.split(":")
    return Mount("volume", name, inside, read_only="ro" in access)


def _health(health: Health) -> dict[str, Any]:
    test = ["CMD-SHELL", health.test] if isinstance(health.test, str) else ["CMD", *health.test]
    return {"test": test, **health.model_dump(exclude={"test"})}


def _bad(file: Path, text: str, error: ValidationError) -> BadInput:
    """The first of pydantic's errors as ours; a key that is not known says more than the one that is missing."""
    errors = error.errors()
    first: Mapping[str, Any] = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    location = tuple(part for part in first["loc"] if not str(part).startswith(("tuple[", "str")) or part in text)
    key = ".".join(str(part) for part in location if isinstance(part, str))
    where, fix = place(file, text, location), "correct it; `umsui deploy --help` has an example"
    if first["type"] == "extra_forbidden":
        table = Health if location[0] == "health" and len(location) > 1 else ServiceFile
        near = difflib.get_close_matches(str(location[-1]), table.model_fields, 1)
        meant = f" (did you mean `{near[0]}`?)" if near else ""
        known = ", ".join(table.model_fields)
        return BadInput(f"{where}: unknown key `{key}`{meant}; allowed here: {known}", fix, code="service-file")
    if first["type"] == "value_error":
        return BadInput(f"{where}: `{key}` = {first['input']!r}: {first['ctx']['error']}", fix, code="service-file")
    return BadInput(f"{where}: `{key}` {complaint(first)}", fix, code="service-file")
