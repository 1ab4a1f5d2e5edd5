"""The file that `umsui deploy` reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from umsui import servicefile
from umsui.errors import BadInput
from umsui.model import Approach, Mount, Port

WHOLE = """
name = "web"
image = "nginx:1.27"
approach = "container"
command = "serve"
environment = { TZ = "UTC" }
ports = ["8080:80", "127.0.0.1:53:53/udp", "[::1]:81:80"]
volumes = ["pages:/pages", "settings:/etc/app:ro"]
tmpfs = ["/run"]
restart = "on-failure:3"
memory = "256MiB"
cpus = 0.5
[health]
test = "curl -f http://localhost/"
interval = "500ms"
"""


def load(folder: Path, text: str) -> object:
    file = folder / "service.toml"
    file.write_text(text)
    return servicefile.load(file)


def test_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text(WHOLE)
    spec, approach = servicefile.load(tmp_path / "web.toml")
    assert approach is Approach.CONTAINER
    assert spec.command == ("serve",)
    assert spec.ports == (Port(8080, 80), Port(53, 53, "udp", "127.0.0.1"), Port(81, 80, "tcp", "::1"))
    assert spec.mounts == (
        Mount("volume", "pages", "/pages"),
        Mount("volume", "settings", "/etc/app", read_only=True),
        Mount("tmpfs", "", "/run"),
    )
    assert (spec.memory_limit, spec.cpu_limit, spec.restart) == (256 << 20, 0.5, "on-failure:3")
    assert spec.health["test"] == ["CMD-SHELL", "curl -f http://localhost/"]
    assert spec.health["interval"] == 0.5


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('port = ["8080:80"]', "unknown key `port` (did you mean `ports`?)"),
        ('ports = ["8080"]', "`ports` = '8080'"),
        ('ports = ["70000:80"]', "`ports` = '70000:80'"),
        ('volumes = ["/srv:/srv"]', "a host's folder does not move along"),
        ('memory = "lots"', "`memory` = 'lots'"),
        ('restart = "maybe"', "one of no, always"),
        ('approach = "magic"', "one of orchestrator, service, container"),
        ("cpus = -1", "at least 0"),
        ("environment = { A = 1 }", "`environment.A`"),
        ('tmpfs = ["run"]', "an absolute path"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(tmp_path, f'name = "web"\nimage = "x"\n{line}\n')
    assert f"{tmp_path}/service.toml:3: " in caught.value.message
    assert words in caught.value.message
    assert caught.value.fix


def test_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="`image` is missing"):
        load(tmp_path, 'name = "web"\n')
    with pytest.raises(BadInput, match="cannot be read"):
        servicefile.load(tmp_path / "none.toml")
