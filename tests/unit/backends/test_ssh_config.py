"""Targets and the user's SSH configuration."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from backends.transports.ssh_config import Target, resolve
from umsui.errors import BadInput


def resolved(target: str, config: str = "", folder: Path | None = None) -> Target:
    path = Path("/nonexistent")
    if folder is not None:
        path = folder / "config"
        path.write_text(config)
    return resolve(target, None, None, path)


def test_without_configuration() -> None:
    target = resolved("10.0.0.5")
    assert (target.host, target.port, target.user, target.key_name) == ("10.0.0.5", 22, getpass.getuser(), "10.0.0.5")
    assert target.use_agent
    assert Path("~/.ssh/id_ed25519").expanduser() in target.identities
    assert Path("/etc/ssh/ssh_known_hosts") in target.known_hosts


@pytest.mark.parametrize(
    ("text", "host", "port", "user"),
    [
        ("ops@h.example:2222", "h.example", 2222, "ops"),
        ("ops@[fe80::1]:2222", "fe80::1", 2222, "ops"),
        ("a.b@corp@h", None, None, None),
        ("ops@[::1]", "::1", 22, "ops"),
    ],
)
def test_target_forms(text: str, host: str | None, port: int, user: str) -> None:
    if host is None:
        with pytest.raises(BadInput):
            resolved(text)
        return
    target = resolved(text)
    assert (target.host, target.port, target.user) == (host, port, user)
    assert target.key_name == (host if port == 22 else f"[{host}]:{port}")


@pytest.mark.parametrize(
    "text", ["", "-oProxyCommand=evil", "u@-h", "h:port", "h:70000", "h:0", "a b", "u@", "h\n", "::1"]
)
def test_malformed_targets(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        resolved(text)
    assert caught.value.fix


def test_alias(tmp_path: Path) -> None:
    config = """
    Include extra/*.conf
    Host edge
      HostName 10.1.2.3
      Port 2200
      User ops
      IdentityFile ~/k1
      IdentityFile ~/k2
      UserKnownHostsFile /tmp/kh1 /tmp/kh2
      GlobalKnownHostsFile none
      ProxyJump a@j1:23,j2
    Host *
      User everyone
      ProxyCommand nc -x %h %p %r
    """
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "1.conf").write_text("Host inc\n  HostName 10.9.9.9\n  HostKeyAlias thekey\n")
    edge = resolved("edge", config, tmp_path)
    assert (edge.host, edge.port, edge.user, edge.key_name) == ("10.1.2.3", 2200, "ops", "[10.1.2.3]:2200")
    assert edge.identities == (Path("~/k1").expanduser(), Path("~/k2").expanduser())
    assert edge.known_hosts == (Path("/tmp/kh1"), Path("/tmp/kh2"))
    assert edge.proxy_jump == "a@j1:23,j2"
    other = resolved("root@inc:99", config, tmp_path)
    assert (other.host, other.port, other.user, other.key_name) == ("10.9.9.9", 99, "root", "thekey")
    assert other.proxy_command == "nc -x 10.9.9.9 99 root"


def test_given_files_are_the_only_ones(tmp_path: Path) -> None:
    target = resolve("h", tmp_path / "id", tmp_path / "kh", Path("/nonexistent"))
    assert target.identities == (tmp_path / "id",)
    assert target.known_hosts == (tmp_path / "kh",)
    assert not target.use_agent


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="config"):
        resolved("h", "Host h\n  Port\n", tmp_path)
