"""Google's OAuth token endpoint, and the metadata server that a virtual machine of Google's asks."""

from __future__ import annotations

from typing import Any

from google.auth import exceptions, jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.clouds.machines import PROJECT, PROJECT_NUMBER
from tests.clouds.refusals import refuse
from tests.clouds.secrets import ACCOUNT, FEDERATED, REFRESH, USER_CLIENT, USER_SECRET
from tests.clouds.serving import form, route
from tests.clouds.world import World

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ACCOUNT_PATH = "/computeMetadata/v1/instance/service-accounts"


def assertion(world: World, text: str) -> dict[str, Any] | None:
    """What the service account's key has signed; None when it has not, or no longer."""
    try:
        claims: dict[str, Any] = dict(jwt.decode(text, certs={"local": world.public_key}, clock_skew_in_seconds=10))
    except (ValueError, exceptions.GoogleAuthError):
        return None
    return claims if claims.get("iss") == ACCOUNT else None


async def _token(world: World, request: Request) -> Response:
    fields = await form(request)
    grant = fields.get("grant_type")
    if world.google.tokens.closed:
        return refuse("google.token", 400, "")
    if grant == "refresh_token":
        if (fields.get("client_id"), fields.get("client_secret")) != (USER_CLIENT, USER_SECRET):
            return refuse("google.token", 401, "")
        if fields.get("refresh_token") != REFRESH:
            return refuse("google.token", 400, "")
    elif grant == "urn:ietf:params:oauth:grant-type:jwt-bearer":
        claims = assertion(world, fields.get("assertion", ""))
        if claims is None:
            return refuse("google.token", 400, "")
    else:
        return refuse("google.token", 400, "", "unsupported_grant_type")
    return JSONResponse(_fresh(world))


async def _exchange(world: World, request: Request) -> Response:
    """Another issuer's token for one of Google's: workload identity federation."""
    fields = await form(request)
    if world.google.tokens.closed or not fields.get("subject_token", "").startswith(FEDERATED):
        return refuse("google.token", 400, "")
    kind = "urn:ietf:params:oauth:token-type:access_token"
    return JSONResponse({**_fresh(world), "issued_token_type": kind})


def _fresh(world: World) -> dict[str, Any]:
    tokens = world.google.tokens
    return {
        "access_token": tokens.issue(SCOPE),
        "expires_in": int(tokens.lifetime),
        "scope": SCOPE,
        "token_type": "Bearer",
    }


def _metadata(world: World, request: Request) -> Response:
    flavor = {"Metadata-Flavor": "Google"}
    path = request.url.path.removesuffix("/")
    if path == "":
        return PlainTextResponse("computeMetadata/\n", headers=flavor)
    if request.headers.get("Metadata-Flavor") != "Google":
        return PlainTextResponse("Missing Metadata-Flavor:Google header.\n", 403, flavor)
    account = {"aliases": ["default"], "email": ACCOUNT, "scopes": [SCOPE]}
    found: dict[str, Any] = {
        "/computeMetadata/v1/project/project-id": PROJECT,
        "/computeMetadata/v1/project/numeric-project-id": PROJECT_NUMBER,
        "/computeMetadata/v1/universe/universe-domain": "googleapis.com",
        f"{ACCOUNT_PATH}/default": account,
        f"{ACCOUNT_PATH}/default/email": ACCOUNT,
        f"{ACCOUNT_PATH}/{ACCOUNT}": account,
    }
    if path in (f"{ACCOUNT_PATH}/default/token", f"{ACCOUNT_PATH}/{ACCOUNT}/token"):
        return JSONResponse(_fresh(world), headers=flavor)
    if path not in found:
        return PlainTextResponse("not found\n", 404, flavor)
    text = found[path]
    return PlainTextResponse(text, headers=flavor) if isinstance(text, str) else JSONResponse(text, headers=flavor)


def _metadata_kind(request: Request) -> str:
    path = request.url.path.removesuffix("/")
    return "metadata.token" if path.endswith("/token") else "metadata.ping" if path == "" else "metadata.read"


ROUTES: list[Route] = [
    route("/token", "google.token", _token, methods=["POST"]),
    route("/v1/token", "google.exchange", _exchange, methods=["POST"]),
]
MACHINE_ROUTES: list[Route] = [
    route("/", _metadata_kind, _metadata),
    route("/computeMetadata/{rest:path}", _metadata_kind, _metadata),
]
"""What 169.254.169.254 serves inside a machine of Google's."""
