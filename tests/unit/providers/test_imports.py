from __future__ import annotations

import subprocess
import sys


def test_the_clouds_libraries_are_not_imported_before_they_are_needed() -> None:
    script = (
        "import sys, umsui.coordinator.server, backends.providers.azure, backends.providers.gcp, "
        "backends.providers.onprem; print([name for name in sys.modules if name.split('.')[0] in "
        "('azure', 'google', 'msal', 'requests', 'yaml')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names = [name for name in done.stdout.strip("[]\n").replace("'", "").split(", ") if name]
    assert [name for name in names if not name.startswith("yaml")] == []
