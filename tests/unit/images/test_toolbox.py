"""What is in the images that umsui makes itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from umsui.images import toolbox

LACKING = """
import re, sys

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if re.fullmatch(r"{pattern}", name):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Lacking())
sys.path.insert(0, ".")
import umsui.agent.{module}
"""


@pytest.mark.parametrize("module", ["serve", "outer", "wire", "pager", "relay", "guard"])
def test_the_agent_gets_on_with_what_an_outer_container_has_of_python(module: str) -> None:
    script = LACKING.format(pattern=toolbox._NOT_NEEDED.pattern, module=module)
    subprocess.run([sys.executable, "-ISc", script], check=True)
