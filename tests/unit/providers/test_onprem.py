from __future__ import annotations

from pathlib import Path

import pytest

from backends.providers import ansible, onprem
from backends.providers.onprem import OnPrem
from umsui.config import ClusterConfig
from umsui.errors import BadInput

INI = """\
# the fleet
bastion ansible_host=10.0.0.1

[web]
web[01:03].example ansible_user=deploy   # three of them
odd ansible_host="10.0.0.9" ansible_port=2222

[db]
db-[a:b]

[paris:children]
web
db

[paris:vars]
ansible_user=ops

[all:vars]
ansible_port = 22
"""

YAML = """\
all:
  vars: {ansible_user: root}
  children:
    web:
      hosts:
        web[1:2]: {ansible_host: 10.0.0.1}
    db:
      vars: {ansible_port: 2200}
      hosts:
        one: {ansible_user: postgres}
        two:
"""


def write(folder: Path, text: str, name: str = "hosts.ini") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_an_ini_inventory(tmp_path: Path) -> None:
    path = write(tmp_path, INI)
    assert ansible.hosts(path, "paris") == {
        "web01.example": "deploy@web01.example:22",
        "web02.example": "deploy@web02.example:22",
        "web03.example": "deploy@web03.example:22",
        "odd": "ops@10.0.0.9:2222",
        "db-a": "ops@db-a:22",
        "db-b": "ops@db-b:22",
    }
    assert set(ansible.hosts(path, "all")) == {"bastion", *ansible.hosts(path, "paris")}
    assert ansible.hosts(path, "ungrouped") == {"bastion": "10.0.0.1:22"}


def test_a_yaml_inventory(tmp_path: Path) -> None:
    path = write(tmp_path, YAML, "hosts.yml")
    assert ansible.hosts(path, "all") == {
        "web1": "root@10.0.0.1",
        "web2": "root@10.0.0.1",
        "one": "postgres@one:2200",
        "two": "root@two:2200",
    }
    assert set(ansible.hosts(path, "db")) == {"one", "two"}


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("[web\nx", "h.ini", "h.ini:1"),
        ("[web:sons]\n", "h.ini", "h.ini:1: [web:sons] is no section"),
        ("[web]\nx ansible_host", "h.ini", "h.ini:2: 'ansible_host' is no variable"),
        ("[web]\nx a='b", "h.ini", "h.ini:2"),
        ("[web]\nx[3:1]", "h.ini", "counts nothing"),
        ("[web]\nx ansible_host={{ip}}", "h.ini", "ansible_host is a template"),
        ("[web:children]\nweb", "h.ini", "group web contains itself"),
        ("[db]\nx", "h.ini", "has no group web; it has: db"),
        ("web: [a", "h.yml", "this is not YAML"),
        ("web: {hosts: [a]}", "h.yml", "web.hosts is no table"),
        ("web: {host: {a: }}", "h.yml", "group web has host"),
        ("plugin: azure.azcollection.azure_rm", "h.yml", "configures a plugin"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, text: str, name: str, words: str) -> None:
    with pytest.raises(BadInput) as raised:
        ansible.hosts(write(tmp_path, text, name), "web")
    assert words in raised.value.message


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        ansible.hosts(tmp_path / "none", "web")


def test_aliases_of_ssh_config(tmp_path: Path) -> None:
    write(tmp_path, "Host web-3\n", "more")
    path = write(tmp_path, "Host web-1 web-2 *.example !web-9\nHost=db\nInclude more\nHost *\n  User x\n", "config")
    assert onprem.aliases(path, ["web-*"]) == ["web-1", "web-2", "web-3"]
    assert onprem.aliases(path, ["*"]) == ["web-1", "web-2", "db", "web-3"]
    assert onprem.aliases(tmp_path / "none", ["*"]) == []


def test_hosts_become_nodes(tmp_path: Path) -> None:
    config = ClusterConfig(
        name="paris", provider="onprem", orchestrator="podman", inventory=write(tmp_path, INI), group="db", ssh_user="x"
    )
    (listing,) = OnPrem(config).listings()
    assert listing.complete
    assert [(node.name, node.ssh) for node in listing.nodes] == [("db-a", "ops@db-a:22"), ("db-b", "ops@db-b:22")]
    with pytest.raises(BadInput, match="umsui cannot switch paris/db-a"):
        OnPrem(config).start(listing.nodes[0])
