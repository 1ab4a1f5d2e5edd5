"""A real API server and its etcd, and nothing else: what is created stays as it is. From the lab's cache."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trustme

from backends.orchestrators.kubernetes_api import Api
from umsui import locations
from umsui.errors import UmsuiError

USERS = {
    "admin": "system:masters",
    "reader": "readers",  # RBAC is the test's to give
    "nobody": "",
}


def programs() -> Path | None:
    """The folder with kube-apiserver and etcd, where the lab was built; None where it was not."""
    found = sorted(locations.cache_dir().glob("lab/kubernetes-*/usr/bin/kube-apiserver"), key=os.path.getmtime)
    found = [each for each in found if ".building" not in str(each)]
    return found[-1].parent if found else None


def free_port() -> int:
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        return int(end.getsockname()[1])


class ControlPlane:
    """Started by ``start``; ``stop`` ends both programs."""

    def __init__(self, folder: Path, where: Path) -> None:
        self.folder, self.where = folder, where
        self.port, self.etcd_port, self.peer_port = free_port(), free_port(), free_port()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1", "localhost")
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        certificate.cert_chain_pems[0].write_to_path(str(folder / "api.crt"))
        certificate.private_key_pem.write_to_path(str(folder / "api.key"))
        self.tokens({name: name for name in USERS})

    def tokens(self, tokens: dict[str, str]) -> None:
        """Who has which token; read at the API server's next start."""
        lines = [f'{token},{name},{name},"{USERS[name]}"' for name, token in tokens.items()]
        (self.folder / "tokens.csv").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        ours, etcd = self.folder, f"http://127.0.0.1:{self.etcd_port}"
        if "etcd" not in self.running:
            peers = f"http://127.0.0.1:{self.peer_port}"
            words = [f"--data-dir={ours / 'etcd'}", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}"]
            words += [f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}"]
            self._run("etcd", [*words, f"--initial-cluster=default={peers}", "--unsafe-no-fsync"])
        words = [f"--etcd-servers={etcd}", f"--secure-port={self.port}", "--insecure-port=0", f"--cert-dir={ours}"]
        words += [f"--tls-cert-file={ours / 'api.crt'}", f"--tls-private-key-file={ours / 'api.key'}"]
        words += [f"--service-account-signing-key-file={ours / 'api.key'}", "--service-account-issuer=https://test"]
        words += [f"--service-account-key-file={ours / 'api.key'}", f"--token-auth-file={ours / 'tokens.csv'}"]
        words += ["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--authorization-mode=RBAC"]
        words += ["--disable-admission-plugins=ServiceAccount", "--watch-cache-sizes=pods#100"]
        self._run("kube-apiserver", [*words, "--service-cluster-ip-range=10.96.0.0/24"])
        self._wait()

    def _run(self, name: str, words: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as out:
            argv = ["nice", str(self.where / name), *words]
            self.running[name] = subprocess.Popen(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def _wait(self) -> None:
        api, end = self.api(), time.monotonic() + 60
        while True:
            try:
                if api.text("/readyz") == "ok" and api.get("/api/v1/namespaces/default"):
                    return
            except UmsuiError:
                if time.monotonic() > end or self.running["kube-apiserver"].poll() is not None:
                    raise
            time.sleep(0.1)

    def kill(self, name: str = "kube-apiserver") -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for name in list(self.running):
            self.kill(name)

    def kubeconfig(self, user: dict[str, Any] | str = "admin", namespace: str = "", name: str = "config") -> Path:
        """A kubeconfig for one of the users, or with the words given."""
        words = {"token": user} if isinstance(user, str) else user
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.folder / "ca.pem")}
        context = {"cluster": "test", "user": "me", **({"namespace": namespace} if namespace else {})}
        found = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "me", "user": words}],
            "contexts": [{"name": "test", "context": context}],
            "current-context": "test",
        }
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(found))
        return path

    def api(self, user: str = "admin") -> Api:
        return Api(self.kubeconfig(user, name=f"api-{user}"), None)

    def allow(self, user: str, verbs: list[str], resources: list[str], namespace: str = "") -> None:
        """Give a right, in one namespace or everywhere."""
        api, name = self.api(), f"{user}-{'-'.join(resources)}-{namespace or 'all'}".replace("/", ".")
        kind = "Role" if namespace else "ClusterRole"
        path = "/apis/rbac.authorization.k8s.io/v1" + (f"/namespaces/{namespace}" if namespace else "")
        api.create(
            f"{path}/{kind.lower()}s",
            {"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": resources, "verbs": verbs}]},
        )
        body = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
        }
        api.create(f"{path}/{kind.lower()}bindings", body)


def pod(name: str, **spec: Any) -> dict[str, Any]:
    """A pod that nobody schedules."""
    container = {"name": "main", "image": "localhost/umsui/memhog:1", "resources": {"requests": {"memory": "1Mi"}}}
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": [container], **spec}}


def until(condition: Callable[[], bool], seconds: float = 20.0) -> float:
    """Wait for it; how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come true"
        time.sleep(0.02)
    return time.monotonic() - began
