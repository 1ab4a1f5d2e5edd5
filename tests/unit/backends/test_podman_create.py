"""A specification as the words of ``podman create``, and back."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backends.orchestrators.podman_create import script, words
from umsui.model import Mount, Port, Specification

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12)
NAME = st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True)
PATH = st.from_regex(r"/[a-zA-Z0-9 :,\"'$._-]{1,12}", fullmatch=True)
PORTS = st.builds(
    Port,
    st.integers(1, 65535),
    st.integers(1, 65535),
    st.sampled_from(["tcp", "udp", "sctp"]),
    st.sampled_from(["", "127.0.0.1", "::1"]),
)
MOUNTS = st.one_of(
    st.builds(Mount, st.just("volume"), NAME, PATH, st.booleans(), st.just(("nosuid", "nodev", "rbind", "rprivate"))),
    st.builds(Mount, st.just("bind"), PATH, PATH, st.booleans(), st.just(("rbind", "rslave"))),
)
HEALTH = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "test": st.one_of(
                TEXT.map(lambda text: ["CMD-SHELL", text or "x"]),
                st.lists(TEXT, min_size=2, max_size=3).map(lambda text: ["CMD", *text]),
            ),
            "interval": st.sampled_from([0.0, 0.5, 30.0]),
            "timeout": st.sampled_from([1.0, 2.5]),
            "start_period": st.sampled_from([0.0, 9.0]),
            "retries": st.integers(1, 9),
        }
    ),
)
SPECIFICATIONS = st.builds(
    Specification,
    name=NAME,
    image=st.just("img"),
    entrypoint=st.one_of(st.just(()), st.just(("",)), st.lists(TEXT, min_size=2, max_size=3).map(tuple)),
    command=st.lists(TEXT, max_size=3).map(tuple),
    labels=st.dictionaries(NAME, TEXT, max_size=3),
    annotations=st.dictionaries(NAME, TEXT, max_size=3),
    ports=st.lists(PORTS, max_size=3).map(tuple),
    mounts=st.lists(MOUNTS, max_size=3).map(tuple),
    network=st.sampled_from(["", "host", "none", "bridge", "one,two"]),
    hostname=st.sampled_from(["", "h"]),
    user=st.sampled_from(["", "1000:1000"]),
    workdir=st.one_of(st.just(""), PATH),
    restart=st.sampled_from(["no", "always", "on-failure:3", "unless-stopped"]),
    stop_signal=st.sampled_from(["", "SIGINT"]),
    stop_timeout=st.integers(0, 99),
    cap_add=st.sampled_from([(), ("CAP_SYS_TIME",)]),
    cap_drop=st.sampled_from([(), ("CAP_CHOWN", "CAP_KILL")]),
    security_options=st.sampled_from([(), ("no-new-privileges", "seccomp=/a b"), ("mask=/a:/b",)]),
    privileged=st.booleans(),
    read_only=st.booleans(),
    init=st.booleans(),
    tty=st.booleans(),
    memory_limit=st.integers(0, 1 << 40),
    cpu_limit=st.sampled_from([0.0, 0.5, 1.5, 64.0]),
    pids_limit=st.integers(-1, 5000),
    shm_size=st.integers(0, 1 << 30),
    ulimits=st.dictionaries(
        st.sampled_from(["nofile", "core"]), st.tuples(st.integers(-1, 9), st.integers(-1, 9)), max_size=2
    ),
    health=HEALTH,
)


def flags_of(argv: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in argv:
        assert word.startswith("--"), "each setting is one word, so that no value is taken for a flag"
        name, _, value = word.partition("=")
        found.setdefault(name, []).append(value)
    return found


def pairs(values: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (each.partition("=") for each in values)}


def read_port(text: str) -> Port:
    rest, _, protocol = text.rpartition("/")
    rest, _, inside = rest.rpartition(":")
    address, _, host = rest.rpartition(":")
    return Port(int(host), int(inside), protocol, address.strip("[]"))


def read_volume(text: str) -> Mount:
    source, destination, options = text.split(":")
    access, *rest = options.split(",")
    kind = "bind" if source.startswith("/") else "volume"
    return Mount(kind, source, destination, access == "ro", tuple(rest))


def read_mount(text: str) -> Mount:
    fields = next(csv.reader([text]))
    known = pairs([each for each in fields if "=" in each])
    rest = [each for each in fields if "=" not in each]
    propagation = known["bind-propagation"]
    return Mount(known["type"], known["src"], known["dst"], "ro" in rest, (*rest[1:], "rbind", propagation))


def read_health(flags: dict[str, list[str]]) -> dict[str, Any]:
    if "--health-cmd" not in flags:
        return {}
    command = json.loads(flags["--health-cmd"][0])
    interval = flags["--health-interval"][0]
    return {
        "test": command if command[0] == "CMD-SHELL" and len(command) == 2 else ["CMD", *command],
        "interval": 0.0 if interval == "disable" else int(interval.removesuffix("ns")) / 1e9,
        "timeout": int(flags["--health-timeout"][0].removesuffix("ns")) / 1e9,
        "start_period": int(flags["--health-start-period"][0].removesuffix("ns")) / 1e9,
        "retries": int(flags["--health-retries"][0]),
    }


def read(argv: list[str], image: str, command: tuple[str, ...]) -> Specification:
    """What podman makes of these words, as far as this test is concerned."""
    flags = flags_of(argv)

    def one(name: str, unset: str = "") -> str:
        return flags.get(name, [unset])[0]

    entrypoint = one("--entrypoint", "[]")
    mounts = [read_volume(each) for each in flags.get("--volume", [])]
    mounts += [read_mount(each) for each in flags.get("--mount", [])]
    limits = {name: text.split(":") for name, text in pairs(flags.get("--ulimit", [])).items()}
    return Specification(
        name=one("--name"),
        image=image,
        entrypoint=tuple(json.loads(entrypoint)) if entrypoint else ("",),
        command=command,
        labels=pairs(flags.get("--label", [])),
        annotations=pairs(flags.get("--annotation", [])),
        ports=tuple(read_port(each) for each in flags.get("--publish", [])),
        mounts=tuple(mounts),
        network=",".join(flags.get("--network", [])),
        hostname=one("--hostname"),
        user=one("--user"),
        workdir=one("--workdir"),
        restart=one("--restart"),
        stop_signal=one("--stop-signal"),
        stop_timeout=int(one("--stop-timeout")),
        cap_add=tuple(flags.get("--cap-add", [])),
        cap_drop=tuple(flags.get("--cap-drop", [])),
        security_options=tuple(flags.get("--security-opt", [])),
        privileged="--privileged" in flags,
        read_only="--read-only" in flags,
        init="--init" in flags,
        tty="--tty" in flags,
        memory_limit=int(one("--memory", "0").removesuffix("b")),
        cpu_limit=float(one("--cpus", "0")),
        pids_limit=int(one("--pids-limit", "0")),
        shm_size=int(one("--shm-size", "0").removesuffix("b")),
        ulimits={name: (int(soft), int(hard)) for name, (soft, hard) in limits.items()},
        health=read_health(flags),
    )


@given(SPECIFICATIONS)
def test_words_say_all_of_a_specification(spec: Specification) -> None:
    found = read(words(spec), spec.image, spec.command)
    by_place = lambda mount: (mount.destination, mount.source, mount.read_only, mount.options)  # noqa: E731
    assert sorted(found.mounts, key=by_place) == sorted(spec.mounts, key=by_place)
    assert found == Specification(**{**{f: getattr(spec, f) for f in spec.__slots__}, "mounts": found.mounts})


FAKE = r"""#!/bin/sh
# A podman that tells what it was called with.
case $1 in
  image) echo "$FAKE_ID";;
  create) for word; do printf '%s\0' "$word"; done >"$FAKE_OUT/words"; env -0 >"$FAKE_OUT/env"
    for word; do case $word in --env-file=*) cat "${word#*=}" >"$FAKE_OUT/file";; esac; done; echo made;;
esac
"""


def played(folder: Path, spec: Specification, here: str = "") -> tuple[list[str], dict[str, str], str]:
    """Run the script with a fake podman: its words, its environment, the lines of the environment's file."""
    (folder / "podman").write_text(FAKE)
    (folder / "podman").chmod(0o755)
    (folder / "file").unlink(missing_ok=True)
    path = {"PATH": f"{folder}:/usr/bin:/bin", "FAKE_OUT": str(folder), "FAKE_ID": here}
    done = subprocess.run(["sh", "-s"], input=script(spec), capture_output=True, check=True, env=path)
    assert done.stdout == b"made\n"
    argv = (folder / "words").read_bytes().decode().split("\0")[:-1]
    environment = pairs((folder / "env").read_bytes().decode().split("\0")[:-1])
    file = folder / "file"
    return argv, environment, file.read_bytes().decode() if file.exists() else ""


@settings(max_examples=25, deadline=None)
@given(SPECIFICATIONS, st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9]{3,6}", fullmatch=True), TEXT, max_size=4))
def test_the_shell_changes_nothing(tmp_path_factory: Any, spec: Specification, environment: dict[str, str]) -> None:
    spec = Specification(**{**{f: getattr(spec, f) for f in spec.__slots__}, "environment": environment})
    argv, exported, file = played(tmp_path_factory.mktemp("p"), spec)
    image = argv.index("img", 2 + len(words(spec)))
    assert argv[:2] == ["create", "--pull=never"]
    assert argv[2 : 2 + len(words(spec))] == words(spec)
    assert tuple(argv[image + 1 :]) == spec.command
    got = pairs(file.split("\n")[:-1])
    got |= {name: exported[name] for name in environment if f"--env={name}" in argv[:image]}
    assert got == environment


def test_no_secret_in_the_words(tmp_path: Path) -> None:
    environment = {"TOKEN": "hunter2", "KEY": "-----BEGIN\nhunter2\n-----END", "odd.name": "hunter2"}
    argv, _, _ = played(tmp_path, Specification("n", "img", environment=environment))
    assert "hunter2" not in " ".join(argv)
    assert "--env=KEY" in argv


def test_the_same_name_may_be_another_image(tmp_path: Path) -> None:
    spec = Specification("n", "img", "sha")
    assert played(tmp_path, spec, here="sha")[0][-1] == "img"
    assert played(tmp_path, spec, here="other")[0][-1] == "sha"


def test_particulars_win() -> None:
    spec = Specification("n", "img", network="one", cpu_limit=0.5)
    argv = words(spec, ("--network=one:ip=10.0.0.9", "--cpu-quota=5", "--cpu-period=10"))
    assert "--network=one" not in argv
    assert not any(word.startswith("--cpus") for word in argv)
