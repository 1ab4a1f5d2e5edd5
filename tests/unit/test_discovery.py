"""What `umsui init` finds and writes; every file that it writes is one that umsui reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from umsui import config, discovery
from umsui.__main__ import main
from umsui.model import Exit


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with everything in it."""
    for name in ("KUBECONFIG", "AZURE_CONFIG_DIR", "CLOUDSDK_CONFIG", "UMSUI_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("UMSUI_CONFIG_DIR", str(tmp_path / "umsui"))
    files = {
        ".ssh/config": "Include more/*\nHost web-1 web-2\n  User ops\nHost *.internal !bad\nHost github.com\n",
        ".ssh/more/extra": "Host=db\n",
        ".docker/contexts/meta/aa/meta.json": json.dumps(
            {"Name": "build box", "Endpoints": {"docker": {"Host": "ssh://ops@build:2222"}}}
        ),
        ".docker/contexts/meta/bb/meta.json": json.dumps(
            {"Name": "local", "Endpoints": {"docker": {"Host": "unix:///var/run/docker.sock"}}}
        ),
        ".kube/config": "contexts:\n- name: gke_shop_eu_live\n  context: {cluster: a}\n- name: aks-east\n",
        ".azure/azureProfile.json": "\ufeff"
        + json.dumps({"subscriptions": [{"id": "0-1", "name": "Prod"}, {"id": "9", "name": "x", "state": "Disabled"}]}),
        ".config/gcloud/configurations/config_default": "[core]\nproject = shop\n[compute]\nzone = europe-west1-b\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_everything_is_found(home: Path) -> None:
    found = {each.name: each for each in discovery.proposals(home)}
    assert list(found) == ["onprem", "build-box", "gke_shop_eu_live", "aks-east", "azure-Prod", "gcp-shop"]
    nodes = found["onprem"].keys["nodes"]
    assert sorted(node["ssh"] for node in nodes if isinstance(node, dict)) == ["db", "web-1", "web-2"]
    assert found["gke_shop_eu_live"].keys["provider"] == "gcp"
    assert found["aks-east"].keys["provider"] == "azure"


def test_what_is_broken_is_passed_over(home: Path) -> None:
    (home / ".kube/config").write_text("{{{")
    (home / ".azure/azureProfile.json").write_text("no json")
    assert [each.name for each in discovery.proposals(home)] == ["onprem", "build-box", "gcp-shop"]


def test_without_a_terminal_it_prints_what_it_would_write(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == Exit.DONE
    out, err = capsys.readouterr()
    path = home / "printed.toml"
    path.write_text(out)
    assert [each.name for each in config.load(path).clusters][:2] == ["onprem", "build-box"]
    assert "found azure-Prod" in err
    assert not (home / "umsui").exists()


def test_yes_writes_and_never_over_another(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--yes"]) == Exit.DONE
    path = home / "umsui" / "config.toml"
    written = path.read_text()
    assert len(config.load(path).clusters) == 6
    path.write_text("# mine\n")
    assert main(["init", "--yes"]) == Exit.USAGE
    assert "is there already" in capsys.readouterr().err
    assert path.read_text() == "# mine\n"
    assert main(["init", "--yes", "--force"]) == Exit.DONE
    assert path.read_text() == written
    assert path.with_name("config.toml.bak").read_text() == "# mine\n"


def test_nothing_found_leads_to_the_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("KUBECONFIG", "AZURE_CONFIG_DIR", "CLOUDSDK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["init"]) == Exit.USAGE
    assert "umsui lab up" in capsys.readouterr().err
