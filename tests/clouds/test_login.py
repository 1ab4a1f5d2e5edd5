"""Every way of logging in that the SDKs have, against the local token endpoints."""

from __future__ import annotations

import google.auth
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    ClientSecretCredential,
    DefaultAzureCredential,
    WorkloadIdentityCredential,
)
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.oauth2 import credentials, service_account

from tests.clouds import bare
from tests.clouds.google_login import SCOPE
from tests.clouds.local import LocalCloud
from tests.clouds.machines import PROJECT, TENANT
from tests.clouds.secrets import ACCOUNT, CLIENT, CLIENT_SECRET, REFRESH, USER_CLIENT, USER_SECRET


def test_azure_discovers_its_authority(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", cloud.url)
    DefaultAzureCredential(disable_instance_discovery=True).get_token(*bare.SCOPES)
    counts = cloud.counts()
    assert counts["entra.openid"] == counts["entra.token"] == 1


def test_azure_wrong_secret(cloud: LocalCloud) -> None:
    wrong = ClientSecretCredential(TENANT, CLIENT, "x", authority=cloud.url, disable_instance_discovery=True)
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        wrong.get_token(*bare.SCOPES)


def test_azure_unknown_tenant(cloud: LocalCloud) -> None:
    tenant = TENANT.replace("7f", "00")
    wrong = ClientSecretCredential(tenant, CLIENT, CLIENT_SECRET, authority=cloud.url, disable_instance_discovery=True)
    with pytest.raises(ClientAuthenticationError, match="check your tenant name"):
        wrong.get_token(*bare.SCOPES)


def test_azure_workload_identity(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = WorkloadIdentityCredential(
        tenant_id=TENANT,
        client_id=CLIENT,
        token_file_path=str(cloud.folder.federated),
        authority=cloud.url,
        disable_instance_discovery=True,
    )
    assert pod.get_token(*bare.SCOPES).token.startswith("azure.")


def test_azure_expired_token(cloud: LocalCloud) -> None:
    cloud.set("azure", lifetime=1)
    client = bare.compute(cloud)
    list(client.virtual_machines.list_all())
    list(client.virtual_machines.list_all())
    assert cloud.counts()["entra.token"] == 2  # one that is about to expire is not used


def test_google_service_account_at_the_token_endpoint(cloud: LocalCloud) -> None:
    found = service_account.Credentials.from_service_account_file(str(cloud.folder.service_account), scopes=[SCOPE])
    found.refresh(Request())
    assert found.token.startswith("google.")
    assert cloud.counts()["google.token"] == 1


def test_google_user(cloud: LocalCloud) -> None:
    found = credentials.Credentials(
        None,
        refresh_token=REFRESH,
        client_id=USER_CLIENT,
        client_secret=USER_SECRET,
        token_uri=f"{cloud.url}/token",
    )
    found.refresh(Request())
    assert found.valid
    cloud.trouble("google.token", status=400)
    with pytest.raises(RefreshError, match="expired or revoked"):
        found.refresh(Request())


def test_google_default_credentials(cloud: LocalCloud) -> None:
    found, project = google.auth.default(scopes=[SCOPE])
    assert project == PROJECT
    assert found.service_account_email == ACCOUNT
