"""One Kubernetes cluster of the lab: a host that is its API server and its only node."""

from __future__ import annotations

import json
from pathlib import Path

from umsui.lab import host as hosts
from umsui.lab.commands import LabError, run
from umsui.lab.kubernetes import build, pki
from umsui.lab.topology import Host

NOTE = (
    "Kubernetes 1.20.2 of 2021, compiled from Debian bookworm's source, with a patched kubelet (checkpoints, CRI v1); "
    "no DNS. Newer clusters differ."
)

NODE = "/usr/lib/umsui/kubernetes/node"
SERVICES = "10.96.0.0/24"
KUBERNETES_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
REGISTRY_PORT = 5000
LABELS = {
    "azure": "topology.kubernetes.io/region=westeurope,kubernetes.azure.com/cluster=aks-lab",
    "gcp": "topology.kubernetes.io/region=europe-west4,cloud.google.com/gke-nodepool=default-pool",
}
# What each cloud calls its default storage class.
STORAGE_CLASS = {"azure": "default", "gcp": "standard"}

# What users make in the default namespace; owners first.
_USERS_KINDS = (
    *("deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs", "pods"),
    *("services", "configmaps", "persistentvolumeclaims"),
)

MANIFESTS = Path(__file__).parent / "files" / "manifests"


def registry(host: Host) -> str:
    """Its registry, as its nodes, the other lab hosts and this machine reach it, without TLS."""
    return f"{host.address}:{REGISTRY_PORT}"


def trust_registries(host: Host) -> None:
    """Let podman on a host pull from the clusters' registries; docker's own settings (daemon.json) allow it."""
    nodes = [other for other in host.lab.hosts if other.orchestrator == "kubernetes"]
    text = "".join(f'[[registry]]\nlocation = "{registry(node)}"\ninsecure = true\n' for node in nodes)
    (_made(host.directory / "upper/etc/containers/registries.conf.d") / "lab.conf").write_text(text)


def fill(host: Host, images: Path) -> None:
    """Write what makes a lab host this cluster into its upper layer, and the user's kubeconfig.

    ``images``: the folder that its registry begins with.
    """
    upper = host.directory / "upper"
    values = {
        "NAME": host.name,
        "ADDRESS": host.address,
        "PODS": host.pods,
        "SERVICES": SERVICES,
        "DNS": DNS_ADDRESS,
        "LABELS": LABELS[host.provider],
        "PAUSE": build.PAUSE,
    }
    tree = build.FILES / "node"
    for source in sorted(path for path in tree.rglob("*") if path.is_file()):
        target = upper / source.relative_to(tree)
        _made(target.parent)
        target.write_text(_filled(source.read_text(), values))
        target.chmod(0o755 if source.name == "node" else 0o644)
    run(["cp", "-a", images, _made(host.directory / "kubernetes/var/lib") / "registry"])
    nodes = [other for other in host.lab.hosts if other.orchestrator == "kubernetes"]
    for name in ("localhost", *map(registry, nodes)):  # the names of the sample images begin with localhost/
        folder = _made(upper / "etc/containerd/certs.d" / name)
        (folder / "hosts.toml").write_text(f'[host."http://{name}"]\ncapabilities = ["pull", "resolve", "push"]\n')
    _fill_keys(host, upper / "etc/kubernetes")
    (upper / "root/.kube").mkdir(mode=0o700)
    (upper / "root/.kube/config").symlink_to("/etc/kubernetes/admin.conf")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _fill_keys(host: Host, folder: Path) -> None:
    authority = pki.Authority.new(host.cluster)
    names = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", host.name)
    addresses = ("127.0.0.1", host.address, KUBERNETES_ADDRESS)
    private, public = pki.signing_keys()
    pairs = {
        "ca": authority.pair,
        "apiserver": authority.server("kube-apiserver", names, addresses),
        "kubelet": authority.server(host.name, (host.name,), (host.address,)),
        "kubelet-client": authority.client("kube-apiserver", ("system:masters",)),
        "sa": pki.Pair(b"", private),
    }
    keys = folder / "pki"
    keys.mkdir(mode=0o700)
    for name, pair in pairs.items():
        _secret(keys / f"{name}.key", pair.key)
        if pair.certificate:
            (keys / f"{name}.crt").write_bytes(pair.certificate)
    (keys / "sa.pub").write_bytes(public)

    server = f"https://{host.address}:6443"
    users = {
        "controller-manager": authority.client("system:kube-controller-manager"),
        "scheduler": authority.client("system:kube-scheduler"),
        "proxy": authority.client("system:kube-proxy"),
        "kubelet": authority.client(f"system:node:{host.name}", ("system:nodes",)),
        "admin": authority.client("kubernetes-admin", ("system:masters",)),
    }
    for name, client in users.items():
        text = pki.kubeconfig(host.cluster, server, pairs["ca"].certificate, client).encode()
        _secret(folder / f"{name}.conf", text)
        if name == "admin":
            _secret(host.kubeconfig, text)


def _secret(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)


def kubectl(host: Host, *words: str, stdin: str | None = None, timeout: float = 60.0) -> str:
    """Run kubectl at the cluster's node, as its administrator; returns its output. Raises LabError."""
    argv = ["kubectl", *words]
    return hosts.run_in(host, argv, stdin=stdin, timeout=timeout)


def wait_for_api(host: Host) -> None:
    """Return when the API server answers; raises LabError with the end of its log."""
    hosts.run_in(host, [NODE, "ready"], timeout=90)


def prepare(host: Host) -> None:
    """Give the cluster a default storage class and say where its registry is. Raises LabError."""
    values = {"CLASS": STORAGE_CLASS[host.provider], "REGISTRY": registry(host)}
    kubectl(host, "apply", "-f", "-", stdin=_filled((MANIFESTS / "cluster.yaml").read_text(), values))


def wait_for_node(host: Host) -> None:
    """Return when its node is ready and pods may be made; raises LabError after a minute, with what is the matter."""
    script = """
        until [ "$(kubectl get node "$1" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ] &&
            [ -n "$(kubectl get serviceaccount default -o 'jsonpath={.secrets}')" ]; do sleep 0.2; done
    """
    argv = ["timeout", "60", "sh", "-c", script, "sh", host.name]
    try:
        hosts.run_in(host, argv, timeout=70)
    except LabError as error:
        said = hosts.run_in(host, ["sh", "-c", "tail -n 5 /var/log/kubelet.log /var/log/containerd.log"])
        raise LabError(f"The node {host.name} is not ready: {said}", "umsui lab down, then try again.") from error


def start_samples(host: Host) -> None:
    """Apply the cluster's sample services; its controllers do the rest. Raises LabError."""
    kubectl(host, "apply", "-f", "-", stdin=(MANIFESTS / f"{host.cluster}.yaml").read_text())


def remove_all(host: Host) -> None:
    """Delete what users made, other namespaces whole; let the node take pods again. Raises LabError."""
    listed = json.loads(kubectl(host, "get", "namespaces", "-o", "json"))["items"]
    names = [item["metadata"]["name"] for item in listed]
    others = [name for name in names if name != "default" and not name.startswith("kube-")]
    for name in ("default", *others):
        _empty(host, name)
    if others:
        kubectl(host, "delete", "namespace", *others, "--timeout=60s", timeout=70)
    kubectl(host, "uncordon", host.name)


def _empty(host: Host, namespace: str) -> None:
    # By force: else it is ten seconds until the kubelet tells that a pod has ended.
    keep = "metadata.name!=kubernetes,metadata.name!=kube-root-ca.crt"
    words = ["delete", ",".join(_USERS_KINDS), "-n", namespace, f"--field-selector={keep}"]
    kubectl(host, *words, "--force", "--grace-period=0", "--timeout=60s", timeout=70)


def running(host: Host) -> tuple[str, ...]:
    """The applications (label ``app``, else the pod's name) that have a running pod; raises LabError."""
    words = ["get", "pods", "-A", "--field-selector=status.phase=Running", "-o", "json"]
    pods = json.loads(kubectl(host, *words, timeout=20))["items"]
    labels = [(pod["metadata"].get("labels", {}).get("app"), pod["metadata"]["name"]) for pod in pods]
    return tuple(sorted({app or name for app, name in labels}))
