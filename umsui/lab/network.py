"""The lab's network: one bridge, a cable to each host, a token bucket on each host's end of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from umsui.errors import BadInput
from umsui.lab.commands import LabError, run
from umsui.lab.topology import PREFIX_LENGTH, Host, Lab

_RATE = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)(?P<unit>kbit|mbit|gbit)")
_UNITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_LOWEST, _HIGHEST = 1e6, 100e9


def parse_rate(text: str | None) -> str | None:
    """``text`` as tc takes it, None for "none"; raises BadInput for what is no rate from 1mbit to 100gbit."""
    if text is None or text == "none":
        return None
    match = _RATE.fullmatch(text)
    if match is None or not _LOWEST <= float(match["number"]) * _UNITS[match["unit"]] <= _HIGHEST:
        raise BadInput(
            f"{text!r} is no rate for the lab",
            "Say a number with kbit, mbit or gbit, from 1mbit to 100gbit, such as 100mbit or 1gbit; or none.",
        )
    return text


def _links() -> list[dict[str, object]]:
    links: list[dict[str, object]] = json.loads(run(["ip", "-json", "address", "show"]) or "[]")
    return links


def own_links(lab: Lab) -> list[str]:
    """The names of the lab's links that are there."""
    names = [path.name for path in Path("/sys/class/net").iterdir()]
    return sorted(name for name in names if name == lab.bridge or name.startswith(f"{lab.bridge}-"))


def owner(lab: Lab) -> Path | None:
    """The folder of the lab that the bridge belongs to; another one when caches differ. None without a bridge."""
    try:
        return Path(Path(f"/sys/class/net/{lab.bridge}/ifalias").read_text().strip() or "/nowhere")
    except OSError:
        return None


def check_free(lab: Lab) -> None:
    """Raises LabError when something else on this machine uses the lab's addresses."""
    subnet = lab.gateway.rpartition(".")[0] + "."
    for link in _links():
        addresses = link.get("addr_info")
        for address in addresses if isinstance(addresses, list) else []:
            if str(address.get("local", "")).startswith(subnet) and link.get("ifname") != lab.bridge:
                raise LabError(
                    f"The link {link.get('ifname')} uses {subnet}0/{PREFIX_LENGTH}, which this lab needs",
                    "Choose another lab: UMSUI_LAB_INSTANCE=1 (0 to 31).",
                    code="subnet-taken",
                )


def make_bridge(lab: Lab) -> None:
    """Make the bridge, with this machine's own address on it, and routes to what is behind the lab's hosts."""
    batch = f"""
        link add {lab.bridge} type bridge
        link set {lab.bridge} alias {lab.directory}
        address add {lab.gateway}/{PREFIX_LENGTH} dev {lab.bridge}
        link set {lab.bridge} up
    """
    run(["ip", "-batch", "-"], stdin=batch + _routes_to_pods(lab))


def connect(host: Host, pid: int) -> None:
    """Give the host whose first process is ``pid`` its cable and address, and no route to anywhere else."""
    run(
        ["ip", "-batch", "-"],
        stdin=f"""
            link add {host.link} type veth peer name eth0 netns {pid}
            link set {host.link} master {host.lab.bridge} up
        """,
    )
    run(
        ["nsenter", "-t", str(pid), "-n", "ip", "-batch", "-"],
        stdin=f"""
            address add {host.address}/{PREFIX_LENGTH} dev eth0
            link set eth0 up
            route add unreachable default
        """
        + _routes_to_pods(host.lab, but=host),
    )


def _routes_to_pods(lab: Lab, but: Host | None = None) -> str:
    """The way to each Kubernetes node's pods, but for that node itself, in the words of ``ip -batch``."""
    nodes = [host for host in lab.hosts if host.orchestrator == "kubernetes" and host != but]
    return "".join(f"route add {node.pods} via {node.address}\n" for node in nodes)


def shape(pids: Sequence[int], rate: str | None) -> None:
    """Let each host send at most ``rate`` (as ``parse_rate`` returned it; None: as fast as it can)."""
    for pid in pids:
        tc = ["nsenter", "-t", str(pid), "-n", "tc", "qdisc"]
        if rate is not None:
            bucket = ["tbf", "rate", rate, "burst", "256k", "latency", "20ms"]
            run([*tc, "replace", "dev", "eth0", "root", *bucket])
        elif " tbf " in run([*tc, "show", "dev", "eth0"]):
            run([*tc, "del", "dev", "eth0", "root"])


def remove(lab: Lab) -> None:
    """Remove the lab's links and, with them, its addresses and routes."""
    for name in own_links(lab):
        try:
            run(["ip", "link", "delete", name])
        except LabError:  # a cable goes by itself once the other end's namespace is gone
            if Path(f"/sys/class/net/{name}").exists():
                raise
