"""On-prem: the hosts of ssh_config that fit a pattern, or of an Ansible inventory file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from backends.providers import ansible
from backends.providers.naming import clean, distinct
from backends.transports.ssh_config import read_lines
from umsui.adapters import Change, Listing
from umsui.config import ClusterConfig
from umsui.errors import BadInput
from umsui.model import ClusterState, Machine, ManagedCluster, Node, Power

SSH_CONFIG = "~/.ssh/config"


class OnPrem:
    """A ``umsui.adapters.Provider`` that asks files; its machines cannot be started or stopped."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config

    def listings(self) -> Iterator[Listing]:
        """All hosts at once. Raises BadInput for a file that is not understood."""
        targets: dict[str, str] = {}
        if self._config.ssh_hosts:
            targets |= {name: name for name in aliases(Path(SSH_CONFIG).expanduser(), self._config.ssh_hosts)}
        if self._config.inventory:
            targets |= ansible.hosts(self._config.inventory.expanduser(), self._config.group)
        nodes = [self._node(name, target) for name, target in sorted(targets.items())]
        yield Listing(distinct(nodes, lambda _: "host"), complete=True)

    def _node(self, name: str, target: str) -> Node:
        """That it runs is assumed: nobody but the host itself could tell."""
        user = f"{self._config.ssh_user}@" if self._config.ssh_user and "@" not in target else ""
        machine = Machine(id=name, power=Power.RUNNING)
        return Node(self._config.name, clean(name), user + target, ClusterState.LISTED, machine=machine)

    def managed(self) -> list[ManagedCluster]:
        """None: a kubeconfig names them."""
        return []

    def kubeconfig(self, managed: str) -> str:
        """Raises BadInput: nobody manages it."""
        raise BadInput(f"{managed} is managed by no provider", "use its own kubeconfig")

    def start(self, node: Node) -> Change:
        """Raises BadInput: there is no one to ask."""
        raise self._by_hand(node)

    def stop(self, node: Node) -> Change:
        """Raises BadInput: there is no one to ask."""
        raise self._by_hand(node)

    @staticmethod
    def _by_hand(node: Node) -> BadInput:
        words = f"umsui cannot switch {node.cluster}/{node.name}: on-prem machines have no provider to ask"
        return BadInput(words, "switch it by hand", code="no-power")


def aliases(path: Path, patterns: Sequence[str]) -> list[str]:
    """The names after ``Host`` that fit one of the patterns; those that are patterns themselves name no host."""
    found = []
    for line in read_lines(path):
        words = line.replace("=", " ", 1).split()
        if len(words) > 1 and words[0].lower() == "host":
            names = [word.strip('"') for word in words[1:] if not set(word) & set("*?!")]
            found += [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    return list(dict.fromkeys(found))
