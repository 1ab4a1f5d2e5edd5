"""What the board of a large cluster costs: ``python -m tests.kubernetes.board_bench [PODS]``.

Against a real API server, whose pods nobody schedules. Prints seconds of the first list, seconds until a change is on
the board, and the memory of the process that follows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.kubernetes.control_plane import ControlPlane, pod, programs

PODS = "/api/v1/namespaces/default/pods"

# The coordinator's part, in a process of its own. Prints a line whenever what it has to tell has changed.
FOLLOW = """
import resource, sys, threading, time
from pathlib import Path
from umsui.config import ClusterConfig, Config, CoordinatorConfig
from umsui.coordinator.bus import Bus
from umsui.coordinator.inventory import Inventory
from umsui.coordinator.quiet import Quiet
cluster = ClusterConfig(name="k", provider="onprem", orchestrator="kubernetes", kubeconfig=Path(sys.argv[1]))
inventory = Inventory(Config(clusters=(cluster,)), Bus(), list, Quiet())
began = time.time()
inventory.start()
known = None
while True:
    found = inventory._told.get("k")
    if found is not known and found is not None:
        known = found
        rss = int(open("/proc/self/statm").read().split()[1]) * 4096
        labelled = sum("now" in each.labels for each in known.services)
        print(len(known.services), labelled, time.time() - began, rss, flush=True)
    time.sleep(0.01)
"""


def main(count: int) -> dict[str, float]:
    where = programs()
    assert where is not None, "no Kubernetes here: `umsui lab up --orchestrator kubernetes` builds it"
    plane = ControlPlane(Path(tempfile.mkdtemp(prefix="umsui-board-")), where)
    plane.start()
    try:
        api = plane.api()
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(
                    lambda number: api.create(PODS, pod(f"pod-{number}", nodeName=f"n{number % 50}")), range(count)
                )
            )
        argv = [sys.executable, "-c", FOLLOW, str(plane.kubeconfig())]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as follower:
            assert follower.stdout is not None
            lines = (line.split() for line in follower.stdout)
            first = next(float(line[2]) for line in lines if int(line[0]) == count)
            visible = []
            for number in range(5):
                time.sleep(2.0)
                began = time.monotonic()
                api.patch(f"{PODS}/pod-{number}", {"metadata": {"labels": {"now": "yes"}}})
                rss = next(int(line[3]) for line in lines if int(line[1]) == number + 1)
                visible.append(time.monotonic() - began)
            follower.kill()
        return {"pods": count, "first_list": first, "visible": max(visible), "rss_mb": rss / 1e6}
    finally:
        plane.stop()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)) + "\n")
