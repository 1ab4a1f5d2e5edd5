"""How each cloud says no: status, headers and body as the real ones send them."""

from __future__ import annotations

import base64
from typing import Any

from starlette.responses import JSONResponse, Response

from tests.clouds.machines import PROJECT_NUMBER, TENANT

PERMISSIONS = {
    "arm.subscription": "Microsoft.Resources/subscriptions/read",
    "arm.groups.list": "Microsoft.Resources/subscriptions/resourceGroups/read",
    "arm.vms.list": "Microsoft.Compute/virtualMachines/read",
    "arm.vms.status": "Microsoft.Compute/virtualMachines/read",
    "arm.vms.get": "Microsoft.Compute/virtualMachines/read",
    "arm.vms.view": "Microsoft.Compute/virtualMachines/instanceView/read",
    "arm.vms.start": "Microsoft.Compute/virtualMachines/start/action",
    "arm.vms.deallocate": "Microsoft.Compute/virtualMachines/deallocate/action",
    "arm.vms.powerOff": "Microsoft.Compute/virtualMachines/powerOff/action",
    "arm.operation": "Microsoft.Compute/locations/operations/read",
    "arm.skus.list": "Microsoft.Compute/skus/read",
    "arm.sizes.list": "Microsoft.Compute/locations/vmSizes/read",
    "arm.nics.list": "Microsoft.Network/networkInterfaces/read",
    "arm.ips.list": "Microsoft.Network/publicIPAddresses/read",
    "arm.aks.list": "Microsoft.ContainerService/managedClusters/read",
    "arm.aks.get": "Microsoft.ContainerService/managedClusters/read",
    "arm.aks.user": "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action",
    "arm.aks.admin": "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action",
    "gce.project": "compute.projects.get",
    "gce.zones.list": "compute.zones.list",
    "gce.instances.aggregated": "compute.instances.list",
    "gce.instances.list": "compute.instances.list",
    "gce.instances.get": "compute.instances.get",
    "gce.instances.start": "compute.instances.start",
    "gce.instances.stop": "compute.instances.stop",
    "gce.types.aggregated": "compute.machineTypes.list",
    "gce.types.get": "compute.machineTypes.get",
    "gce.types.list": "compute.machineTypes.list",
    "gce.operation": "compute.zoneOperations.get",
    "gce.operation.wait": "compute.zoneOperations.get",
    "gke.clusters.list": "container.clusters.list",
    "gke.clusters.get": "container.clusters.get",
}
"""Kind of request -> the permission that it needs."""


class Refused(Exception):
    """The request is answered with no."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def refuse(kind: str, status: int, scope: str, reason: str = "", retry_after: str | None = None) -> Response:
    """A no of this status for this kind of request; ``scope`` is the subscription or project."""
    make = {"entra": _entra, "arm": _arm, "imds": _entra, "google": _token}.get(kind.split(".", maxsplit=1)[0], _google)
    response = make(kind, status, scope, reason)
    if retry_after is not None:
        response.headers["Retry-After"] = retry_after
    return response


def arm(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    """Azure Resource Manager's."""
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


def _arm(kind: str, status: int, scope: str, reason: str) -> Response:
    where = f"/subscriptions/{scope}"
    action = PERMISSIONS.get(kind, "Microsoft.Compute/virtualMachines/read")
    words = {
        400: ("BadRequest", "The request is not valid."),
        401: ("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time."),
        403: (
            "AuthorizationFailed",
            f"The client 'lab' with object id '{TENANT}' does not have authorization to perform action '{action}' "
            f"over scope '{where}' or the scope is invalid. If access was recently granted, please refresh your "
            "credentials.",
        ),
        404: ("SubscriptionNotFound", f"The subscription '{scope}' could not be found."),
        409: ("Conflict", "The request failed due to conflict with a concurrent request."),
        429: (
            "TooManyRequests",
            "The request is being throttled as the limit has been reached for operation type - HighCostGet.",
        ),
        500: ("InternalServerError", "An internal error occurred."),
        503: ("ServiceUnavailable", "The service is temporarily unavailable."),
    }
    code, message = words.get(status, ("Error", "It did not work."))
    message = "The access token is invalid." if reason == "InvalidAuthenticationToken" else message
    headers = {"WWW-Authenticate": bearer()} if status == 401 else {}
    if status == 429:
        headers["x-ms-ratelimit-remaining-resource"] = "Microsoft.Compute/HighCostGet;0"
    return arm(status, reason or code, message, headers)


def bearer(claims: str = "") -> str:
    """ARM's WWW-Authenticate; with ``claims``, the challenge that tells a client to get a new token now."""
    if claims:
        packed = base64.b64encode(claims.encode()).decode()
        uri = "https://login.microsoftonline.com/common/oauth2/authorize"
        return f'Bearer realm="", authorization_uri="{uri}", error="insufficient_claims", claims="{packed}"'
    uri = f"https://login.microsoftonline.com/{TENANT}"
    return f'Bearer authorization_uri="{uri}", error="invalid_token", error_description="The token is not valid."'


def google(
    status: int, message: str, reason: str, canonical: str, details: list[dict[str, Any]] | None = None
) -> Response:
    """A Google API's."""
    error: dict[str, Any] = {
        "code": status,
        "message": message,
        "errors": [{"message": message, "domain": "global", "reason": reason}],
        "status": canonical,
    }
    if details:
        error["details"] = details
    headers = {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'} if status == 401 else None
    return JSONResponse({"error": error}, status, headers)


def _google(kind: str, status: int, scope: str, reason: str) -> Response:
    if status == 403 and reason == "rateLimitExceeded":
        return _over_quota(scope)
    permission = PERMISSIONS.get(kind, "compute.instances.list")
    words = {
        400: ("The request is not valid.", "badRequest", "INVALID_ARGUMENT"),
        401: ("Request had invalid authentication credentials.", "authError", "UNAUTHENTICATED"),
        403: (f"Required '{permission}' permission for 'projects/{scope}'", "forbidden", "PERMISSION_DENIED"),
        404: (f"The resource 'projects/{scope}' was not found", "notFound", "NOT_FOUND"),
        409: ("The resource is being used by another operation.", "conflict", "ABORTED"),
        429: ("Too many requests.", "rateLimitExceeded", "RESOURCE_EXHAUSTED"),
        500: ("Internal error. Please try again.", "internalError", "INTERNAL"),
        503: ("The service is currently unavailable.", "backendError", "UNAVAILABLE"),
    }
    message, word, canonical = words.get(status, ("It did not work.", "unknown", "UNKNOWN"))
    return google(status, message, reason or word, canonical)


def _over_quota(scope: str) -> Response:
    limit = "List requests per minute"
    message = (
        f"Quota exceeded for quota metric 'List requests' and limit '{limit}' of service 'compute.googleapis.com' "
        f"for consumer 'project_number:{PROJECT_NUMBER}'."
    )
    detail = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
        "domain": "googleapis.com",
        "metadata": {
            "service": "compute.googleapis.com",
            "consumer": f"projects/{PROJECT_NUMBER}",
            "quota_metric": "compute.googleapis.com/list_requests",
            "quota_limit": "ListRequestsPerMinutePerProject",
            "quota_limit_value": "1500",
        },
    }
    return google(403, message, "rateLimitExceeded", "PERMISSION_DENIED", [detail])


ENTRA = {
    "invalid_grant": (
        400,
        50173,
        "The provided grant has expired due to it being revoked, a fresh auth token is needed.",
    ),
    "expired_secret": (401, 7000222, "The provided client secret keys for app are expired."),
    "invalid_client": (401, 7000215, "Invalid client secret provided."),
    "unauthorized_client": (400, 700016, "Application was not found in the directory."),
    "invalid_tenant": (400, 90002, f"Tenant '{TENANT}' not found."),
    "temporarily_unavailable": (503, 90033, "A transient error has occurred. Please try again."),
}


def _entra(kind: str, status: int, scope: str, reason: str) -> Response:
    usual = {401: "invalid_client", 400: "invalid_grant"}.get(status, "temporarily_unavailable")
    _, number, message = ENTRA[reason or usual]
    word = {"expired_secret": "invalid_client", "invalid_tenant": "invalid_request"}.get(reason, reason or usual)
    return JSONResponse(
        {
            "error": word,
            "error_description": f"AADSTS{number}: {message} Trace ID: 0 Correlation ID: 0 Timestamp: 0",
            "error_codes": [number],
            "trace_id": TENANT,
            "correlation_id": TENANT,
            "error_uri": f"https://login.microsoftonline.com/error?code={number}",
        },
        status,
    )


def entra(reason: str) -> Response:
    """Entra's, by its reason."""
    return _entra("entra.token", ENTRA[reason][0], "", reason)


def _token(kind: str, status: int, scope: str, reason: str) -> Response:
    usual = {400: "invalid_grant", 401: "invalid_client"}.get(status, "internal_failure")
    words = {
        "invalid_grant": "Token has been expired or revoked.",
        "invalid_client": "The OAuth client was not found.",
        "invalid_scope": "Some requested scopes were invalid.",
        "unsupported_grant_type": "Invalid grant_type",
    }
    word = reason or usual
    return JSONResponse({"error": word, "error_description": words.get(word, "It did not work.")}, status)
