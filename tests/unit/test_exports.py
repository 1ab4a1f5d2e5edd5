"""Tables for what comes after umsui."""

from __future__ import annotations

import csv
import io

from tests.console import scenario
from umsui import exports


def test_a_board_without_services_still_names_its_columns() -> None:
    empty = exports.board((), "csv")
    full = exports.board(scenario.clusters(), "csv")
    assert empty.splitlines() == full.splitlines()[:1]
    assert empty.startswith("provider,cluster_state,cluster,node,name,")
    assert len(list(csv.DictReader(io.StringIO(full)))) == sum(len(each.services) for each in scenario.clusters())


def test_no_migrations_are_a_table_without_rows() -> None:
    assert exports.migrations((), "csv") == "id\n"
