"""Credentials as the ecosystem does them: each is found, none is waited for too long, and what mends it is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clouds import az
from tests.clouds.local import LocalCloud
from tests.clouds.secrets import CLIENT
from tests.clouds.test_wire import failure, listed, provider
from umsui.errors import NotLoggedIn

LATE = """
import sys
import umsui.cli.app, umsui.console.app, umsui.coordinator.server, umsui.coordinator.engine
print([name for name in sys.modules if name.split(".")[0] in ("azure", "msal", "google", "grpc", "requests")])
"""


@pytest.fixture
def tools(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder in the PATH; nobody has set a variable that logs in to Azure."""
    cloud.fill("azure", "plain", 3)
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "dev")  # what people log in with; no metadata server is asked
    return tmp_path


def test_az_login(cloud: LocalCloud, tools: Path) -> None:
    az.install(tools, cloud)
    ours = provider(cloud, "azure")
    assert len(listed(ours)) == len(listed(ours)) == 3
    assert cloud.counts()["entra.token"] == 1


def test_az_login_that_has_expired_and_is_done_again(cloud: LocalCloud, tools: Path) -> None:
    az.install(tools, cloud)
    cloud.trouble("arm.vms.list", "revoke", credentials=True)
    for words in ("The access token is invalid", "AADSTS50173"):
        error = failure(cloud, "azure")
        assert isinstance(error, NotLoggedIn)
        assert words in error.message
        assert error.fix == "az login"
    cloud.mend()
    assert len(listed(provider(cloud, "azure"))) == 3


def test_an_az_that_hangs(cloud: LocalCloud, tools: Path) -> None:
    az.install(tools, cloud, "exec sleep 60")
    error = failure(cloud, "azure")
    assert isinstance(error, NotLoggedIn)
    assert error.fix == "az login"


def test_azure_token_credentials_narrow_it(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret in the environment is good, but not wanted."""
    assert os.environ["AZURE_CLIENT_ID"] == CLIENT
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "WorkloadIdentityCredential")
    assert isinstance(failure(cloud, "azure"), NotLoggedIn)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    assert listed(provider(cloud, "azure")) == []


def test_google_workload_identity_federation(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.fill("google", "plain", 3)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(cloud.folder.external_account))
    assert len(listed(provider(cloud, "google"))) == 3
    assert cloud.counts()["google.exchange"] == 1


def test_google_key_that_is_no_longer_good(cloud: LocalCloud) -> None:
    cloud.trouble("google.*", status=400, count=None)
    cloud.trouble("gce.*", status=401, count=None)
    error = failure(cloud, "google")
    assert isinstance(error, NotLoggedIn)
    assert str(cloud.folder.service_account) in error.fix


def test_nothing_of_the_clouds_is_imported_before_it_is_needed() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
