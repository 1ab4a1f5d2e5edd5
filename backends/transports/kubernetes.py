"""The way to a Kubernetes cluster: its API. There is no way to its nodes, and none is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backends.orchestrators.kubernetes_api import Api
from umsui.adapters import Completed, Stream
from umsui.errors import BadInput


class KubernetesTransport:
    """One cluster's API, as the context of a kubeconfig leads to it (a ``umsui.adapters.Transport``)."""

    def __init__(
        self, kubeconfig: Path | None = None, context: str | None = None, namespaces: Sequence[str] = ()
    ) -> None:
        """Nothing is read or asked before it is needed."""
        self.api = Api(kubeconfig, context)
        self.namespaces = tuple(namespaces)
        self.kubeconfig, self.context = kubeconfig, context

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Completed:  # noqa: ARG002
        """Raises BadInput: no command runs on a node that only an API leads to."""
        raise _no_login(argv)

    def open(self, argv: Sequence[str]) -> Stream:
        """Raises BadInput, as ``run``."""
        raise _no_login(argv)

    def program(self, argv: Sequence[str]) -> list[str]:
        """Raises BadInput, as ``run``."""
        raise _no_login(argv)

    @property
    def address(self) -> str:
        """The API server's host."""
        return self.api.host

    @property
    def port(self) -> int:
        """None: there is no SSH."""
        return 0

    @property
    def host_key(self) -> str:
        """None: the API is known by its certificate."""
        return ""

    def close(self) -> None:
        """Nothing is held but the client's own pool."""


def _no_login(argv: Sequence[str]) -> BadInput:
    what = f"`{argv[0]}` cannot be run on a Kubernetes node: only its API is known" if argv else "no command"
    return BadInput(what, "use kubectl, or log in to the node yourself", code="no-login")
