"""A service's layers below another folder."""

from __future__ import annotations

import io
import tarfile

import pytest

from umsui.errors import CommandFailed
from umsui.images import nested


def packed(*members: tarfile.TarInfo) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for each in members:
            archive.addfile(each, io.BytesIO(b"x" * each.size) if each.isreg() else None)
    made.seek(0)
    return made


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **more: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.pax_headers = kind, link, more
    made.size = 3 if kind == tarfile.REGTYPE else 0
    made.uid, made.mode = 33, 0o4755
    return made


def moved(*members: tarfile.TarInfo) -> dict[str, tarfile.TarInfo]:
    with nested._packed(nested._moved(packed(*members))) as (file, _, _):
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:gz") as archive:
            return {each.name: each for each in archive}


def test_each_name_goes_below_and_devices_stay_behind() -> None:
    long = "deep/" * 40 + "file"
    found = moved(
        member("./", tarfile.DIRTYPE),
        member("./etc/passwd"),
        member("bin/hard", tarfile.LNKTYPE, "./etc/passwd"),
        member("/bin/soft", tarfile.SYMTYPE, "/etc/passwd"),
        member("etc/.wh.gone"),
        member("dev", tarfile.DIRTYPE),
        member("dev/null", tarfile.CHRTYPE),
        member(".dockerenv"),
        member(".hidden"),
        member(long),
        member("capable", **{"SCHILY.xattr.user.note": "kept"}),
    )
    top = "umsui/rootfs"
    assert set(found) == {
        top,
        *(f"{top}/{each}" for each in ("etc/passwd", "bin/hard", "bin/soft", "etc/.wh.gone", "dev", ".hidden")),
        f"{top}/{long}",
        f"{top}/capable",
    }
    assert found[f"{top}/bin/hard"].linkname == f"{top}/etc/passwd"
    assert found[f"{top}/bin/soft"].linkname == "/etc/passwd"
    assert (found[f"{top}/etc/passwd"].uid, found[f"{top}/etc/passwd"].mode) == (33, 0o4755)
    assert found[f"{top}/capable"].pax_headers["SCHILY.xattr.user.note"] == "kept"


def test_the_same_layer_is_the_same_blob() -> None:
    first, second = (nested._packed(nested._moved(packed(member("one")))) for _ in range(2))
    with first as (_, *digests), second as (_, *again):
        assert digests == again


def test_what_is_no_layer() -> None:
    with (
        pytest.raises(CommandFailed, match="cannot be read"),
        nested._packed(nested._moved(io.BytesIO(b"\x28\xb5\x2f\xfd" * 600))),
    ):
        pass


def test_a_nested_image_tells_what_its_service_said_of_itself() -> None:
    service = {
        "Cmd": ["--port", "80"],
        "Env": ["COLOUR=blue"],
        "User": "www",
        "Labels": {"team": "shop"},
        "Volumes": {},
    }
    made = nested._config({"Entrypoint": ["/outer"], "Env": ["PATH=/bin"]}, service, "service.outer")
    assert made["Entrypoint"] == ["/outer"]
    assert made["Labels"]["team"] == "shop"
    assert nested.settings_of(made) == {"Cmd": ["--port", "80"], "Env": ["COLOUR=blue"], "User": "www"}
    assert nested.settings_of(service) is None
    assert nested.settings_of({"Labels": None}) is None
