"""Every path umsui uses, in one module. Nothing here creates anything; ``ensure`` does, when asked.

``UMSUI_CONFIG_DIR``, ``UMSUI_CACHE_DIR``, ``UMSUI_DATA_DIR`` and ``UMSUI_RUNTIME_DIR`` override the platform's folders,
``UMSUI_CONFIG`` the config file itself. They are read at each call, so that a test can point them elsewhere.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs

from umsui.errors import BadInput, UmsuiError

APP = "umsui"
LAB_INSTANCES = range(32)


def _override(variable: str) -> Path | None:
    value = os.environ.get(variable, "")
    return Path(value).expanduser().absolute() if value else None


def config_dir() -> Path:
    """Where the user's settings are."""
    return _override("UMSUI_CONFIG_DIR") or platformdirs.user_config_path(APP, appauthor=False)


def config_file() -> Path:
    """The user's config file, whether it exists or not."""
    return _override("UMSUI_CONFIG") or config_dir() / "config.toml"


def cache_dir() -> Path:
    """What can be made again: the lab's root file system and images, the agent's zipapp."""
    return _override("UMSUI_CACHE_DIR") or platformdirs.user_cache_path(APP, appauthor=False)


def data_dir() -> Path:
    """What must be kept: the coordinator's journal and the recordings."""
    return _override("UMSUI_DATA_DIR") or platformdirs.user_data_path(APP, appauthor=False)


def recordings_dir() -> Path:
    """One file of events per migration."""
    return data_dir() / "recordings"


def benchmarks_dir() -> Path:
    """One file of rows per run of ``umsui bench``."""
    return data_dir() / "benchmarks"


def runtime_dir() -> Path:
    """What lives as long as the machine is up: the coordinator's socket and pid, the lab. The caller makes it 0700."""
    override = _override("UMSUI_RUNTIME_DIR")
    if override is not None:
        return override
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    if session:
        return Path(session) / APP
    uid = os.getuid()
    return Path(f"/run/{APP}-0") if uid == 0 else Path(tempfile.gettempdir()) / f"{APP}-{uid}"


def coordinator_socket() -> Path:
    """The Unix socket of the coordinator's API."""
    return runtime_dir() / "coordinator.sock"


def coordinator_pid_file() -> Path:
    """The pid of the coordinator that listens on the socket."""
    return runtime_dir() / "coordinator.pid"


def lab_dir() -> Path:
    """The state of all labs on this machine, one folder an instance; on a real file system, for container storage."""
    return _override("UMSUI_LAB_DIR") or cache_dir() / "lab" / "run"


def lab_instance() -> int:
    """Which lab ``UMSUI_LAB_INSTANCE`` selects (0 by default); raises BadInput when it is not 0 to 31."""
    text = os.environ.get("UMSUI_LAB_INSTANCE") or "0"
    if not text.isascii() or not text.isdigit() or int(text) not in LAB_INSTANCES:
        raise BadInput(f"UMSUI_LAB_INSTANCE is {text!r}", "Set it to a number from 0 to 31, or unset it.")
    return int(text)


def lab_config() -> Path | None:
    """The config of the lab that is up, for when the user has none of their own; None when no lab is up."""
    path = lab_dir() / str(lab_instance()) / "config.toml"
    return path if path.is_file() else None


def ensure(directory: Path) -> Path:
    """Make ``directory`` with access for its owner only, and return it.

    Raises UmsuiError when it cannot be made, or when it belongs to another user (somebody may have planted it in /tmp).
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = directory.stat().st_uid
    except OSError as error:
        raise UmsuiError(
            f"{directory} cannot be made: {error.strerror}",
            "Free the path, or point its UMSUI_…_DIR variable elsewhere.",
        ) from error
    if owner != os.getuid():
        raise UmsuiError(
            f"{directory} belongs to another user", "Remove it, or point its UMSUI_…_DIR variable elsewhere."
        )
    return directory
