"""An image with umsui inside, put together in a registry: no container engine takes part.

Its base stays where it is; one layer is added, and the entrypoint changed. Registries that ask for a login are not
spoken to: there, build the image with podman or docker, and push it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from importlib.resources import files
from typing import IO, Any

from umsui.errors import BadInput, CommandFailed
from umsui.inside.build import Built, Run, supervisor

PATIENCE = 60.0  # seconds for one answer
MANIFESTS = "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"
LAYERS = {
    "oci": "application/vnd.oci.image.layer.v1.tar+gzip",
    "docker": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """``host:port/name:tag``."""

    registry: str
    name: str
    tag: str

    @classmethod
    def of(cls, text: str) -> Reference:
        """Taken apart. Raises BadInput where no registry is named."""
        registry, _, rest = text.partition("/")
        name, _, tag = rest.partition(":")
        if not name or ("." not in registry and ":" not in registry):
            raise BadInput(f"{text} names no registry", "give HOST:PORT/NAME:TAG")
        return cls(registry, name, tag or "latest")

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}:{self.tag}"

    def url(self, kind: str, what: str) -> str:
        """Of a blob or manifest."""
        return f"http://{self.registry}/v2/{self.name}/{kind}/{what}"


def build(run: Run, base: Reference, made: Reference) -> Built:
    """Add umsui and CRIU to ``base``; the programs are those where ``run`` leads to. Raises CommandFailed."""
    manifest, settings = described(base)
    config: dict[str, Any] = settings.setdefault("config", {})
    entrypoint = config.get("Entrypoint") or []
    if entrypoint[:1] == ["/umsui/init"]:
        raise BadInput(f"{base} has umsui inside already", "use it as it is, or name its base", code="built-already")
    config["Entrypoint"] = ["/umsui/init", *entrypoint]
    layer = _kit(run)
    settings["rootfs"]["diff_ids"].append(digest_of(layer))
    settings.setdefault("history", []).append({"created_by": "umsui image build"})
    packed, words = gzip.compress(layer, 6, mtime=0), json.dumps(settings).encode()
    for each in manifest["layers"]:
        mount(made, base, each["digest"])
    for blob in (packed, words):
        push(made, blob)
    kind = str(manifest.get("mediaType") or MANIFESTS[0])
    family = "docker" if "docker" in kind else "oci"
    manifest["layers"].append({"mediaType": LAYERS[family], "digest": digest_of(packed), "size": len(packed)})
    manifest["config"] |= {"digest": digest_of(words), "size": len(words)}
    call("PUT", made.url("manifests", made.tag), json.dumps(manifest).encode(), kind)
    size = sum(int(each["size"]) for each in manifest["layers"])
    return Built(str(made), digest_of(words).removeprefix("sha256:"), size)


def described(image: Reference) -> tuple[dict[str, Any], dict[str, Any]]:
    """An image's manifest and its settings. Raises CommandFailed."""
    manifest = json.loads(call("GET", image.url("manifests", image.tag), accept=", ".join(MANIFESTS))[0])
    return manifest, json.loads(call("GET", image.url("blobs", manifest["config"]["digest"]))[0])


def _kit(run: Run) -> bytes:
    script = files("umsui.inside").joinpath("on_node.py").read_text()
    done = run(["python3", "-ISc", script, "kit"], supervisor())
    if done.status or done.stdout[:1] == b"{":
        said = (done.stdout[:600] if done.stdout[:1] == b"{" else done.stderr[-600:]).decode(errors="replace").strip()
        raise CommandFailed(f"the programs for the image were not found: {said}", code="no-kit")
    return done.stdout


def digest_of(data: bytes) -> str:
    """As registries write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def mount(made: Reference, base: Reference, digest: str) -> None:
    """Let a layer of the base be one of the new image, too."""
    if base.registry == made.registry:
        query = f"?mount={digest}&from={base.name}"
        if call("POST", made.url("blobs", f"uploads/{query}"), b"")[2] == 201:
            return
    push(made, call("GET", base.url("blobs", digest))[0])


def push(made: Reference, blob: bytes) -> None:
    """Put a blob there."""
    upload(made, blob, digest_of(blob), len(blob))


def upload(made: Reference, blob: bytes | IO[bytes], digest: str, size: int) -> None:
    """Put a blob of this digest there. Raises CommandFailed."""
    began = call("POST", made.url("blobs", "uploads/"), b"")[1]
    joint = "&" if "?" in began else "?"
    more = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    with answer_to("PUT", f"{began}{joint}digest={digest}", blob, more):
        return


def call(
    method: str, url: str, data: bytes | None = None, kind: str = "", accept: str = "*/*"
) -> tuple[bytes, str, int]:
    """Body, location and status of an answer. Raises CommandFailed."""
    headers = {"Accept": accept, **({"Content-Type": kind} if kind else {})}
    with answer_to(method, url, data, headers) as answer:
        return answer.read(), str(answer.headers["Location"] or ""), int(answer.status)


@contextlib.contextmanager
def answer_to(
    method: str, url: str, data: bytes | IO[bytes] | None, headers: Mapping[str, str]
) -> Iterator[HTTPResponse]:
    """An answer, to be read. Raises CommandFailed."""
    asked = urllib.request.Request(url, data, dict(headers), method=method)  # noqa: S310 - the scheme is ours
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:  # noqa: S310
            yield answer
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace").strip()[:300]
        raise CommandFailed(f"the registry refuses {method} {url}: {error.code} {said}", code="registry") from error
    except OSError as error:
        raise CommandFailed(
            f"the registry at {url.split('/')[2]} cannot be reached: {error}", code="registry"
        ) from error
