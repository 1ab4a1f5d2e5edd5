"""The nested container: who it runs as, what it may do, what it is made of; and the outer one's first process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from umsui.agent import nested, sync
from umsui.agent.host import Trouble

PASSWD = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/srv:/bin/false\n"
GROUP = "root:x:0:\nwww:x:33:\nlogs:x:44:www,other\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    monkeypatch.setattr(nested, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", (0, 0, [], "/root")),
        ("www", (33, 33, [44], "/srv")),
        ("33", (33, 33, [44], "/srv")),
        ("www:logs", (33, 44, [], "/srv")),
        ("1000:1001", (1000, 1001, [], "/")),
        ("1000", (1000, 0, [], "/")),
    ],
)
def test_whom_it_runs_as(root: Path, user: str, expected: object) -> None:
    assert nested.identity(user, root) == expected


@pytest.mark.parametrize("user", ["nobody", "www:nogroup"])
def test_a_user_that_the_image_does_not_have(root: Path, user: str) -> None:
    with pytest.raises(Trouble, match="in the image"):
        nested.identity(user, root)


def test_names_of_capabilities() -> None:
    assert nested.named_capabilities(["cap_net_raw", "CHOWN"]) == {"NET_RAW", "CHOWN"}
    assert "SYS_ADMIN" in nested.named_capabilities(["all"])
    assert nested.NUMBERS["CHECKPOINT_RESTORE"] == 40


def test_what_it_is_made_of(root: Path) -> None:
    wanted = {
        "user": "www",
        "workdir": "/srv",
        "mounts": [
            {"kind": "volume", "destination": "/data", "read_only": True, "options": []},
            {"kind": "tmpfs", "destination": "/scratch", "read_only": False, "options": ["size=1m"]},
        ],
        "cap_drop": ["ALL"],
    }
    variables = {"A": "b", "HOME": "/root", nested.VARIABLE: json.dumps(wanted)}
    found = nested.specification(["/srv/run", "-x"], variables, wanted)
    process = found["process"]
    assert process["args"] == ["/srv/run", "-x"]
    assert process["user"] == {"uid": 33, "gid": 33, "additionalGids": [44]}
    assert sorted(process["env"]) == ["A=b", "HOME=/srv"]
    assert process["capabilities"]["bounding"] == []
    mounts = {mount["destination"]: mount for mount in found["mounts"]}
    assert mounts["/data"]["source"] == "/umsui/mounts/data"
    assert "ro" in mounts["/data"]["options"]
    assert "size=1m" in mounts["/scratch"]["options"]
    kinds = {each["type"] for each in found["linux"]["namespaces"]}
    assert kinds == {"pid", "mount", "ipc"}  # network, host name and cgroups are the outer container's


def test_only_what_has_changed_since_the_baseline_goes_along(tmp_path: Path) -> None:
    tree, baseline = tmp_path / "tree", tmp_path / "baseline"
    (tree / "deep").mkdir(parents=True)
    for name in ("same", "changed", "gone", "deep/same"):
        (tree / name).write_text(name)
    time.sleep(0.03)  # what is written while it is scanned counts as changed
    sync.write_baseline(str(tree), baseline)
    time.sleep(0.03)
    (tree / "changed").write_text("differs")
    (tree / "gone").unlink()
    (tree / "deep/.new").write_text("new")
    found = sync.Root("/", str(tree), "/there", baseline=str(baseline)).observe()
    assert {path for path in found if not (tree / path).is_dir()} == {"changed", "gone", "deep/.new"}


def test_the_same_files_have_the_same_digest_wherever_they_were_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(tree: Path) -> str:
        monkeypatch.setattr(nested, "BASELINE", tree.with_suffix(".baseline"))
        sync.write_baseline(str(tree), nested.BASELINE)
        return nested.baseline()["digest"]

    first, second = tmp_path / "first", tmp_path / "second"
    (first / "deep").mkdir(parents=True)
    (first / "deep/file").write_text("same")
    (first / "link").symlink_to("deep/file")
    subprocess.run(["cp", "-a", str(first), str(second)], check=True)
    os.utime(second / "deep", (1, 1))  # an engine makes folders when it likes
    assert digest(first) == digest(second)
    (second / "deep/file").chmod(0o600)
    assert digest(first) != digest(second)


FIRST = """
import os, sys
from pathlib import Path
from umsui.agent import nested, outer
here = Path(sys.argv[1])
nested.PID, nested.LEAVING, nested.PASSIVE = here / "pid", here / "leaving", here / "passive"
pid = os.fork()
if pid == 0:
    os.execvp("sh", ["sh", "-c", sys.argv[2]])
nested.PID.write_text(str(pid))
sys.exit(outer.watch())
"""


def first(folder: Path, script: str) -> subprocess.Popen[bytes]:
    """The outer container's first process, with a shell for a service."""
    return subprocess.Popen([sys.executable, "-c", FIRST, str(folder), script], stdout=subprocess.PIPE)


def test_it_ends_as_the_service_does(tmp_path: Path) -> None:
    assert first(tmp_path, "exit 7").wait(20) == 7
    assert first(tmp_path, "kill -KILL $$").wait(20) == 128 + signal.SIGKILL


def test_signals_are_handed_on(tmp_path: Path) -> None:
    process = first(tmp_path, "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 3


def test_a_source_that_leaves_stays_until_its_orchestrator_removes_it(tmp_path: Path) -> None:
    (tmp_path / "leaving").touch()
    process = first(tmp_path, "echo over")
    assert process.stdout is not None
    assert process.stdout.readline() == b"over\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.0)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) in (128 + signal.SIGTERM, -signal.SIGTERM)
