"""known_hosts files, read as strictly as OpenSSH reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from backends.transports.known_hosts import check, entries, fingerprint
from umsui.errors import HostKeyChanged


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("a", "b"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    return [(folder / f"{name}.pub").read_text().split()[1] for name in ("a", "b")]


def written(folder: Path, *lines: str) -> tuple[Path]:
    path = folder / "known_hosts"
    path.write_text("\n".join(lines) + "\n")
    return (path,)


def test_plain_wildcard_and_negated(tmp_path: Path, keys: list[str]) -> None:
    paths = written(
        tmp_path, "# a comment", "", f"*.lab,!bad.lab,10.0.0.? ssh-ed25519 {keys[0]} me@here", "h ssh-rsa !"
    )
    for name in ("one.lab", "ONE.lab", "10.0.0.7"):
        check(name, "ssh-ed25519", keys[0], paths)
    for name in ("bad.lab", "lab", "10.0.0.77", "h"):
        with pytest.raises(HostKeyChanged, match="not known"):
            check(name, "ssh-ed25519", keys[0], paths)


@pytest.mark.parametrize("name", ["h.example", "[h.example]:2222", "[::1]:22022"])
def test_hashed_as_openssh_hashes(tmp_path: Path, keys: list[str], name: str) -> None:
    paths = written(tmp_path, f"{name} ssh-ed25519 {keys[0]}")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", paths[0]], check=True, capture_output=True)
    assert name not in paths[0].read_text()
    check(name, "ssh-ed25519", keys[0], paths)
    assert len(entries(name, paths)) == 1
    with pytest.raises(HostKeyChanged, match="not known"):
        check("other", "ssh-ed25519", keys[0], paths)


def test_a_port_is_another_name(tmp_path: Path, keys: list[str]) -> None:
    paths = written(tmp_path, f"[h]:2222 ssh-ed25519 {keys[0]}")
    check("[h]:2222", "ssh-ed25519", keys[0], paths)
    with pytest.raises(HostKeyChanged) as caught:
        check("h", "ssh-ed25519", keys[0], paths)
    assert f"ssh-keyscan h >> {paths[0]}" in caught.value.fix
    with pytest.raises(HostKeyChanged) as caught:
        check("[h]:2223", "ssh-ed25519", keys[0], paths)
    assert "ssh-keyscan -p 2223 h" in caught.value.fix


def test_changed_says_both_fingerprints_and_the_fix(tmp_path: Path, keys: list[str]) -> None:
    paths = written(tmp_path, f"h ssh-ed25519 {keys[0]}")
    with pytest.raises(HostKeyChanged) as caught:
        check("h", "ssh-ed25519", keys[1], paths)
    assert caught.value.code == "host-key"
    assert fingerprint(keys[0]) in caught.value.message
    assert fingerprint(keys[1]) in caught.value.message
    assert f"ssh-keygen -f {paths[0]} -R h" in caught.value.fix


def test_fingerprint_is_the_one_of_ssh_keygen(tmp_path: Path, keys: list[str]) -> None:
    (tmp_path / "k.pub").write_text(f"ssh-ed25519 {keys[0]}\n")
    said = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "k.pub"], check=True, capture_output=True, text=True)
    assert fingerprint(keys[0]) in said.stdout


def test_revoked_wins_and_authorities_vouch_for_nothing(tmp_path: Path, keys: list[str]) -> None:
    paths = written(tmp_path, f"h ssh-ed25519 {keys[0]}", f"@revoked * ssh-ed25519 {keys[0]}")
    with pytest.raises(HostKeyChanged, match="revoked"):
        check("h", "ssh-ed25519", keys[0], paths)
    paths = written(tmp_path, f"@cert-authority * ssh-ed25519 {keys[0]}")
    with pytest.raises(HostKeyChanged, match="not known"):
        check("h", "ssh-ed25519", keys[0], paths)


def test_several_files(tmp_path: Path, keys: list[str]) -> None:
    first = written(tmp_path, f"h ssh-ed25519 {keys[0]}")
    check("h", "ssh-ed25519", keys[0], (tmp_path / "absent", *first))
