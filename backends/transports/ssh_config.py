"""What a target means: ``user@host:port`` or a name from the user's SSH configuration, made concrete."""

from __future__ import annotations

import getpass
import glob
import re
from dataclasses import dataclass
from pathlib import Path

import paramiko

from umsui.errors import BadInput

_TARGET = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^-\s:@\[][^\s:@]*))(?::(?P<port>\d+))?"
)
_DEFAULT_IDENTITIES = ("id_ed25519", "id_ecdsa", "id_rsa")
_SYSTEM_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_INCLUDE_DEPTH = 16  # as OpenSSH


@dataclass(frozen=True, slots=True)
class Target:
    """Everything needed to connect to one host."""

    name: str  # as the user wrote it
    host: str
    port: int
    user: str
    key_name: str  # the name its host key is filed under
    identities: tuple[Path, ...]
    use_agent: bool
    known_hosts: tuple[Path, ...]
    proxy_command: str = ""
    proxy_jump: str = ""


def resolve(target: str, identity: Path | None, known_hosts: Path | None, config: Path | None) -> Target:
    """Make ``target`` concrete; what it says itself wins over the configuration file, a given identity is the only one.

    Raises BadInput when the target or the configuration is malformed.
    """
    match = _TARGET.fullmatch(target)
    if match is None:
        raise BadInput(f"“{target}” is no SSH target", "write user@host, user@host:port, or a Host of your ssh_config")
    name = match["v6"] or match["host"]
    settings = _lookup(name, match["user"], match["port"], config or Path("~/.ssh/config").expanduser())
    host = _text(settings, "hostname", name)
    port = int(_text(settings, "port", "22"))
    if not 0 < port < 65536:
        raise BadInput(f"“{target}”: port {port} does not exist", "ports go from 1 to 65535")
    alias = _text(settings, "hostkeyalias", "")
    proxy_command = _text(settings, "proxycommand", "none")
    proxy_jump = _text(settings, "proxyjump", "none")
    return Target(
        name=target,
        host=host,
        port=port,
        user=_text(settings, "user", "") or getpass.getuser(),
        key_name=alias or (host if port == 22 else f"[{host}]:{port}"),
        identities=(identity.expanduser(),) if identity else _identities(settings),
        use_agent=identity is None,
        known_hosts=(known_hosts.expanduser(),) if known_hosts else _known_hosts(settings),
        proxy_command="" if proxy_command == "none" else proxy_command,
        proxy_jump="" if proxy_jump == "none" else proxy_jump,
    )


def _lookup(name: str, user: str | None, port: str | None, path: Path) -> dict[str, str | list[str]]:
    # The first value found wins in ssh_config, so what the target says goes in front: then %p and %r are right too.
    lines = [f"Port {port}"] if port else []
    lines += [f"User {user}"] if user else []
    lines += ["Host *", *read_lines(path)]
    try:
        return dict(paramiko.SSHConfig.from_text("\n".join(lines) + "\n").lookup(name))
    except (paramiko.SSHException, ImportError, ValueError) as error:
        raise BadInput(f"{path} cannot be used: {error}", "`ssh -G HOST` shows what is wrong") from error


def read_lines(path: Path) -> list[str]:
    """The lines of an ssh_config and of the files that it includes; none, where there is none."""
    return _read(path, path.parent, _INCLUDE_DEPTH)


def _read(path: Path, base: Path, depth: int) -> list[str]:
    """The file's lines with Include carried out (paramiko does not know it)."""
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return []
    lines: list[str] = []
    for line in text.splitlines():
        words = line.replace("=", " ", 1).split()
        if len(words) > 1 and words[0].lower() == "include" and depth:
            for pattern in words[1:]:
                found = glob.glob(str(base / Path(pattern.strip('"')).expanduser()))  # noqa: PTH207 (absolute patterns)
                for name in sorted(found):
                    lines += _read(Path(name), base, depth - 1)
        else:
            lines.append(line)
    return lines


def _text(settings: dict[str, str | list[str]], key: str, default: str) -> str:
    value = settings.get(key, default)
    return value if isinstance(value, str) else default


def _identities(settings: dict[str, str | list[str]]) -> tuple[Path, ...]:
    given = settings.get("identityfile", [])
    if given and not isinstance(given, str):
        return tuple(Path(name.strip('"')).expanduser() for name in given)
    return tuple(Path("~/.ssh").expanduser() / name for name in _DEFAULT_IDENTITIES)


def _known_hosts(settings: dict[str, str | list[str]]) -> tuple[Path, ...]:
    mine = _text(settings, "userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2").split()
    system = _text(settings, "globalknownhostsfile", " ".join(_SYSTEM_KNOWN_HOSTS)).split()
    return tuple(Path(name.strip('"')).expanduser() for name in [*mine, *system] if name != "none")
