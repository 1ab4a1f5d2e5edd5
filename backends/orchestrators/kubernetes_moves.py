"""The steps of a move that need a cluster's API: a pod that waits, its owner, and what goes with it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from backends.orchestrators import kubernetes_manifests as manifests
from backends.orchestrators.kubernetes_api import Api, Conflict, Json, NotFound
from backends.orchestrators.kubernetes_manifests import ADDRESS, LABELS, MARK, PASSIVE
from backends.orchestrators.kubernetes_pods import controller, instant
from umsui.errors import CommandFailed, Refused, TimedOut

STARTED = 120.0  # seconds until a pod's container runs: its image may have to be pulled
HOMELESS = 15.0  # seconds that a pod may find no node: its volume has to be made first
SETTLED = 30.0  # seconds until controllers have seen what they were told
GONE = 150.0  # seconds until a pod has ended: a loaded kubelet tells late
CORE = "/api/v1"
APPS = "/apis/apps/v1"
PATHS = {"Deployment": "deployments", "ReplicaSet": "replicasets", "StatefulSet": "statefulsets"}
CARRIED = ("configmaps", "secrets", "persistentvolumeclaims")
HOPELESS = (
    *("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError"),
    *("CreateContainerError", "RunContainerError", "CrashLoopBackOff"),
)
"""What a container waits for in vain."""

HASH = "controller-revision-hash"


class Pod:
    """One service of a cluster. Everything raises Unreachable and its kinds, CommandFailed, Refused, NotFound."""

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self._api, self._namespace, self._name = api, namespace, name
        self._homeless = 0.0  # since when no node takes it, by the monotonic clock

    def _path(self, resource: str, name: str = "", root: str = CORE) -> str:
        return f"{root}/namespaces/{self._namespace}/{resource}" + (f"/{name}" if name else "")

    @property
    def path(self) -> str:
        """Where the API has it."""
        return self._path("pods", self._name)

    def read(self) -> Json:
        """The pod as it is now."""
        return self._api.get(self.path)

    # -- the source -------------------------------------------------------------------------------------------------

    def particulars(self) -> Json:
        """The pod, the owners that would make another one, and the objects that it refers to."""
        pod = self.read()
        objects: dict[str, list[Json]] = {resource: [] for resource in CARRIED}
        for resource, name in dict.fromkeys(manifests.needed(pod)):
            objects[resource].append(self._api.get(self._path(resource, name)))
        return {"pod": pod, "owners": self._owners(pod), "objects": objects}

    def _owners(self, pod: Json) -> list[Json]:
        """From the one that made it to the uppermost."""
        found, of = [], pod
        while reference := controller(of["metadata"]):
            of = self._api.get(self._path(PATHS[reference["kind"]], reference["name"], APPS))
            found.append({**of, "kind": reference["kind"], "apiVersion": reference["apiVersion"]})
        return found

    def replicas(self, pod: Json) -> int:
        """How many pods its owners keep; 1 for a bare pod, or one of an owner that is no concern of ours."""
        if controller(pod["metadata"]).get("kind") not in PATHS:
            return 1
        return max(int(owner["spec"].get("replicas", 1)) for owner in self._owners(pod))

    def take_away(self) -> None:
        """Its owners go and leave it behind, so that nobody makes another one; then its claims, and itself at last.

        Whatever is cut off in the middle is found again by the pod.
        """
        pod = self.read()
        for owner in reversed(self._owners(pod)):
            self._leave_behind(owner)
        for resource, name in manifests.needed(pod):
            if resource == "persistentvolumeclaims":
                self._api.delete(self._path(resource, name))  # as soon as the pod is gone
        self._end(pod)

    def _owner_path(self, owner: Json) -> str:
        return self._path(PATHS[owner["kind"]], owner["metadata"]["name"], APPS)

    def _leave_behind(self, owner: Json) -> None:
        """Remove an owner, but not what it owns."""
        path = self._owner_path(owner)
        self._api.delete(path, {"propagationPolicy": "Orphan"})

        def gone() -> bool:
            try:
                return bool(self._api.get(path)["metadata"]["uid"] != owner["metadata"]["uid"])
            except NotFound:
                return True

        _until(gone, SETTLED, f"{owner['kind']} {owner['metadata']['name']} is not removed")

    def _end(self, pod: Json) -> None:
        """Until its containers have ended: they stand still, so they are not asked to."""
        uid = pod["metadata"]["uid"]
        self._api.delete(self.path, {"gracePeriodSeconds": 1, "preconditions": {"uid": uid}})

        def gone() -> bool:
            try:
                return bool(self.read()["metadata"]["uid"] != uid)
            except NotFound:
                return True

        _until(gone, GONE, f"the pod {self._name} does not end")

    # -- a new service ----------------------------------------------------------------------------------------------

    def deploy(self, made: Json, claims: Sequence[Json], ready: Callable[[], None]) -> str:
        """Make a pod and the claims that are not there, and wait until it runs and is ``ready``; its uid.

        What was made for one that does not get there is removed.
        """
        with contextlib.ExitStack() as undo:
            for claim in claims:
                path = self._path("persistentvolumeclaims", claim["metadata"]["name"])
                if self._make_claim(path, claim):
                    undo.callback(self._api.delete, path)
            try:
                pod = self._api.create(self._path("pods"), made)
            except Conflict as error:
                what = f"there is a pod {self._name} already"
                raise Refused(what, "remove it, or name this one otherwise", code="name-taken") from error
            undo.callback(self._end, pod)
            _until(self.started, STARTED, f"the pod {self._name} does not start")
            ready()
            undo.pop_all()
        return str(pod["metadata"]["uid"])

    def _make_claim(self, path: str, claim: Json) -> bool:
        """False where it is there, with its data; one that is just being removed is waited for."""

        def going() -> bool:
            try:
                return bool(self._api.get(path)["metadata"].get("deletionTimestamp"))
            except NotFound:
                return False

        _until(lambda: not going(), GONE, f"the claim {claim['metadata']['name']} is not removed")
        with contextlib.suppress(Conflict):
            self._api.create(self._path("persistentvolumeclaims"), claim)
            return True
        return False

    # -- the destination --------------------------------------------------------------------------------------------

    def reserve(self, found: Json, node: str, migration: str, checkpoint: str = "") -> None:
        """Make the pod and all that it needs here; it is started, and waits.

        Of the image of a ``checkpoint`` it is not told here when it waits: its container starts with the commit.
        """
        for owner in found["owners"][-1:]:
            self._refuse_taken(owner)
        account = found["pod"]["spec"].get("serviceAccountName") or "default"
        self._need_account(account)
        for resource in CARRIED:
            for each in found["objects"][resource]:
                self._carry(resource, each, migration)
        made = manifests.passive(found["pod"], node, migration, checkpoint)
        made["metadata"]["name"] = self._name
        try:
            self._api.create(self._path("pods"), made)
        except Conflict as error:
            raise Refused(
                f"there is a pod {self._name} already", "remove or rename it there", code="name-taken"
            ) from error
        if not checkpoint:
            _until(self.started, STARTED, f"the pod {self._name} does not start")

    def _refuse_taken(self, owner: Json) -> None:
        """Try to make its owner: whatever is in the way is found before anything is touched."""
        path, kind = self._path(PATHS[owner["kind"]], "", APPS), owner["kind"]
        try:
            self._api.create(path, manifests.owners(owner), dryRun="All")
        except Conflict as error:
            name = owner["metadata"]["name"]
            raise Refused(f"there is a {kind} {name} already", f"remove it there: kubectl delete {kind} {name}",
                          code="name-taken") from error  # fmt: skip

    def _need_account(self, name: str) -> None:
        try:
            self._api.get(self._path("serviceaccounts", name))
        except NotFound as error:
            fix = f"create it there, with its roles: kubectl create serviceaccount {name} -n {self._namespace}"
            raise Refused(f"there is no service account {name}", fix, code="no-account") from error

    def _carry(self, resource: str, found: Json, migration: str) -> None:
        """Make a ConfigMap, Secret or claim, unless the same is there."""
        name = found["metadata"]["name"]
        made = manifests.bare(found, ("name", "labels"))
        if resource == "persistentvolumeclaims":
            classes = self._api.get("/apis/storage.k8s.io/v1/storageclasses")["items"]
            made = manifests.claim(found, [each["metadata"]["name"] for each in classes])
        made["metadata"]["labels"] = {**made["metadata"].get("labels", {}), MARK: migration}
        try:
            self._api.create(self._path(resource), made)
        except Conflict as error:
            there = self._api.get(self._path(resource, name))
            if resource == "persistentvolumeclaims":
                fix = f"look into it, then remove it there: kubectl delete pvc {name}"
                what = f"there is a volume claim {name} already; its data would be overwritten"
                raise Refused(what, fix, code="volume-taken") from error
            if any(there.get(key) != found.get(key) for key in ("data", "binaryData")):
                what = f"{resource[:-1]} {name} is there already, with other contents"
                raise Refused(what, "make both the same, or remove it there", code="not-identical") from error

    def started(self) -> bool:
        """Whether its container runs. Raises CommandFailed with the words of whoever cannot make it."""
        status = self.read().get("status") or {}
        words = next((each["message"] for each in status.get("conditions") or () if _refused(each)), "")
        self._homeless = (self._homeless or time.monotonic()) if words else 0.0
        if words and time.monotonic() - self._homeless > HOMELESS:
            raise CommandFailed(f"no node takes the pod {self._name}: {words}", code="unschedulable")
        container: Json = (status.get("containerStatuses") or [{}])[0]
        state: Json = container.get("state") or {}
        ends = [((container.get(key) or {}).get("terminated") or {}).get("message") for key in ("state", "lastState")]
        ended = next(filter(None, ends), "")
        if status.get("phase") in ("Failed", "Succeeded"):
            words = status.get("message") or ended or status.get("reason") or "its container ended"
            raise CommandFailed(f"the pod {self._name} does not start: {words}", code="not-started")
        waiting = state.get("waiting") or {}
        if waiting.get("reason") in HOPELESS:
            words = f"{waiting['reason']}: {ended or waiting.get('message') or 'no words'}"
            raise CommandFailed(f"the pod {self._name} does not start: {words}", code="not-started")
        return bool(state.get("running"))

    def reserved(self) -> str:
        """The migration that it was made for; "" when it is nobody's, or not there."""
        try:
            return str((self.read()["metadata"].get("labels") or {}).get(MARK, ""))
        except NotFound:
            return ""

    def discard(self, migration: str) -> None:
        """Remove whatever is marked as this migration's."""
        with contextlib.suppress(NotFound):  # it has just gone
            pod = self.read()
            if (pod["metadata"].get("labels") or {}).get(MARK) == migration:
                self._end(pod)
        for resource in CARRIED:
            for each in self._api.get(self._path(resource), labelSelector=f"{MARK}={migration}")["items"]:
                self._api.delete(self._path(resource, each["metadata"]["name"]))

    def lead(self) -> None:
        """It has the labels of the service from now on, and starts as usual if it has to start again."""
        notes = self.read()["metadata"].get("annotations") or {}
        labels = json.loads(notes.get(LABELS, "{}"))
        self._api.patch(self.path, {"metadata": {"labels": labels, "annotations": {PASSIVE: ""}}})

    def settle(self, found: Json) -> None:
        """Make its owners, which take it over; take the marks away."""
        for owner in found["owners"]:
            self._adopt(owner)
        mark = self.reserved()
        for resource in CARRIED if mark else ():
            for each in self._api.get(self._path(resource), labelSelector=f"{MARK}={mark}")["items"]:
                path = self._path(resource, each["metadata"]["name"])
                self._api.patch(path, {"metadata": {"labels": {MARK: None}}})
        notes = {LABELS: None, PASSIVE: None, ADDRESS: None}
        self._api.patch(self.path, {"metadata": {"labels": {MARK: None}, "annotations": notes}})

    def _adopt(self, owner: Json) -> None:
        """Make one owner of the chain. A controller takes over what has its labels instead of making another one."""
        made = manifests.owners(owner)
        path = self._path(PATHS[owner["kind"]], "", APPS)
        strategy = made["spec"].get("updateStrategy")
        if owner["kind"] == "StatefulSet":  # it would remove a pod of another revision: ours is told its name first
            made["spec"]["updateStrategy"] = {"type": "OnDelete"}
        with contextlib.suppress(Conflict):  # of an attempt that was cut off
            self._api.create(path, made)
        own = self._owner_path(owner)
        if owner["kind"] == "StatefulSet":
            _until(lambda: bool(self._api.get(own).get("status", {}).get("updateRevision")), SETTLED, "no revision")
            revision = self._api.get(own)["status"]["updateRevision"]
            self._api.patch(self.path, {"metadata": {"labels": {HASH: revision}}})
            self._api.patch(own, {"spec": {"updateStrategy": strategy}})
        if owner["kind"] == "Deployment":
            return  # it takes over the ReplicaSet, which has the pod
        kind = owner["kind"]
        what = f"the new {kind} does not take the pod over"
        _until(lambda: controller(self.read()["metadata"]).get("kind") == kind, SETTLED, what)

    def checkpoint(self, within: float) -> None:
        """Have the kubelet checkpoint its container; the request lasts as long as that does."""
        pod = self.read()
        where = f"{self._namespace}/{self._name}/{pod['spec']['containers'][0]['name']}"
        path = f"{CORE}/nodes/{pod['spec']['nodeName']}/proxy/checkpoint/{where}?timeout={within:.0f}"
        self._api.create(path, {}, timeout=within)

    def note_address(self, address: str) -> None:
        """Its address, which the kubelet tells of only when it runs."""
        self._api.patch(self.path, {"metadata": {"annotations": {ADDRESS: address}}})

    def address(self) -> str:
        """Its own address; "" while it has none."""
        found = self.read()
        noted = (found["metadata"].get("annotations") or {}).get(ADDRESS)
        return str(found.get("status", {}).get("podIP") or noted or "")

    def container(self) -> str:
        """The id of its container, as its node knows it; "" while it has none."""
        status = (self.read().get("status", {}).get("containerStatuses") or [{}])[0]
        return str(status.get("containerID") or "").rpartition("/")[2]

    def identity(self) -> dict[str, str]:
        """What must not change while it is moved."""
        pod = self.read()
        meta, container = pod["metadata"], (pod.get("status", {}).get("containerStatuses") or [{}])[0]
        running = (container.get("state") or {}).get("running") or {}
        return {
            "created": str(int(instant(running.get("startedAt")))),
            "the pod itself": str(meta["uid"]),
            "its deletion": str(meta.get("deletionTimestamp") or ""),
            "its container": str(container.get("containerID") or ""),
        }


def _refused(condition: Json) -> bool:
    """Whether a pod's condition says that no node takes it."""
    return bool(condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable")


def _until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for it. Raises TimedOut."""
    end, pause = time.monotonic() + seconds, 0.02
    while not condition():
        if time.monotonic() > end:
            raise TimedOut(f"{what} within {seconds:g} s", "see its events: kubectl describe")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def packed(found: Json) -> Sequence[str]:
    """As ``particulars`` of an orchestrator are: texts."""
    return (json.dumps(found),)


def unpacked(particulars: Sequence[str]) -> Any:
    """The reverse."""
    return json.loads(particulars[0])
