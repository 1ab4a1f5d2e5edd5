"""The agent's talk with umsui inside a container, and what it makes of the files there."""

from __future__ import annotations

import contextlib
import inspect
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from umsui.agent import inside, talk
from umsui.agent.destination import Destination
from umsui.agent.facts import unix_time
from umsui.agent.host import Folder, Trouble, write_atomically
from umsui.agent.inside import Channel, inside_of, passes, serve
from umsui.agent.inside_files import differing, in_memory, listed, parse
from umsui.agent.talk import enter

DIR, FILE, LINK = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777
OLD, CREATED, NEW = 100, 1000, 2000


def entry(
    mode: int = FILE, ino: int = 1, uid: int = 0, size: int = 5, mtime: int = OLD, ctime: int = OLD, links: int = 1
):
    return (ino, mode, uid, 0, size, mtime, ctime, 0, links)


def test_a_scan_is_read_back() -> None:
    found = parse(b"100644 7 1 2 3 4 5 6 1 a b\xff\0" + b"40755 8 0 0 4096 4 5 0 2 d\0end\0")
    assert found[os.fsdecode(b"a b\xff")] == (7, 0o100644, 1, 2, 3, 4, 5, 6, 1)
    assert set(found) == {os.fsdecode(b"a b\xff"), "d"}


@pytest.mark.parametrize("answer", [b"", b"100644 7 1 2 3 4 5 6 1 a\0", b"failed /x: Permission denied\0"])
def test_a_scan_that_broke_off_is_none(answer: bytes) -> None:
    with pytest.raises(Trouble):
        parse(answer)


def test_what_differs_is_sent_and_what_is_gone_is_removed() -> None:
    there = {"same": entry(), "touched": entry(), "grown": entry(), "gone": entry(), "mode": entry()}
    here = {
        "same": entry(ino=9),  # another inode, another host
        "touched": entry(ctime=NEW),  # looks alike, but something was done to it
        "grown": entry(size=6),
        "mode": entry(mode=stat.S_IFREG | 0o600),
        "new": entry(),
    }
    assert differing(here, there, CREATED, 0) == ({"touched", "grown", "mode", "new"}, {"gone"})


def test_all_names_of_a_file_go_together() -> None:
    here = {"a": entry(ino=3, links=2, ctime=NEW), "b": entry(ino=3, links=2), "c": entry(ino=4, links=9)}
    send, _ = differing(here, {"b": entry(links=2), "c": entry(links=9)}, CREATED, 0)
    assert send == {"a", "b"}


def test_a_plain_user_leaves_alone_what_it_cannot_have_changed() -> None:
    there = {"etc": entry(DIR), "etc/passwd": entry(), "tmp": entry(stat.S_IFDIR | 0o1777), "open": entry(0o100666)}
    here = {path: (*found[:5], NEW, NEW, *found[7:]) for path, found in there.items()}
    here["mine"] = entry(uid=1000)
    assert differing(here, there, CREATED, 1000)[0] == {"open", "mine"}
    assert differing(here, there, CREATED, 0)[0] == set(here)


def test_a_list_has_a_folder_before_what_is_in_it() -> None:
    assert listed({"a/b", "a", "a b"}) == b"a\0a b\0a/b\0"


def test_what_is_in_memory() -> None:
    table = b"""\
1 0 0:1 / / rw - overlay overlay rw
2 1 0:2 / /dev rw,nosuid - tmpfs tmpfs rw
3 2 0:3 / /dev/shm rw,nosuid - tmpfs shm rw,size=64000k
4 1 0:4 / /run/my\\040data rw - tmpfs tmpfs rw
5 1 0:5 / /ro ro - tmpfs tmpfs ro
6 1 0:6 /userdata/hosts /etc/hosts rw - tmpfs run rw
7 1 0:7 / /proc/acpi rw - tmpfs tmpfs rw
"""
    assert in_memory(table) == ["/dev/shm", "/run/my data"]


def channels() -> tuple[Channel, socket.socket]:
    ours, theirs = socket.socketpair()
    descriptor = ours.detach()
    return Channel(descriptor, descriptor), theirs


def test_lines_and_what_follows_them() -> None:
    channel, other = channels()
    other.sendall(b"armed\nimages 3\nabcrest")
    channel.expect("armed")
    assert channel.line() == "images 3"
    assert channel.exactly(3) == b"abc"
    other.close()
    assert channel.rest() == b"rest"
    channel.close()


def test_a_failure_is_told_in_its_own_words() -> None:
    channel, other = channels()
    other.sendall(b"failed CRIU could not: this and that\n")
    with pytest.raises(Trouble, match="this and that"):
        channel.expect("dumped")
    other.close()
    with pytest.raises(Trouble, match="hung up"):
        channel.line()
    channel.close()


def test_silence_has_an_end() -> None:
    channel, other = channels()
    with pytest.raises(Trouble, match="hung up, or took"):
        channel.line(0.05)
    channel.close()
    other.close()


def test_memory_goes_ahead_until_a_pass_sends_little() -> None:
    told, heard = socket.socketpair()
    session, words = Channel(heard.fileno(), heard.fileno()), told.makefile("rb")
    told.sendall(b"passed 67108864\npassed 1048576\npassed 4096\npassed 4096\n")
    passes(session)
    told.shutdown(socket.SHUT_WR)
    heard.shutdown(socket.SHUT_WR)
    assert words.read() == b"ahead\n" * 3
    for end in (words, told, heard):
        end.close()


def test_a_pass_that_failed_says_why() -> None:
    told, heard = socket.socketpair()
    told.sendall(b"failed memory could not be sent ahead: (no error in its log)\n")
    with pytest.raises(Trouble, match=r"^memory could not be sent ahead") as caught:
        passes(Channel(heard.fileno(), heard.fileno()))
    assert caught.value.code == "not-sent"
    for end in (told, heard):
        end.close()


def test_no_link_leads_out_of_the_container(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service may put anything into its own /dev/shm; the agent, as root, must not follow it."""
    monkeypatch.setattr("umsui.agent.talk.ROOM", tuple(str(tmp_path).strip("/").split("/")))
    elsewhere = tmp_path / "elsewhere"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(elsewhere))
    listener.listen()
    (tmp_path / "talk").symlink_to(elsewhere)
    with pytest.raises(FileNotFoundError):
        enter(os.getpid(), "talk")
    (tmp_path / "talk").unlink()
    (tmp_path / "talk").write_text("no socket")
    with pytest.raises(FileNotFoundError):
        enter(os.getpid(), "talk")
    thread = threading.Thread(target=listener.accept)
    thread.start()
    enter(os.getpid(), "elsewhere").close()
    thread.join()
    listener.close()


def test_the_way_in_is_also_a_program_of_its_own(short: Path) -> None:
    """As a coordinator on another machine starts it: what it is told goes in, and what is said comes out."""
    room = tuple(str(short).strip("/").split("/"))
    text = inspect.getsource(talk).replace('("dev", "shm", ".umsui")', repr(room))
    groups = Path("/proc/self/cgroup").read_text().split()[0]

    def program(*words: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-ISc", text, str(os.getpid()), *words]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short / "talk"))
        listener.listen()
        listener.settimeout(20)
        with program("talk", groups) as joined:
            there, _ = listener.accept()
            threading.Thread(target=there.sendall, args=(b"much" * 500_000,)).start()
            assert joined.stdin is not None
            assert joined.stdout is not None
            joined.stdin.write(b"status\n")
            joined.stdin.close()
            with there, there.makefile("rb") as words:
                assert joined.stdout.read(2_000_000) == b"much" * 500_000
                assert words.read() == b"status\n"  # and the end of it
            assert joined.stdout.read() == b""
            assert joined.wait(20) == 0
        with program("talk", "another") as refused:
            assert b"is not of the container another" in refused.communicate()[1]
            assert refused.returncode == 1
    with program("nothing", groups) as refused:
        assert b"umsui does not listen in the container" in refused.communicate()[1]
        assert refused.returncode == 1


def test_what_has_arrived_is_never_seen_to_be_less(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for it may do so at the very moment in which it is noted."""
    monkeypatch.setattr(inside, "NOTED_EACH", -1.0)  # with each byte
    chunks, (coming, sending) = 3000, socket.socketpair()
    write_atomically(folder.control / "arrived", "0")
    destination, seen = Destination(folder, lambda kind, **data: None), [0]
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException), Path(os.devnull).open("wb") as nowhere:
            sending.close()
            os.dup2(coming.fileno(), 0)
            monkeypatch.setattr(inside, "CHUNK", 1)
            inside._take(Channel(0, nowhere.fileno()), 0.0, folder.control / "arrived")
        os._exit(0)
    sending.sendall(b"." * chunks)
    sending.close()
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        seen.append(destination.received()["memory"])
    assert seen == sorted(seen)
    assert destination.received()["memory"] == chunks
    coming.close()


@pytest.mark.parametrize("words", [[], ["thaw"], ["go"], ["dump"], ["pack", "/"]])
def test_the_source_may_not_ask_the_destination_for_more(folder: Folder, words: list[str]) -> None:
    with pytest.raises(SystemExit):
        serve(folder, words)


def test_the_age_of_a_container() -> None:
    assert unix_time("1970-01-01T00:00:01.5Z") == 1.5
    assert unix_time("1970-01-01T02:00:01.123456789+02:00") == pytest.approx(1.123456789)
    assert unix_time("1969-12-31T23:00:02-01:00") == 2.0


def test_an_engine_is_asked_for_a_process_once(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it has ended, or the number is another's: then the container was started anew."""
    mine = {"Id": Path("/proc/self/cgroup").read_text()[:5], "State": {"Pid": os.getpid()}}
    asked: list[dict[str, Any]] = []

    class Known:
        name = "known"

        def inspect(self, container: str) -> dict[str, Any]:
            assert container == "box"
            return asked.pop()

    monkeypatch.setattr("umsui.agent.inside.engines.of", lambda _: Known())
    folder.note(container="box")
    asked.append(mine)
    for _ in range(3):
        assert inside_of(folder).pid == os.getpid()
    for gone in ({"id": mine["Id"], "pid": 1 << 22}, {"id": "another's", "pid": os.getpid()}):
        folder.note(process=gone)
        asked.append(mine)
        assert inside_of(folder).pid == os.getpid()
        assert asked == []
    folder.note(process=None)
    asked.append({"Id": "x", "State": {"Pid": 0}})
    with pytest.raises(Trouble) as caught:
        inside_of(folder)
    assert caught.value.code == "not-running"
