"""The source's end of the wire: a key for one migration, one SSH connection, and the streams that share it."""

from __future__ import annotations

import os
import shlex
import subprocess
import tarfile
import time
from typing import Any, Callable, Dict, List

from umsui.agent import engines, joint
from umsui.agent.host import Folder, Trouble, end_program, environment, locked, run
from umsui.agent.image import thin

Emit = Callable[..., None]


class Uplink:
    """What leads from the source to the destination. ``emit(kind, **data)`` tells the coordinator of progress."""

    def __init__(self, folder: Folder, emit: Emit) -> None:
        self.folder = folder
        self.emit = emit
        self.rate = 0.0  # bytes per second that each stream may take; 0: no limit

    def key(self) -> Dict[str, str]:
        """A key for this one migration; answers its public half."""
        key = self.folder.control / "key"
        if not key.exists():
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"umsui:{self.folder.migration}", "-f", str(key)])
        return {"public": key.with_suffix(".pub").read_text().strip()}

    def connect(self, user: str, address: str, port: int, host_key: str, rate: float = 0.0) -> Dict[str, float]:
        """Open the wire: one SSH connection that all streams share. Answers the time it took.

        ``address`` "": there is no way of our own, the coordinator joins both ends (``umsui.agent.joint``).
        ``rate`` limits each stream, in bytes per second (0: no limit).
        """
        self.rate = rate
        began = time.monotonic()
        control = self.folder.control
        self.hang_up()  # of an agent that is no more
        (control / "known_hosts").write_text(f"umsui {host_key}\n")
        lines = [
            "Host umsui",
            *([f"  HostName {address}", f"  Port {port}"] if address else joint.ssh_options(self.folder)),
            f"  User {user}",
            f"  IdentityFile {control}/key",
            "  IdentitiesOnly yes",
            f"  UserKnownHostsFile {control}/known_hosts",
            "  HostKeyAlias umsui",
            "  StrictHostKeyChecking yes",
            "  BatchMode yes",
            "  Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com",
            "  Compression no",
            "  ConnectTimeout 10",
            "  ServerAliveInterval 5",
            "  ServerAliveCountMax 3",
            "  ControlMaster auto",
            f"  ControlPath {control}/wire",
            "  ControlPersist yes",
            "  LogLevel ERROR",
        ]
        (control / "ssh.conf").write_text("\n".join(lines) + "\n")
        run([*self.ssh(), "-N", "-f", "umsui"], timeout=20, code="no-route")
        return {"seconds": time.monotonic() - began}

    def ssh(self) -> List[str]:
        """The words that every command on the wire begins with."""
        return ["ssh", "-F", f"{self.folder.control}/ssh.conf"]

    def stream(self, words: str, **more: Any) -> "subprocess.Popen[bytes]":
        """A program at the destination's end of the wire."""
        return subprocess.Popen([*self.ssh(), "umsui", words], env=environment(), **more)

    def take_over(self) -> None:
        """No agent sends pages from now on but this one: one before it may not know that its connection is gone."""
        with locked(self.folder.images):
            state = self.folder.state()
            if state.get("streamer", os.getpid()) != os.getpid():
                end_program(state.get("stream", 0), "ssh")
            self.folder.note(streamer=os.getpid())

    def page_stream(self) -> "subprocess.Popen[bytes]":
        """The stream that pages go by, and orders come back. Raises Trouble: another agent has taken it over."""
        with locked(self.folder.images):
            if self.folder.state().get("streamer") != os.getpid():
                raise Trouble("taken-over", "another agent has taken this migration up")
            stream = self.stream("memory", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.folder.note(stream=stream.pid)
        return stream

    def send_image(self, image: str, there: List[str]) -> Dict[str, int]:
        """The container image, without the layers that are ``there`` already; answers the bytes sent."""
        save = subprocess.Popen(engines.of(self.folder).save(image), stdout=subprocess.PIPE, env=environment())
        assert save.stdout is not None
        load = self.stream("image", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert load.stdin is not None
        sent, told, began = 0, 0.0, time.monotonic()

        def moved(count: int) -> None:
            nonlocal sent, told
            sent += count
            if self.rate:
                time.sleep(max(0.0, began + sent / self.rate - time.monotonic()))
            if time.monotonic() - told > 0.1:
                told = time.monotonic()
                self.emit("progress", what="image", done=sent, total=None, rate=None)

        try:
            thin(save.stdout, load.stdin, set(there), moved)
        except (BrokenPipeError, tarfile.TarError):
            save.kill()  # the destination refused, or there is no image; the words come with the status below
        words = load.communicate()[1].decode(errors="replace")
        if save.wait() or load.returncode:
            raise Trouble("image-not-copied", f"the image {image} could not be sent: {words.strip()[-400:]}")
        return {"bytes": sent}

    def shell(self) -> str:
        """The words that rsync starts its streams with."""
        return shlex.join(self.ssh())

    def cut_off(self) -> bool:
        """Whether there was a connection, and is none any more."""
        if not (self.folder.control / "ssh.conf").exists():
            return False
        check = [*self.ssh(), "-O", "check", "umsui"]
        return subprocess.run(check, capture_output=True, env=environment(), timeout=10, check=False).returncode != 0

    def hang_up(self) -> None:
        """End the connection, if there is one."""
        if (self.folder.control / "ssh.conf").exists():
            subprocess.run(
                [*self.ssh(), "-O", "exit", "umsui"], capture_output=True, env=environment(), timeout=10, check=False
            )


def last_words(process: "subprocess.Popen[bytes]") -> str:
    """End a stream's program; why it was of no use, in its own words."""
    process.kill()
    assert process.stderr is not None
    return process.stderr.read().decode(errors="replace").strip()[-400:]
