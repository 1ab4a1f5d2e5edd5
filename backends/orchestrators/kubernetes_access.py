"""What lets us into a Kubernetes cluster: a context of the merged kubeconfigs, and the login program that it names.

The official client reads kubeconfigs; the login programs ("exec plugins") are run here, because there they may take
forever, and what goes wrong with them is only logged.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from backends.providers.extras import need
from umsui.errors import BadInput, NotLoggedIn

LOGIN = 20.0  # seconds that a login program may take
SPARE = 60.0  # seconds before their end at which credentials are renewed
LOGINS = {"kubelogin": "az login", "gke-gcloud-auth-plugin": "gcloud auth login", "aws": "aws sso login"}
"""How to log in anew, by the name of the program that a kubeconfig runs."""


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """A cluster's API and what lets us in. It has secrets: never to be printed."""

    configuration: Any  # the client's own
    context: str
    namespace: str  # the context's default
    login: str  # how to log in anew, in words
    expires: float  # Unix time; 0: not told

    @property
    def stale(self) -> bool:
        """Whether the credentials must be fetched anew."""
        return bool(self.expires) and time.time() > self.expires - SPARE

    def connection(self) -> dict[str, Any]:
        """What another program needs to connect (JSON)."""
        found = self.configuration
        return {
            "url": found.host,
            "authorization": found.get_api_key_with_prefix("BearerToken", alias="authorization") or "",
            "verify": found.verify_ssl,
            "ca": found.ssl_ca_cert,
            "certificate": found.cert_file,
            "key": found.key_file,
            "server_name": found.tls_server_name,
        }


def kubeconfigs(path: Path | None) -> str:
    """The files that kubectl would merge, unless the config names one."""
    return str(path.expanduser()) if path is not None else os.environ.get("KUBECONFIG", "") or "~/.kube/config"


def contexts(path: Path | None = None) -> list[str]:
    """The names of all contexts. Raises BadInput."""
    return [str(each["name"]) for each in _merged(kubeconfigs(path))["contexts"].value]


def access(path: Path | None, context: str | None) -> Access:
    """Read the kubeconfigs now, and log in where that takes a program. Raises BadInput, NotLoggedIn."""
    files = kubeconfigs(path)
    merged, current = _merged(files), context or _current(files)
    client, loading = need("kubernetes.client", "kubernetes"), need("kubernetes.config", "kubernetes")
    if not current:
        raise BadInput(f"{files} has no current context", "name one with `context` in the config", code="config")
    try:
        user = _user(merged, current)
        login, expires = f"renew the credentials of context {current} in {files}", 0.0
        if user is not None and "exec" in user:
            words = user["exec"]
            login = LOGINS.get(
                Path(words["command"]).name, f"log in for `{words['command']}`, as context {current} does"
            )
            status = _log_in(words, login)
            user.pop("exec")
            user.update(_credentials(status))
            expires = _instant(status.get("expirationTimestamp"))
        loader = loading.kube_config.KubeConfigLoader(merged, active_context=current, config_base_path=None)
        configuration = client.Configuration()
        with _loading:
            loader.load_and_set(configuration)
            _keep_in_memory(configuration, loading.kube_config)
    except loading.ConfigException as error:
        fix = f"known contexts: {', '.join(contexts(path)) or 'none'}"
        raise BadInput(f"context {current} of {files}: {error}", fix, code="config") from error
    configuration.retries = False  # an attempt more would take its time again
    namespace = loader.current_context["context"].get("namespace") or "default"
    return Access(configuration, current, namespace, login, expires)


_loading = threading.Lock()  # the client has one list of its files for all kubeconfigs
_memory: dict[bytes, int] = {}  # contents of files that are in memory only, and their descriptors


def _keep_in_memory(configuration: Any, kube_config: Any) -> None:
    """Certificates and keys that the client has written into files: none is left behind, however this process ends.

    Who is started by us can read them, too, as long as we live. Elsewhere than on Linux the client's files stay until
    the process ends.
    """
    if not hasattr(os, "memfd_create"):
        return
    written = set(kube_config._temp_files.values())
    for name in ("ssl_ca_cert", "cert_file", "key_file"):
        path = getattr(configuration, name)
        if path in written:
            content = Path(path).read_bytes()
            if content not in _memory:
                _memory[content] = os.memfd_create("umsui-kubeconfig")
                os.write(_memory[content], content)
            setattr(configuration, name, f"/proc/{os.getpid()}/fd/{_memory[content]}")
    kube_config._cleanup_temp_files()


def _merged(files: str) -> Any:
    """All kubeconfigs as one, in the client's own shape."""
    loading = need("kubernetes.config.kube_config", "kubernetes")
    yaml = need("yaml", "kubernetes")
    try:
        merged = loading.KubeConfigMerger(files).config
    except (OSError, loading.ConfigException, yaml.YAMLError) as error:
        raise BadInput(f"the kubeconfig cannot be read: {error}", f"look into {files}", code="config") from error
    if merged is None:
        raise BadInput(
            f"there is no kubeconfig {files}", "set `kubeconfig` in the config, or KUBECONFIG", code="config"
        )
    return merged


def _current(files: str) -> str:
    """The current context: of the first file that has one, as kubectl has it."""
    yaml = need("yaml", "kubernetes")
    for name in files.split(os.pathsep):
        path = Path(name).expanduser()
        found = (yaml.safe_load(path.read_text()) or {}) if name and path.is_file() else {}
        if found.get("current-context"):
            return str(found["current-context"])
    return ""


def _user(merged: Any, context: str) -> dict[str, Any] | None:
    """The user of a context, as the loader will read it."""
    name = merged["contexts"].get_with_name(context)["context"].safe_get("user")
    for each in merged["users"].value if name else ():
        if each["name"] == name:
            found: dict[str, Any] = each["user"].value if hasattr(each["user"], "value") else each["user"]
            return found
    return None


# -- login programs -------------------------------------------------------------------------------------------------


def _log_in(words: Mapping[str, Any], login: str) -> dict[str, Any]:
    """Run the program. Raises NotLoggedIn with what it says."""
    command = str(words["command"])
    variables = {str(each["name"]): str(each["value"]) for each in words.get("env") or ()}
    asked = {"apiVersion": words["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {**os.environ, **variables, "KUBERNETES_EXEC_INFO": json.dumps(asked)}
    argv = [command, *map(str, words.get("args") or ())]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=LOGIN, check=False
        )
    except OSError as error:
        fix = str(words.get("installHint") or f"install {command}")
        raise NotLoggedIn(f"{command}, which logs in, cannot be run: {error.strerror}", fix) from error
    except subprocess.TimeoutExpired as error:
        raise NotLoggedIn(f"{command}, which logs in, did not answer within {LOGIN:g} s", login) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise NotLoggedIn(f"{command} could not log in: {said[0] if said else f'status {done.returncode}'}", login)
    try:
        return dict(json.loads(done.stdout)["status"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotLoggedIn(f"{command}, which logs in, answered no credentials", login) from error


def _credentials(status: Mapping[str, Any]) -> dict[str, str]:
    """A login program's answer in the words of a kubeconfig."""
    base64 = need("base64", "kubernetes")
    found = {"token": str(status["token"])} if status.get("token") else {}
    names = (("client-certificate-data", "clientCertificateData"), ("client-key-data", "clientKeyData"))
    return found | {name: base64.b64encode(status[key].encode()).decode() for name, key in names if status.get(key)}


def _instant(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0
