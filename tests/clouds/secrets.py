"""What a client of the local clouds needs: a CA, and credentials of every kind. Made once per server, in a folder."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.clouds.machines import PROJECT, TENANT

CLIENT = "c11e0000-0000-4000-8000-000000000001"
CLIENT_SECRET = "local~secret"
REFRESH = "1//local-refresh-token"
USER_CLIENT = "764086051850-local.apps.googleusercontent.com"
USER_SECRET = "d-local"
FEDERATED = "local-federated-token."
ACCOUNT = f"lab@{PROJECT}.iam.gserviceaccount.com"

NAMES = (
    "localhost",
    "127.0.0.1",
    "login.microsoftonline.com",
    "management.azure.com",
    "oauth2.googleapis.com",
    "sts.googleapis.com",
    "www.googleapis.com",
    "compute.googleapis.com",
    "container.googleapis.com",
)
"""What its certificate is for."""


@dataclass(frozen=True)
class Folder:
    """The files, by what they are."""

    path: Path

    @property
    def authority(self) -> Path:
        """The CA's certificate."""
        return self.path / "ca.pem"

    @property
    def certificate(self) -> Path:
        """The server's, with its key."""
        return self.path / "server.pem"

    @property
    def service_account(self) -> Path:
        """Google's key file."""
        return self.path / "service-account.json"

    @property
    def user(self) -> Path:
        """As ``gcloud auth application-default login`` leaves it."""
        return self.path / "application_default_credentials.json"

    @property
    def federated(self) -> Path:
        """What Kubernetes gives a pod for Azure's workload identity."""
        return self.path / "federated-token"

    @property
    def external_account(self) -> Path:
        """Google's workload identity federation: who brings the pod's token gets one of Google's."""
        return self.path / "external-account.json"

    @property
    def control(self) -> Path:
        """The server's control socket."""
        return self.path / "control.sock"


def make(folder: Folder, token_uri: str) -> str:
    """Write all files; returns the service account's public key (PEM)."""
    authority = trustme.CA(organization_name="umsui's local cloud")
    authority.cert_pem.write_to_path(folder.authority)
    authority.issue_cert(*NAMES).private_key_and_cert_chain_pem.write_to_path(folder.certificate)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    folder.service_account.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": "local",
                "private_key": private.decode(),
                "client_email": ACCOUNT,
                "client_id": "100000000000000000001",
                "auth_uri": "https://accounts.google.com/o/oauth2/auth",
                "token_uri": token_uri,
                "universe_domain": "googleapis.com",
            }
        )
    )
    folder.user.write_text(
        json.dumps(
            {
                "type": "authorized_user",
                "client_id": USER_CLIENT,
                "client_secret": USER_SECRET,
                "refresh_token": REFRESH,
                "quota_project_id": PROJECT,
                "universe_domain": "googleapis.com",
                "account": "",
                "token_uri": token_uri,
            }
        )
    )
    folder.federated.write_text(FEDERATED + TENANT)
    folder.external_account.write_text(json.dumps(_external_account(folder, token_uri)))
    return public.decode()


def _external_account(folder: Folder, token_uri: str) -> dict[str, Any]:
    pool = "projects/314159265358/locations/global/workloadIdentityPools/lab/providers/lab"
    return {
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{pool}",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": token_uri.replace("oauth2", "sts").replace("/token", "/v1/token"),
        "credential_source": {"file": str(folder.federated)},
        "universe_domain": "googleapis.com",
    }


def listen(address: str, port: int) -> socket.socket:
    """A listening socket."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind((address, port))
    found.listen(256)
    return found
