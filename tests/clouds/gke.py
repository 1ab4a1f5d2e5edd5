"""Google Kubernetes Engine, version 1, as JSON over HTTP (``transport="rest"``)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.clouds import google_json
from tests.clouds.gce import answer, fleet, guard
from tests.clouds.refusals import google
from tests.clouds.serving import route
from tests.clouds.world import World


def _clusters(world: World, request: Request) -> Response:
    found, place = fleet(world, request), request.path_params["place"]
    chosen = [each for each in found.clusters if place in ("-", each.place)]
    return answer({"clusters": [google_json.cluster(found.account, each) for each in chosen]} if chosen else {})


def _cluster(world: World, request: Request) -> Response:
    found, name = fleet(world, request), request.path_params["name"]
    for each in found.clusters:
        if (each.place, each.name) == (request.path_params["place"], name):
            return answer(google_json.cluster(found.account, each))
    return google(404, f"Not found: projects/{found.account}/clusters/{name}.", "notFound", "NOT_FOUND")


CLUSTERS = "/v1/projects/{project}/locations/{place}/clusters"
ROUTES: list[Route] = [
    route(CLUSTERS, "gke.clusters.list", _clusters, guard),
    route(CLUSTERS + "/{name}", "gke.clusters.get", _cluster, guard),
]
