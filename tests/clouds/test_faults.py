"""Faults on demand, as the real SDK clients meet them."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from azure.core import exceptions as azure
from google.api_core import exceptions as google
from google.auth import default
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import compute_v1

from tests.clouds import bare
from tests.clouds.google_login import SCOPE
from tests.clouds.local import LocalCloud
from tests.clouds.machines import PROJECT


def list_azure(cloud: LocalCloud, **more: Any) -> list[Any]:
    return list(bare.compute(cloud, retry_total=0, **more).virtual_machines.list_all())


def list_google(cloud: LocalCloud, project: str = PROJECT, timeout: float = 5.0) -> list[Any]:
    request = compute_v1.AggregatedListInstancesRequest(project=project, max_results=10)
    pager = bare.instances(cloud).aggregated_list(request, timeout=timeout, retry=None)
    return [machine for _, scope in pager for machine in scope.instances]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503])
def test_azure_answers_a_status(cloud: LocalCloud, status: int) -> None:
    cloud.trouble("arm.vms.list", status=status, retry_after="7" if status == 429 else None)
    with pytest.raises(azure.HttpResponseError) as failed:
        list_azure(cloud)
    assert failed.value.status_code == status
    assert failed.value.response is not None
    assert failed.value.response.headers.get("Retry-After") == ("7" if status == 429 else None)
    assert list_azure(cloud) == []  # it was for one request


def test_azure_names_the_permission(cloud: LocalCloud) -> None:
    cloud.trouble("arm.nics.*", status=403)
    with pytest.raises(azure.HttpResponseError, match=r"action 'Microsoft\.Network/networkInterfaces/read'"):
        list(bare.network(cloud).network_interfaces.list_all())


def test_google_answers_a_status(cloud: LocalCloud) -> None:
    for status in (400, 403, 404, 409, 429, 500, 503):
        cloud.trouble("gce.instances.*", status=status)
        with pytest.raises(google.GoogleAPICallError) as failed:
            list_google(cloud)
        assert failed.value.code == status
    assert list_google(cloud) == []


def test_google_over_quota(cloud: LocalCloud) -> None:
    cloud.trouble("gce.instances.*", status=403, reason="rateLimitExceeded")
    with pytest.raises(google.Forbidden) as failed:
        list_google(cloud)
    assert failed.value.reason == "RATE_LIMIT_EXCEEDED"
    assert failed.value.errors[0]["reason"] == "rateLimitExceeded"


def test_unknown_accounts(cloud: LocalCloud) -> None:
    with pytest.raises(azure.ResourceNotFoundError, match="SubscriptionNotFound"):
        list(bare.compute(cloud, subscription="00000000-0000-0000-0000-000000000000").virtual_machines.list_all())
    with pytest.raises(google.NotFound):
        list_google(cloud, "no-such-project")


def test_silence(cloud: LocalCloud) -> None:
    cloud.trouble("*.list", "silent", count=None)
    cloud.trouble("gce.*", "silent", count=None)
    with pytest.raises(azure.ServiceResponseError):
        list_azure(cloud, read_timeout=0.3)
    with pytest.raises(requests.exceptions.ReadTimeout):
        list_google(cloud, timeout=0.3)


def test_a_socket_that_nobody_answers(cloud: LocalCloud) -> None:
    with pytest.raises(requests.exceptions.Timeout):
        requests.get(f"https://localhost:{cloud.deaf_port}/", timeout=0.3)


def test_half_a_page_then_a_reset(cloud: LocalCloud) -> None:
    for name in ("azure", "google"):
        cloud.fill(name, "plain", 50, page=20)
    cloud.trouble("arm.vms.list", "cut", after=1)
    cloud.trouble("gce.instances.*", "cut", after=1)
    with pytest.raises(azure.IncompleteReadError):
        list_azure(cloud)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        list_google(cloud)
    assert cloud.counts()["arm.vms.list"] == cloud.counts()["gce.instances.aggregated"] == 2
    assert len(list_azure(cloud)) == len(list_google(cloud)) == 50


def test_azure_token_revoked_in_mid_list(cloud: LocalCloud) -> None:
    """A client that can (CAE) understands the challenge, gets a new token and goes on; others get no further."""
    cloud.fill("azure", "plain", 50, page=10)
    cloud.trouble("arm.vms.list", "revoke", after=2)
    assert len(list_azure(cloud, enable_cae=True)) == 50
    assert cloud.counts()["entra.token"] == 2
    assert cloud.counts()["arm.vms.list"] == 6
    cloud.trouble("arm.vms.list", "revoke", after=2)
    with pytest.raises(azure.ClientAuthenticationError, match="InvalidAuthenticationToken"):
        list_azure(cloud)


def test_credentials_revoked_in_mid_list(cloud: LocalCloud) -> None:
    for name in ("azure", "google"):
        cloud.fill(name, "plain", 50, page=10)
    cloud.trouble("arm.vms.list", "revoke", after=2, credentials=True)
    with pytest.raises(azure.ClientAuthenticationError, match="AADSTS7000222"):
        list_azure(cloud, enable_cae=True)
    cloud.trouble("gce.instances.*", "revoke", after=2, credentials=True)
    with pytest.raises((google.Unauthorized, RefreshError)):
        list_google(cloud)
    cloud.mend()
    assert len(list_azure(cloud)) == len(list_google(cloud)) == 50


def test_zones_that_do_not_answer(cloud: LocalCloud) -> None:
    cloud.fill("google", "plain", 30)
    cloud.set("google", silent_zones=["us-east1-b"])
    with pytest.raises(google.ServiceUnavailable):
        list_google(cloud)
    with AuthorizedSession(default(scopes=[SCOPE])[0]) as session:
        url = f"{cloud.url}/compute/v1/projects/{PROJECT}/aggregated/instances?returnPartialSuccess=true"
        found = session.get(url, timeout=5).json()
    assert sum(len(scope.get("instances", [])) for scope in found["items"].values()) == 28
    assert found["items"]["zones/us-east1-b"]["warning"]["code"] == "UNREACHABLE"
    assert found["unreachables"] == [f"projects/{PROJECT}/zones/us-east1-b"]
