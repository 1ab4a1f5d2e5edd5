"""Azure Resource Manager: Microsoft.Compute, Microsoft.Network, Microsoft.ContainerService."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.clouds import azure_json
from tests.clouds.fleet import Fleet
from tests.clouds.machines import AZURE_LOCATIONS, AZURE_SIZES, Machine
from tests.clouds.pages import Items, compact
from tests.clouds.refusals import Refused, arm, bearer, refuse
from tests.clouds.serving import route
from tests.clouds.world import World

AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net", "https://management.azure.com/")
SKIP = "$skiptoken"
ACTIONS = ("start", "deallocate", "powerOff")
Make = Callable[[str, Machine], Any]


def guard(world: World, request: Request) -> None:
    """Only with a token for ARM, an api-version, and for a subscription that there is. Raises Refused."""
    verdict, token = world.azure.tokens.judge(request.headers.get("Authorization", ""), AUDIENCES)
    if verdict == "missing":
        message = "Authentication failed. The 'Authorization' header is missing."
        raise Refused(arm(401, "AuthenticationFailed", message, {"WWW-Authenticate": bearer()}))
    if verdict == "revoked" and token is not None and token.continuous:
        claims = '{"access_token":{"nbf":{"essential":true, "value":"1700000000"}}}'
        message = "Continuous access evaluation resulted in challenge."
        raise Refused(arm(401, "InvalidAuthenticationToken", message, {"WWW-Authenticate": bearer(claims)}))
    if verdict != "good":
        codes = {"expired": "ExpiredAuthenticationToken", "audience": "InvalidAuthenticationTokenAudience"}
        raise Refused(refuse("arm", 401, "", codes.get(verdict, "InvalidAuthenticationToken")))
    if "api-version" not in request.query_params:
        raise Refused(arm(400, "MissingApiVersionParameter", "The api-version query parameter is required."))
    fleet(world, request)


def fleet(world: World, request: Request) -> Fleet:
    """The subscription that is asked for. Raises Refused."""
    name = str(request.path_params["subscription"]).lower()
    for account, found in world.azure.fleets.items():
        if account.lower() == name:
            return found
    raise Refused(refuse("arm", 404, name))


def answer(content: Any) -> Response:
    """JSON, with ARM's usual headers."""
    body = content if isinstance(content, bytes) else compact(content)
    headers = {"x-ms-ratelimit-remaining-subscription-reads": "11999"}
    return Response(body, media_type="application/json; charset=utf-8", headers=headers)


def _page(request: Request, items: Items) -> Response:
    number = int(request.query_params.get(SKIP, "0"))
    if number >= len(items.pages):
        return arm(400, "InvalidSkipToken", "The provided skip token is invalid.")
    link = b""
    if number + 1 < len(items.pages):
        query = {**request.query_params, SKIP: str(number + 1)}
        url = f"{request.url.scheme}://{request.headers['host']}{request.url.path}?{urlencode(query)}"
        link = b',"nextLink":' + compact(url)
    return answer(b'{"value":[' + items.pages.get(number) + b"]" + link + b"}")


def lister(name: str, make: Make, has: Callable[[Machine], bool]) -> Any:
    """Handles a list of what ``make`` makes of each machine that ``has`` it; of one group, if the path names one."""

    def handle(world: World, request: Request) -> Response:
        found = fleet(world, request)
        kind = "status" if name == "vms" and _status_only(request) else name
        what = azure_json.status if kind == "status" else make
        group = request.path_params.get("group")
        if group is None and has is every:
            return _page(request, found.items(kind, lambda number: what(found.account, found.machines[number])))
        if group is not None and not any(machine.group.lower() == group.lower() for machine in found.machines):
            return arm(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        chosen = [
            machine
            for machine in found.machines
            if has(machine) and (group is None or machine.group.lower() == group.lower())
        ]
        items = Items(len(chosen), found.page, lambda number: what(found.account, chosen[number]))
        return _page(request, items)

    return handle


def every(machine: Machine) -> bool:
    """All machines have it."""
    return True


def _status_only(request: Request) -> bool:
    return request.query_params.get("statusOnly", "").lower() == "true"


def vms_kind(request: Request) -> str:
    """The list of machines and that of their states are counted apart."""
    return "arm.vms.status" if _status_only(request) else "arm.vms.list"


def _machine(world: World, request: Request) -> tuple[Fleet, int]:
    found = fleet(world, request)
    group, name = request.path_params["group"], request.path_params["vm"]
    number = found.in_group(group, name)
    if number is None:
        message = (
            f"The Resource 'Microsoft.Compute/virtualMachines/{name}' under resource group '{group}' was not found."
        )
        raise Refused(arm(404, "ResourceNotFound", message))
    return found, number


def _vm(world: World, request: Request) -> Response:
    found, number = _machine(world, request)
    shown = azure_json.vm(found.account, found.machines[number])
    if request.query_params.get("$expand") == "instanceView":
        shown["properties"]["instanceView"] = azure_json.instance_view(found.machines[number])
    return answer(shown)


def _view(world: World, request: Request) -> Response:
    found, number = _machine(world, request)
    return answer(azure_json.instance_view(found.machines[number]))


def _act(world: World, request: Request) -> Response:
    found, number = _machine(world, request)
    action = next(each for each in ACTIONS if request.url.path.lower().endswith(f"/{each.lower()}"))
    machine = found.machines[number]
    operation = world.azure.operations.begin(action, found.account, number, machine)
    root = f"{request.url.scheme}://{request.headers['host']}/subscriptions/{found.account}"
    url = f"{root}/providers/Microsoft.Compute/locations/{machine.place}/operations/{operation.id}"
    version = request.query_params["api-version"]
    headers = {
        "Azure-AsyncOperation": f"{url}?api-version={version}",
        "Location": f"{url}?monitor=true&api-version={version}",
    }
    return Response(None, 202, {**headers, **_pace(world)})


def _pace(world: World) -> dict[str, str]:
    after = world.azure.operations.retry_after
    return {} if after is None else {"Retry-After": str(after)}


def _operation(world: World, request: Request) -> Response:
    found = world.azure.operations.get(request.path_params["operation"])
    if found is None:
        return arm(404, "NotFound", "The operation was not found.")
    if request.query_params.get("monitor") == "true":
        return Response(None, 202 if found.ended is None else 200, _pace(world))
    shown: dict[str, Any] = {
        "startTime": azure_json.CREATED,
        "status": "InProgress",
        "name": found.id,
    }
    if found.ended is not None:
        shown |= {"endTime": azure_json.CREATED, "status": "Succeeded"}
    if found.error is not None:
        code, message = found.error
        shown["status"] = "Canceled" if code == "OperationPreempted" else "Failed"
        shown["error"] = {"code": code, "message": message}
    return JSONResponse(shown, headers=_pace(world))


def _groups(world: World, request: Request) -> Response:
    found = fleet(world, request)
    places = {machine.group: machine.place for machine in found.machines}
    return answer({"value": [azure_json.group(found.account, name, place) for name, place in sorted(places.items())]})


def _subscription(world: World, request: Request) -> Response:
    account = fleet(world, request).account
    shown = {"id": f"/subscriptions/{account}", "subscriptionId": account, "displayName": "lab", "state": "Enabled"}
    return answer(shown)


def _skus(world: World, request: Request) -> Response:
    wanted = request.query_params.get("$filter", "")
    places = [place for place in AZURE_LOCATIONS if not wanted or f"'{place}'" in wanted]
    return answer({"value": [azure_json.sku(name, place) for place in places for name in AZURE_SIZES]})


def _sizes(world: World, request: Request) -> Response:
    return answer({"value": [azure_json.size(name) for name in AZURE_SIZES]})


def _aks_list(world: World, request: Request) -> Response:
    found, group = fleet(world, request), request.path_params.get("group")
    chosen = [each for each in found.clusters if group is None or each.group.lower() == group.lower()]
    return answer({"value": [azure_json.managed_cluster(found.account, each) for each in chosen]})


def _aks(world: World, request: Request) -> Response:
    found = fleet(world, request)
    group, name = request.path_params["group"].lower(), request.path_params["name"].lower()
    for each in found.clusters:
        if (each.group.lower(), each.name.lower()) == (group, name):
            user = {"listclusterusercredential": "clusterUser", "listclusteradmincredential": "clusterAdmin"}
            what = request.url.path.rpartition("/")[2].lower()
            shown = azure_json.kubeconfig(each, user[what]) if what in user else None
            return answer(shown or azure_json.managed_cluster(found.account, each))
    message = f"The Resource '{azure_json.AKS}/{name}' under resource group '{group}' was not found."
    return arm(404, "ResourceNotFound", message)


def _routes() -> list[Route]:
    root = "/subscriptions/{subscription}"
    compute, network = "/providers/Microsoft.Compute", "/providers/Microsoft.Network"
    group = root + "/resourceGroups/{group}"
    vms, vm = "/virtualMachines", group + compute + "/virtualMachines/{vm}"
    aks = "/providers/Microsoft.ContainerService/managedClusters"
    lists: list[tuple[str, Any, Any]] = [
        (compute + vms, vms_kind, lister("vms", azure_json.vm, every)),
        (network + "/networkInterfaces", "arm.nics.list", lister("nics", azure_json.interface, every)),
        (network + "/publicIPAddresses", "arm.ips.list", lister("ips", azure_json.address, _public)),
        (aks, "arm.aks.list", _aks_list),
    ]
    found = [route(start + path, kind, handle, guard) for path, kind, handle in lists for start in (root, group)]
    return [
        *found,
        route(root, "arm.subscription", _subscription, guard),
        route(root + "/resourcegroups", "arm.groups.list", _groups, guard),
        route(vm, "arm.vms.get", _vm, guard),
        route(vm + "/instanceView", "arm.vms.view", _view, guard),
        *(route(vm + f"/{action}", f"arm.vms.{action}", _act, guard, ["POST"]) for action in ACTIONS),
        route(root + compute + "/locations/{location}/operations/{operation}", "arm.operation", _operation, guard),
        route(root + compute + "/locations/{location}/vmSizes", "arm.sizes.list", _sizes, guard),
        route(root + compute + "/skus", "arm.skus.list", _skus, guard),
        route(group + aks + "/{name}", "arm.aks.get", _aks, guard),
        route(group + aks + "/{name}/listClusterUserCredential", "arm.aks.user", _aks, guard, ["POST"]),
        route(group + aks + "/{name}/listClusterAdminCredential", "arm.aks.admin", _aks, guard, ["POST"]),
    ]


def _public(machine: Machine) -> bool:
    return machine.public is not None


ROUTES: list[Route] = _routes()
