"""Microsoft Entra: what azure-identity asks for a token, and a virtual machine's own endpoint (IMDS)."""

from __future__ import annotations

import json
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.clouds.machines import TENANT
from tests.clouds.refusals import Refused, entra
from tests.clouds.secrets import CLIENT, CLIENT_SECRET, FEDERATED, REFRESH
from tests.clouds.serving import form, route
from tests.clouds.world import World

KNOWN_TENANTS = {TENANT, "common", "organizations"}


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers['host']}"


def _tenant(request: Request) -> str:
    tenant = str(request.path_params["tenant"])
    if tenant not in KNOWN_TENANTS:
        raise Refused(entra("invalid_tenant"))
    return tenant


def _discovery(world: World, request: Request) -> Response:
    host = request.headers["host"]
    known = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
    endpoint = f"{_origin(request)}/{TENANT}/v2.0/.well-known/openid-configuration"
    return JSONResponse({"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": [known]})


def _openid(world: World, request: Request) -> Response:
    root = f"{_origin(request)}/{_tenant(request)}"
    return JSONResponse(
        {
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": f"{root}/discovery/v2.0/keys",
            "issuer": f"{_origin(request)}/{TENANT}/v2.0",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{root}/oauth2/v2.0/devicecode",
            "end_session_endpoint": f"{root}/oauth2/v2.0/logout",
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
        }
    )


async def _token(world: World, request: Request) -> Response:
    _tenant(request)
    fields = await form(request)
    grant = fields.get("grant_type")
    if fields.get("client_id") != CLIENT:
        return entra("unauthorized_client")
    if grant == "client_credentials":
        if world.azure.tokens.closed:
            return entra("expired_secret")
        federated = fields.get("client_assertion", "").startswith(FEDERATED)
        if fields.get("client_secret") != CLIENT_SECRET and not federated:
            return entra("invalid_client")
    elif grant != "refresh_token" or fields.get("refresh_token") != REFRESH or world.azure.tokens.closed:
        return entra("invalid_grant")
    audience = fields.get("scope", "").split()[0].removesuffix("/.default")
    capabilities = json.loads(fields.get("claims", "{}")).get("access_token", {}).get("xms_cc", {}).get("values", [])
    tokens = world.azure.tokens
    lifetime = int(tokens.lifetime)
    text = tokens.issue(audience, continuous="CP1" in capabilities)
    return JSONResponse(
        {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": text}
    )


def _managed_identity(world: World, request: Request) -> Response:
    if request.headers.get("Metadata", "").lower() != "true":
        return JSONResponse({"error": "invalid_request", "error_description": "Required metadata header not set"}, 400)
    resource = request.query_params.get("resource", "")
    if not resource:
        return JSONResponse({"error": "invalid_request", "error_description": "Identity not found"}, 400)
    tokens = world.azure.tokens
    return JSONResponse(
        {
            "access_token": tokens.issue(resource),
            "client_id": CLIENT,
            "expires_in": str(int(tokens.lifetime)),
            "expires_on": str(int(time.time() + tokens.lifetime)),
            "ext_expires_in": str(int(tokens.lifetime)),
            "not_before": str(int(time.time())),
            "resource": resource,
            "token_type": "Bearer",
        }
    )


ROUTES: list[Route] = [
    route("/common/discovery/instance", "entra.discovery", _discovery),
    route("/{tenant}/v2.0/.well-known/openid-configuration", "entra.openid", _openid),
    route("/{tenant}/oauth2/v2.0/token", "entra.token", _token, methods=["POST"]),
]
MACHINE_ROUTES: list[Route] = [route("/metadata/identity/oauth2/token", "imds.token", _managed_identity)]
"""What 169.254.169.254 serves inside a machine of Azure's."""
