"""A Specification as ``podman create``: its words, and a script that keeps secrets out of them."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from umsui.model import Mount, Port, Specification

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_END = "-- end of environment --"  # holds no "=", so no line of the environment can be it


def words(spec: Specification, particulars: Sequence[str] = ()) -> list[str]:
    """The flags of ``podman create``, without the environment, and without image and command, which come after.

    ``particulars`` are further flags; where one names the same setting as the specification, it wins.
    """
    chosen = {flag.partition("=")[0] for flag in particulars}
    return [*_identity(spec, chosen), *_limits(spec, chosen), *_security(spec), *_health(spec.health), *particulars]


def _identity(spec: Specification, chosen: set[str]) -> Iterator[str]:
    yield f"--name={spec.name}"
    if spec.entrypoint:
        yield "--entrypoint=" + ("" if spec.entrypoint == ("",) else json.dumps(list(spec.entrypoint)))
    yield from (f"--label={name}={value}" for name, value in spec.labels.items())
    yield from (f"--annotation={name}={value}" for name, value in spec.annotations.items())
    yield from (f"--publish={_port(port)}" for port in spec.ports)
    yield from (_mount(mount) for mount in spec.mounts)
    if spec.network and "--network" not in chosen:
        yield from (f"--network={name}" for name in spec.network.split(","))
    if spec.cgroupns and "--cgroupns" not in chosen:
        yield f"--cgroupns={spec.cgroupns}"
    for flag, value in (
        ("--hostname", spec.hostname),
        ("--user", spec.user),
        ("--workdir", spec.workdir),
        ("--restart", spec.restart),
        ("--stop-signal", spec.stop_signal),
    ):
        if value:
            yield f"{flag}={value}"
    yield f"--stop-timeout={spec.stop_timeout}"
    for flag, wanted in (("--read-only", spec.read_only), ("--init", spec.init), ("--tty", spec.tty)):
        if wanted:
            yield flag


def _limits(spec: Specification, chosen: set[str]) -> Iterator[str]:
    if spec.memory_limit:
        yield f"--memory={spec.memory_limit}b"
    if spec.cpu_limit and "--cpu-quota" not in chosen:
        yield f"--cpus={spec.cpu_limit:.9g}"
    if spec.pids_limit:
        yield f"--pids-limit={spec.pids_limit}"
    if spec.shm_size:
        yield f"--shm-size={spec.shm_size}b"
    yield from (f"--ulimit={name}={soft}:{hard}" for name, (soft, hard) in spec.ulimits.items())


def _security(spec: Specification) -> Iterator[str]:
    if spec.privileged:
        yield "--privileged"
    yield from (f"--cap-add={name}" for name in spec.cap_add)
    yield from (f"--cap-drop={name}" for name in spec.cap_drop)
    yield from (f"--security-opt={option}" for option in spec.security_options)


def _port(port: Port) -> str:
    address = f"[{port.address}]" if ":" in port.address else port.address
    return f"{address + ':' if address else ''}{port.host}:{port.container}/{port.protocol}"


def _mount(mount: Mount) -> str:
    options = [option for option in mount.options if option not in ("ro", "rw")]
    options.insert(0, "ro" if mount.read_only else "rw")
    if mount.kind == "tmpfs":
        return f"--tmpfs={mount.destination}:{','.join(options)}"
    if ":" not in mount.source + mount.destination:
        return f"--volume={mount.source}:{mount.destination}:{','.join(options)}"
    # --mount can name any path, but has words of its own for some options.
    fields = [f"type={mount.kind}", f"src={mount.source}", f"dst={mount.destination}"]
    for option in options:
        if option.removeprefix("r") in ("private", "shared", "slave", "unbindable"):
            fields.append(f"bind-propagation={option}")
        elif option == "bind":
            fields.append("bind-nonrecursive")
        elif option != "rbind":
            fields.append(option)
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return f"--mount={line.getvalue()}"


def _health(health: Mapping[str, Any]) -> Iterator[str]:
    test = [str(word) for word in health.get("test", ())]
    if not test:
        return
    if test[0] == "NONE":
        yield "--no-healthcheck"
        return
    yield f"--health-cmd={_health_command(test)}"
    for key in ("interval", "timeout", "start_period"):
        nanoseconds = round(float(health.get(key, 0)) * 1e9)
        # podman refuses a timeout of zero, and an interval of zero has a name.
        if nanoseconds or key == "start_period":
            yield f"--health-{key.replace('_', '-')}={nanoseconds}ns"
        elif key == "interval":
            yield "--health-interval=disable"
    if health.get("retries"):
        yield f"--health-retries={health['retries']}"


def _health_command(test: list[str]) -> str:
    # podman reads a JSON array of several words as CMD, but one word alone as CMD-SHELL.
    if test[0] == "CMD":
        return f"CMD {test[1]}" if len(test) == 2 else json.dumps(test[1:])
    return json.dumps(test)


def _fits_a_line(name: str, value: str) -> bool:
    # podman reads lines of up to 64 KiB, skips comments, strips names, and takes NAME* as a pattern.
    odd = name != name.strip() or name.startswith("#") or "*" in name
    return not odd and len(name) + len(value.encode()) < 60_000 and not {"\n", "\r"} & {*name, *value}


def script(spec: Specification, particulars: Sequence[str] = ()) -> bytes:
    """A shell script for standard input that creates the container and prints its id.

    The environment goes through a file that is never on disk, not through the words of a command, which every user
    of the host can read. What such a file cannot hold goes through podman's own environment.
    """
    lines, exports, flags = [], [], words(spec, particulars)
    for name, value in spec.environment.items():
        if _fits_a_line(name, value):
            lines.append(f"{name}={value}")
        elif _IDENTIFIER.fullmatch(name):
            exports.append(f"export {name}={shlex.quote(value)}")
            flags.append(f"--env={name}")
        else:
            flags.append(f"--env={name}={value}")
    if lines:
        flags.append("--env-file=/proc/self/fd/3")
    head = [
        "export PODMAN_IGNORE_CGROUPSV1_WARNING=1",
        f"image={shlex.quote(spec.image)}",
        f"id={shlex.quote(spec.image_id)}",
        # The same name may mean another image here; then only the id is right.
        '[ -z "$id" ] || [ "$(podman image inspect --format "{{.Id}}" "$image" 2>/dev/null)" = "$id" ] || image=$id',
        *exports,
    ]
    call = f'exec podman create --pull=never {shlex.join(flags)} "$image" {shlex.join(spec.command)}'
    if lines:
        call += f" 3<<'{_END}'\n" + "\n".join(lines) + f"\n{_END}"
    return ("\n".join(head) + "\n" + call + "\n").encode()
