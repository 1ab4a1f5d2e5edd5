"""Where umsui keeps its things."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from umsui import locations
from umsui.errors import BadInput, UmsuiError


@pytest.mark.parametrize("name", ["config", "cache", "data", "runtime"])
def test_each_folder_can_be_overridden(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(f"UMSUI_{name.upper()}_DIR", str(tmp_path / "x"))
    assert getattr(locations, f"{name}_dir")() == tmp_path / "x"
    assert not (tmp_path / "x").exists()


def test_the_config_file_can_be_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UMSUI_CONFIG_DIR", str(tmp_path))
    assert locations.config_file() == tmp_path / "config.toml"
    monkeypatch.setenv("UMSUI_CONFIG", str(tmp_path / "other.toml"))
    assert locations.config_file() == tmp_path / "other.toml"


def test_runtime_folder_without_an_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UMSUI_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/5")
    assert locations.runtime_dir() == Path("/run/user/5/umsui")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert locations.runtime_dir() == Path("/run/umsui-0")
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert locations.runtime_dir().name == "umsui-1000"
    assert len(str(locations.coordinator_socket())) < 108  # what a Unix socket's path may have


def test_ensure_makes_it_private_and_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = locations.ensure(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    assert locations.ensure(made) == made
    (tmp_path / "file").touch()
    with pytest.raises(UmsuiError, match="cannot be made"):
        locations.ensure(tmp_path / "file")
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    with pytest.raises(UmsuiError, match="another user"):
        locations.ensure(made)


def test_lab_config_is_there_only_with_a_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMSUI_LAB_DIR", str(tmp_path))
    monkeypatch.setenv("UMSUI_LAB_INSTANCE", "4")
    assert locations.lab_config() is None
    (tmp_path / "4").mkdir()
    (tmp_path / "4/config.toml").touch()
    assert locations.lab_config() == tmp_path / "4/config.toml"
    monkeypatch.setenv("UMSUI_LAB_INSTANCE", "")
    assert locations.lab_instance() == 0
    monkeypatch.setenv("UMSUI_LAB_INSTANCE", "32")
    with pytest.raises(BadInput):
        locations.lab_config()
