"""An Ansible inventory file, INI or YAML, as far as it says how hosts are reached.

Groups, children, host variables and ranges are understood; ansible-core would be 60 MB for that. What is not understood
(inventory scripts, plugins, templates in the variables that we need) is refused with file and line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from umsui.errors import BadInput

RANGE = re.compile(r"\[([0-9A-Za-z]+):([0-9A-Za-z]+)(?::(\d+))?\]")
SECTION = re.compile(r"\[([^\[\]:]+)(?::(\w+))?\]")
LIMIT = 100_000  # hosts that one inventory may have: a range is easily mistyped


@dataclass
class Group:
    """A group while it is read."""

    hosts: dict[str, dict[str, str]] = field(default_factory=dict)
    children: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


def hosts(path: Path, group: str) -> dict[str, str]:
    """The hosts of a group by name, each as ``user@host:port`` or less. Raises BadInput."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}", "correct `inventory`", code="inventory") from error
    groups = _yaml(path, text) if path.suffix.lower() in (".yml", ".yaml", ".json") else _ini(path, text)
    if group not in groups and group != "all":
        known = ", ".join(sorted(groups)) or "none"
        raise BadInput(f"{path} has no group {group}; it has: {known}", "correct `group`", code="inventory")
    found: dict[str, dict[str, str]] = {}
    for name in groups:  # of all: a host has the variables of every group that it is in
        for host, variables in _collect(path, groups, name, ()).items():
            found[host] = {**found.get(host, {}), **variables}
    wanted = found if group == "all" else _collect(path, groups, group, ())
    shared = groups.get("all", Group()).variables
    return {name: _target(path, name, {**shared, **variables}) for name, variables in found.items() if name in wanted}


def _collect(path: Path, groups: Mapping[str, Group], name: str, above: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """The hosts of a group and of its children with their variables; what is nearer to a host wins."""
    if name in above:
        raise BadInput(f"{path}: group {name} contains itself ({' > '.join(above)})", code="inventory")
    group = groups.get(name, Group())
    found: dict[str, dict[str, str]] = {host: {} for host in group.hosts}
    for child in group.children:
        for host, variables in _collect(path, groups, child, (*above, name)).items():
            found[host] = {**found.get(host, {}), **variables}
    return {host: {**group.variables, **variables, **_own(groups, host)} for host, variables in found.items()}


def _own(groups: Mapping[str, Group], host: str) -> dict[str, str]:
    """What a host's lines say of it, in whichever groups they stand."""
    merged: dict[str, str] = {}
    for group in groups.values():
        merged.update(group.hosts.get(host, {}))
    return merged


def _target(path: Path, name: str, variables: Mapping[str, str]) -> str:
    def value(*keys: str) -> str:
        for key in keys:
            if key in variables:
                text = str(variables[key])
                if "{{" in text:
                    fix = "write the value itself, or name the hosts in `nodes`"
                    raise BadInput(f"{path}: {name}: {key} is a template ({text})", fix, code="inventory")
                return text
        return ""

    host = value("ansible_host", "ansible_ssh_host") or name
    user, port = value("ansible_user", "ansible_ssh_user"), value("ansible_port", "ansible_ssh_port")
    host = f"[{host}]" if ":" in host else host
    return (f"{user}@" if user else "") + host + (f":{port}" if port else "")


# -- INI ----------------------------------------------------------------------------------------------------


def _ini(path: Path, text: str) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    name, kind = "ungrouped", "hosts"
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        where = f"{path}:{number}"
        if line.startswith("#!") or (number == 1 and line.startswith("plugin:")):
            raise BadInput(f"{where}: this is a script or a plugin", "give a plain inventory file", code="inventory")
        section = SECTION.fullmatch(line.split(" #")[0].strip())
        if section:
            name, kind = section[1].strip(), section[2] or "hosts"
            if kind not in ("hosts", "children", "vars"):
                raise BadInput(f"{where}: [{name}:{kind}] is no section", "children or vars", code="inventory")
            groups.setdefault(name, Group())
            continue
        _ini_line(where, line, kind, groups.setdefault(name, Group()))
    return groups


def _ini_line(where: str, line: str, kind: str, group: Group) -> None:
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise BadInput(f"{where}: {error}", "close the quotes", code="inventory") from error
    if kind == "children":
        group.children.append(words[0])
        return
    if kind == "vars":
        key, equals, value = line.partition("=")
        if not equals:
            raise BadInput(f"{where}: a variable is written NAME=VALUE", code="inventory")
        group.variables[key.strip()] = value.strip().strip("'\"")
        return
    variables = {}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals:
            raise BadInput(f"{where}: {word!r} is no variable", "variables are written NAME=VALUE", code="inventory")
        variables[key] = value
    for host in ranged(where, words[0]):
        group.hosts.setdefault(host, {}).update(variables)


def ranged(where: str, pattern: str) -> Iterator[str]:
    """``web[01:03].x`` is three hosts; letters may be counted, too. Raises BadInput."""
    match = RANGE.search(pattern)
    if match is None:
        if "[" in pattern and ":" not in pattern.strip("[]"):
            raise BadInput(f"{where}: {pattern!r} is no host", "ranges are written [01:10]", code="inventory")
        yield pattern
        return
    first, final, step = match[1], match[2], int(match[3] or 1)
    if first.isdecimal() and final.isdecimal():
        values = [str(each).zfill(len(first)) for each in range(int(first), min(int(final), LIMIT) + 1, step or 1)]
    elif len(first) == len(final) == 1:
        values = [chr(each) for each in range(ord(first), ord(final) + 1, step or 1)]
    else:
        values = []
    if not values or not step:
        raise BadInput(f"{where}: {match[0]} counts nothing", "ranges are written [01:10] or [a:f]", code="inventory")
    for value in values:
        yield from ranged(where, pattern[: match.start()] + value + pattern[match.end() :])


# -- YAML ----------------------------------------------------------------------------------------------------


def _yaml(path: Path, text: str) -> dict[str, Group]:
    import yaml  # noqa: PLC0415 - 20 ms that nobody else needs

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        words = getattr(error, "problem", None) or str(error)
        raise BadInput(f"{where}: this is not YAML: {words}", "correct the line", code="inventory") from error
    if isinstance(document, dict) and "plugin" in document:
        raise BadInput(f"{path} configures a plugin", "give a plain inventory file", code="inventory")
    groups: dict[str, Group] = {}
    for name, content in _table(path, document, "the file").items():
        _yaml_group(path, str(name), content, groups)
    return groups


def _yaml_group(path: Path, name: str, content: Any, groups: dict[str, Group]) -> None:
    table = _table(path, content, name)
    strange = set(table) - {"hosts", "children", "vars"}
    if strange:
        words = f"{path}: group {name} has {', '.join(sorted(map(str, strange)))}"
        raise BadInput(words, "a group has hosts, children and vars", code="inventory")
    group = groups.setdefault(name, Group())
    for pattern, variables in _table(path, table.get("hosts"), f"{name}.hosts").items():
        values = {str(key): str(value) for key, value in _table(path, variables, str(pattern)).items()}
        for host in ranged(str(path), str(pattern)):
            group.hosts.setdefault(host, {}).update(values)
    group.variables |= {str(k): str(v) for k, v in _table(path, table.get("vars"), f"{name}.vars").items()}
    for child, inner in _table(path, table.get("children"), f"{name}.children").items():
        if child not in group.children:
            group.children.append(str(child))
        _yaml_group(path, str(child), inner, groups)


def _table(path: Path, value: Any, what: str) -> dict[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadInput(f"{path}: {what} is no table", "write NAME: …", code="inventory")
    return value
