"""The local clouds as a test holds them: start, fill, trouble, count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.clouds.faults import Fault
from tests.clouds.machines import PROJECT, TENANT, Machine, Managed
from tests.clouds.secrets import CLIENT, CLIENT_SECRET, Folder

ROOT = Path(__file__).resolve().parents[2]
CREDENTIALS = (
    "AZURE_",
    "ARM_",
    "GOOGLE_",
    "GCE_METADATA",
    "CLOUDSDK_",
    "GCLOUD_",
    "MSI_",
    "IDENTITY_",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
"""Variables (by how they begin) that a test must not inherit from whoever runs it."""


@dataclass
class LocalCloud:
    """A running server. Azure is at ``url`` (ARM and Entra), Google too (compute, container, tokens)."""

    folder: Folder
    port: int
    metadata_port: int
    deaf_port: int
    _client: httpx.Client = field(repr=False)

    @property
    def url(self) -> str:
        """Where both clouds are."""
        return f"https://localhost:{self.port}"

    @property
    def metadata(self) -> str:
        """The metadata server's host and port."""
        return f"127.0.0.1:{self.metadata_port}"

    def _say(self, method: str, path: str, content: Any = None) -> Any:
        answer = self._client.request(method, path, json=content)
        answer.raise_for_status()
        return answer.json()

    def reset(self) -> None:
        """As at the start."""
        self._say("POST", "/reset")

    def fill(
        self,
        cloud: str,
        fleet: str | Sequence[Machine],
        count: int = 0,
        *,
        account: str | None = None,
        clusters: Sequence[Managed] = (),
        page: int | None = None,
    ) -> None:
        """Give an account of a cloud ("azure", "google") a fleet: a ready one by name and size, or these machines."""
        wanted: dict[str, Any] = {"cloud": cloud, "account": account, "page": page}
        wanted |= {"clusters": [asdict(each) for each in clusters]}
        wanted |= (
            {"fleet": fleet, "count": count}
            if isinstance(fleet, str)
            else {"machines": [asdict(each) for each in fleet]}
        )
        self._say("PUT", "/fleet", wanted)

    def trouble(self, kind: str, how: Any = "status", **more: Any) -> None:
        """A ``Fault`` for requests of this kind."""
        self._say("POST", "/fault", asdict(Fault(kind, how, **more)))

    def mend(self) -> None:
        """No more trouble; revoked credentials are good again (their old tokens are not)."""
        self._say("POST", "/mend")

    def set(self, cloud: str, **settings: Any) -> None:
        """See ``control.py``."""
        self._say("POST", "/settings", {"cloud": cloud, **settings})

    def counts(self) -> Counter[str]:
        """How many requests of each kind there were since the start or ``forget``."""
        return Counter(self._say("GET", "/requests")["counts"])

    def served(self) -> Counter[str]:
        """Of all times: requests by the first word of their kind, and ``faults``."""
        return Counter(self._say("GET", "/requests")["served"])

    def requests(self) -> list[dict[str, Any]]:
        """Each of the last 5,000."""
        found: list[dict[str, Any]] = self._say("GET", "/requests")["seen"]
        return found

    def forget(self) -> None:
        """Count from zero."""
        self._say("DELETE", "/requests")

    def machines(self, cloud: str) -> dict[str, list[dict[str, Any]]]:
        """By account, as they are now."""
        found: dict[str, list[dict[str, Any]]] = self._say("GET", f"/machines/{cloud}")
        return found

    def environment(self, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
        """An environment in which the SDKs trust this CA and find credentials, and none of the caller's own."""
        kept = {key: value for key, value in inherited.items() if not key.startswith(CREDENTIALS)}
        return {
            **kept,
            "REQUESTS_CA_BUNDLE": str(self.folder.authority),
            "SSL_CERT_FILE": str(self.folder.authority),
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": CLIENT_SECRET,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.folder.service_account),
            "GOOGLE_CLOUD_PROJECT": PROJECT,
        }


@contextmanager
def running(*arguments: str, prefix: Sequence[str] = ()) -> Iterator[LocalCloud]:
    """A server in a process of its own, for as long as the block; ``prefix`` goes before its command."""
    with tempfile.TemporaryDirectory(prefix="umsui-clouds-") as name:
        folder = Folder(Path(name))
        command = [*prefix, sys.executable, "-m", "tests.clouds", name, *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ports = json.loads(process.stdout.readline())
            transport = httpx.HTTPTransport(uds=str(folder.control))
            with httpx.Client(transport=transport, base_url="http://control", timeout=60) as client:
                yield LocalCloud(folder, **ports, _client=client)
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
