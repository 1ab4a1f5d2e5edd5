from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umsui import config
from umsui.config import Config
from umsui.errors import BadInput
from umsui.model import Authority, Exit

GOOD = """\
[[clusters]]
name = "edge-paris"
provider = "onprem"
orchestrator = "podman"
nodes = [{ name = "n1", ssh = "ops@10.0.0.5:22" }]

[[clusters]]
name = "azure-prod"
provider = "azure"
orchestrator = "docker"
authority = "limited"
protected = true
tags = { team = "a" }

[coordinator]
poll_idle = 5
"""

Refusal = Callable[[str], BadInput]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UMSUI_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("UMSUI_LAB_DIR", str(tmp_path / "lab"))
    monkeypatch.delenv("UMSUI_LAB_INSTANCE", raising=False)


@pytest.fixture
def refusal(tmp_path: Path) -> Refusal:
    def load(text: str) -> BadInput:
        path = tmp_path / "config.toml"
        path.write_text(text)
        with pytest.raises(BadInput) as caught:
            config.load(path)
        error = caught.value
        assert error.code == "config"
        assert error.exit is Exit.USAGE
        assert str(path) in error.message
        assert error.fix
        for jargon in ("Input should", "validation", "pydantic", "Field required", "Extra inputs", "type="):
            assert jargon not in error.message
        return error

    return load


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(GOOD)
    found = config.load(path)
    assert [cluster.name for cluster in found.clusters] == ["edge-paris", "azure-prod"]
    assert found.clusters[0].authority is Authority.FULL
    assert found.clusters[1].authority is Authority.LIMITED
    assert found.clusters[1].protected
    assert found.clusters[0].nodes[0].ssh == "ops@10.0.0.5:22"
    assert (found.coordinator.poll_idle, found.coordinator.poll_watched) == (5.0, 2.0)
    assert found.path == path


HEAD = '[[clusters]]\nname = "a"\nprovider = "gcp"\norchestrator = "podman"\n'

CASES = {
    "unknown table": ("x = 1\nclustrs = []\n", 1, "`x`", ["clusters", "coordinator"]),
    "misspelt table": ("\n\nclustrs = []\n", 3, "`clustrs`", ["did you mean `clusters`"]),
    "path is not a key": ('path = "/etc"\n', 1, "`path`", ["clusters"]),
    "unknown key, 2nd cluster": (
        GOOD.replace("protected = true", "protectd = true"),
        12,
        "`clusters.protectd`",
        ["did you mean `protected`", "allowed here: address"],
    ),
    "same key in the 1st is fine": (
        GOOD.replace('"docker"', '"nomad"'),
        10,
        "`clusters.orchestrator`",
        ["'nomad'", "one of podman, docker, kubernetes"],
    ),
    "unknown key, inline node": (
        GOOD.replace("ssh = ", "shh = "),
        5,
        "`clusters.nodes.shh`",
        ["did you mean `ssh`", "allowed here: name, ssh"],
    ),
    "second of two nodes": (
        HEAD + 'nodes = [\n  { name = "n1", ssh = "x" },\n  { name = "n 2", ssh = "x" },\n]\n',
        7,
        "`clusters.nodes.name`",
        ["'n 2'", "letters, digits"],
    ),
    "node as a sub-table": (
        HEAD + '[[clusters.nodes]]\nname = "n"\nssh = ""\n',
        7,
        "`clusters.nodes.ssh`",
        ["not empty"],
    ),
    "node without ssh": (HEAD + '[[clusters.nodes]]\nname = "n"\n', 6, "`clusters.nodes.ssh`", ["is missing"]),
    "cluster without name": (
        '[[clusters]]\nname = "a"\nprovider = "gcp"\norchestrator = "podman"\n'
        '[[clusters]]\nprovider = "gcp"\norchestrator = "podman"\n',
        6,
        "`clusters.name`",
        ["is missing"],
    ),
    "quoted key": (HEAD + '"zonse" = []\n', 5, "`clusters.zonse`", ["did you mean `zones`"]),
    "bad enum": (HEAD + 'authority = "some"\n', 5, "`clusters.authority`", ["one of full, limited, none"]),
    "bad bool": (HEAD + 'protected = "perhaps"\n', 5, "`clusters.protected`", ["'perhaps'", "true or false"]),
    "text wanted": (HEAD + "project = 5\n", 5, "`clusters.project`", ["= 5", "text in quotes"]),
    "list wanted": (HEAD + 'zones = "z1"\n', 5, "`clusters.zones`", ["a list"]),
    "item of a list": (HEAD + 'zones = ["z1", 2]\n', 5, "`clusters.zones`", ["= 2", "text in quotes"]),
    "table wanted": (HEAD + 'labels = "x"\n', 5, "`clusters.labels`", ["a table"]),
    "nodes of words": (HEAD + 'nodes = ["n1"]\n', 5, "`clusters.nodes`", ["a table"]),
    "path wanted": (HEAD + "identity = 1\n", 5, "`clusters.identity`", ["a path"]),
    "too small": ("[coordinator]\npoll_idle = 0\n", 2, "`coordinator.poll_idle`", ["at least 1"]),
    "too large": ("[coordinator]\ntimeout = 1e9\n", 2, "`coordinator.timeout`", ["at most 120"]),
    "not a number": ("[coordinator]\ntimeout = nan\n", 2, "`coordinator.timeout`", []),
    "no number": ('[coordinator]\ntimeout = "long"\n', 2, "`coordinator.timeout`", ["a number"]),
    "unknown in coordinator": ("[coordinator]\npol_idle = 2\n", 2, "`coordinator.pol_idle`", ["`poll_idle`"]),
    "coordinator no table": ("coordinator = 5\n", 1, "`coordinator`", ["a table"]),
    "clusters no list": ("clusters = 5\n", 1, "`clusters`", ["a list"]),
    "clusters one table": ('[clusters]\nname = "a"\n', 1, "`clusters`", ["a list"]),
    "key in a comment first": (
        HEAD + '# zonse = []\nlabels = { a = "zonse = 1" }\nzonse = []\n',
        7,
        "`clusters.zonse`",
        [],
    ),
    "duplicate names": (GOOD.replace("azure-prod", "edge-paris"), 8, "edge-paris", ["two clusters"]),
    "no TOML": ("[[clusters]]\nname = paris\n", 2, "not TOML", []),
    "open end": ('[[clusters]]\nname = "paris', 2, "not TOML", []),
    "key twice": ('[[clusters]]\nname = "a"\nname = "b"\n', 3, "not TOML", []),
}


@pytest.mark.parametrize(("text", "line", "key", "words"), CASES.values(), ids=CASES.keys())
def test_a_bad_file_is_refused_with_its_line(
    refusal: Refusal, text: str, line: int, key: str, words: list[str]
) -> None:
    message = refusal(text).message
    assert f"config.toml:{line}: " in message
    assert key in message
    for word in words:
        assert word in message


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"name = '\xff'\n")
    with pytest.raises(BadInput, match="UTF-8"):
        config.load(path)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        config.load(tmp_path)


def test_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.toml"
    path.write_text(GOOD)
    monkeypatch.setenv("UMSUI_COORDINATOR_POLL_IDLE", "30")
    assert config.load(path).coordinator.poll_idle == 30.0


def test_environment_counts_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMSUI_COORDINATOR_POLL_IDLE", "30")
    assert config.load().coordinator.poll_idle == 30.0


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("UMSUI_COORDINATOR_POLL_IDLE", "often", ["'often'", "a number"]),
        ("UMSUI_COORDINATOR_POLL_IDLE", "0", ["at least 1"]),
        ("UMSUI_COORDINATOR_POL_IDLE", "3", ["unknown", "did you mean `poll_idle`"]),
    ],
)
def test_a_bad_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: list[str]
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(GOOD)
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadInput) as caught:
        config.load(path)
    assert variable in caught.value.message
    assert "variable" in caught.value.fix
    assert "c.toml:" not in caught.value.message
    for word in words:
        assert word in caught.value.message


def test_the_lab_where_the_user_has_none(tmp_path: Path) -> None:
    assert config.load() == Config()
    lab = tmp_path / "lab" / "0" / "config.toml"
    lab.parent.mkdir(parents=True)
    lab.write_text(HEAD)
    assert config.load().path == lab
    own = tmp_path / "config" / "config.toml"
    own.parent.mkdir()
    own.write_text("")
    assert config.load().path == own
    assert config.load().clusters == ()


KEYS = st.sampled_from(["name", "provider", "nodes", "zones", "x", "ssh", "clusters", "coordinator", "timeout"])
VALUES = st.recursive(
    st.one_of(
        st.integers(-5, 5), st.booleans(), st.sampled_from(["a", "gcp", "podman", "é", ""]).map(lambda s: f'"{s}"')
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(str(i).lower() for i in items)}]"),
        st.dictionaries(KEYS, inner, max_size=3).map(
            lambda d: "{" + ", ".join(f"{k} = {str(v).lower()}" for k, v in d.items()) + "}"
        ),
    ),
    max_leaves=6,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_law_any_toml_is_taken_or_refused(tmp_path_factory: pytest.TempPathFactory, tables: dict[str, object]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("".join(f"{key} = {str(value).lower()}\n" for key, value in tables.items()))
    try:
        config.load(path)
    except BadInput as error:
        assert str(path) in error.message  # noqa: PT017
        assert "Input should" not in error.message  # noqa: PT017
