"""A cluster's nodes and pods, listed once and then followed: a thread a kind of object and namespace.

Each list is read page by page, then watched from its version on. A watch that ends or breaks is taken up where it was;
only when the API no longer knows that version (410 Gone), the list is read again. Of a pod no more is kept than what
the board shows.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from backends.orchestrators import kubernetes_pods as pods
from backends.orchestrators.kubernetes_api import Api, Gone
from umsui.adapters import Seen
from umsui.errors import Forbidden, NotLoggedIn, UmsuiError, Unreachable
from umsui.model import ClusterState, Node

log = logging.getLogger(__name__)

WATCH = 240  # seconds after which the API ends a watch; it is then taken up again
SILENCE = 90.0  # seconds of silence of a watch: bookmarks come each minute
PULSE = 5.0  # seconds between two looks whether the API answers at all
GAP = 0.2  # seconds at least between two tellings: a large cluster changes all the time
STOPPING = 1.0  # seconds until ``stop`` is noticed
AGAIN = 0.5  # seconds until a watch that broke is taken up again

Found = Mapping[str, Any]


class Follower:
    """One kind of object, in one namespace or all: what there is, by uid, as ``shape`` makes it."""

    def __init__(self, api: Api, path: str, shape: Callable[[Found], Any], news: Callable[[], None]) -> None:
        self.objects: dict[str, Any] = {}
        self.listed = threading.Event()  # the first list has ended, well or not
        self.trouble: UmsuiError | None = None
        self._api, self._path, self._shape, self._news = api, path, shape, news
        self._answer: Any = None
        self._stopped = False

    def run(self) -> None:
        """Follow until ``stop``, or until we are not let in."""
        version = ""
        while not self._stopped:
            try:
                version = self._watch(version) if version else self._list()
                self.trouble = None
            except Gone:
                version = ""
            except Unreachable as error:
                self.trouble = error
                self.listed.set()
                self._news()
                if isinstance(error, (Forbidden, NotLoggedIn)):
                    return
                time.sleep(AGAIN)
            except Exception as error:  # whatever it is, somebody must hear of it
                if self._stopped:
                    return  # the connection was closed under it
                log.exception("%s", self._path)
                self.trouble = Unreachable(f"a fault of umsui: {error!r}", "please report it", code="fault")
                self.listed.set()
                self._news()
                return

    def stop(self) -> None:
        """Follow no more."""
        self._stopped = True
        if self._answer is not None:
            with contextlib.suppress(Exception):  # it may have ended by itself
                self._answer.shutdown()  # ``close`` would wait for whoever reads

    def _list(self) -> str:
        """Read all; answers the version to watch from."""
        fresh: dict[str, Any] = {}
        version = ""
        for page in self._api.pages(self._path):
            fresh |= {str(each["metadata"]["uid"]): self._shape(each) for each in page["items"]}
            version = str(page["metadata"]["resourceVersion"])
        self.objects = fresh
        self.listed.set()
        self._news()
        return version

    def _watch(self, version: str) -> str:
        """Follow from ``version`` on, until the API ends it; answers how far it came. Raises Gone."""
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": WATCH, "resourceVersion": version}
        try:
            for line in self._api.lines(self._path, SILENCE, self._opened, **query):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    _raise(event["object"])
                meta = event["object"]["metadata"]
                version = str(meta["resourceVersion"])
                if event["type"] == "BOOKMARK":
                    continue
                changed = dict(self.objects)  # replaced, never changed: others read it meanwhile
                if event["type"] == "DELETED":
                    changed.pop(str(meta["uid"]), None)
                else:
                    changed[str(meta["uid"])] = self._shape(event["object"])
                self.objects = changed
                self._news()
        except Unreachable as error:
            if isinstance(error, (Forbidden, NotLoggedIn)) or self._stopped:
                raise
            time.sleep(AGAIN)  # the board's pulse tells whether it is more than this connection
        return version

    def _opened(self, answer: Any) -> None:
        self._answer = answer


def _raise(status: Found) -> None:
    """An error in the middle of a watch."""
    words = str(status.get("message") or status)
    if status.get("code") == 410:
        raise Gone(words)
    raise Unreachable(f"the API ended a watch: {words}")


class Board:
    """All that the credentials may see of one cluster. Raises Unreachable and its kinds."""

    def __init__(self, api: Api, cluster: str, namespaces: tuple[str, ...]) -> None:
        self._api, self._cluster, self._wanted = api, cluster, namespaces
        self._change = threading.Condition()
        self._dirty = False
        self._lacking: list[UmsuiError] = []

    def follow(self, tell: Callable[[Seen], None], stop: threading.Event) -> None:
        """Tell what there is, now and whenever it changes. Ends with ``stop``, or with what is wrong."""
        self._lacking = []
        default = self._api.namespace
        namespaces = self._namespaces(default)
        paths = [f"/api/v1/namespaces/{each}/pods" if each else "/api/v1/pods" for each in namespaces]

        def shape(found: Found) -> pods.Pod:
            return pods.pod(found, self._cluster, default)

        nodes = Follower(self._api, "/api/v1/nodes", pods.slim_node, self._news) if self._sees_nodes() else None
        followers = [Follower(self._api, path, shape, self._news) for path in paths]
        everything = [*followers, *([nodes] if nodes is not None else [])]
        for each in everything:
            threading.Thread(target=each.run, name=f"{self._cluster} follower", daemon=True).start()
        try:
            self._tell(tell, nodes, followers, stop)
        finally:
            for each in everything:
                each.stop()

    def _news(self) -> None:
        with self._change:
            self._dirty = True
            self._change.notify_all()

    def _tell(
        self, tell: Callable[[Seen], None], nodes: Follower | None, followers: list[Follower], stop: threading.Event
    ) -> None:
        everything = [*followers, *([nodes] if nodes is not None else [])]
        due = time.monotonic() + PULSE
        while not stop.is_set():
            with self._change:
                self._change.wait_for(
                    lambda: self._dirty or stop.is_set(), min(STOPPING, max(0.0, due - time.monotonic()))
                )
                news, self._dirty = self._dirty, False
            for each in everything:
                if each.trouble is not None:
                    raise each.trouble
            if news and all(each.listed.is_set() for each in everything):
                tell(self._seen(nodes, followers))
                stop.wait(GAP)
            if time.monotonic() >= due:
                self._api.get("/version")
                due = time.monotonic() + PULSE

    def _seen(self, nodes: Follower | None, followers: list[Follower]) -> Seen:
        found = [each for follower in followers for each in follower.objects.values()]
        taken: dict[str, int] = {}
        for each in found:
            taken[each.service.node] = taken.get(each.service.node, 0) + each.requested
        if nodes is not None:
            known = [(each, taken.get(each["metadata"]["name"], 0)) for each in nodes.objects.values()]
            listed = [pods.node(each, self._cluster, reserved) for each, reserved in known]
        else:  # all we know of them is that pods are there
            listed = [Node(self._cluster, name, "", ClusterState.LIVE) for name in taken if name]
        return Seen(
            nodes=tuple(sorted(listed, key=lambda node: node.name)),
            services=tuple(each.service for each in found),
            lacking=tuple(error.message for error in self._lacking),
            fix=self._lacking[0].fix if self._lacking else "",
        )

    # -- what the credentials may see -------------------------------------------------------------------------------

    def _namespaces(self, default: str) -> list[str]:
        """Those to list pods of; "" is all. Those that we may not look into are noted, if there is one that we may."""
        wanted = list(self._wanted) or [""]
        allowed = [each for each in wanted if self._may_list(each)]
        if not allowed and not self._wanted and self._may_list(default):
            allowed = [default]
        if not allowed:
            raise self._lacking[-1]
        return allowed

    def _may_list(self, namespace: str) -> bool:
        path = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
        return self._allowed(path)

    def _sees_nodes(self) -> bool:
        return self._allowed("/api/v1/nodes")

    def _allowed(self, path: str) -> bool:
        """The API's own answer to the shortest list there is."""
        try:
            self._api.get(path, limit=1)
        except Forbidden as error:
            self._lacking.append(error)
            return False
        return True
