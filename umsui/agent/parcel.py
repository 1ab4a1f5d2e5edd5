"""The checkpoint's small files on their way: a tar stream whose last member, ``complete``, starts the restore."""

from __future__ import annotations

import io
import subprocess
import tarfile
import threading
from pathlib import Path

from umsui.agent.extras import Extras
from umsui.agent.host import Trouble
from umsui.agent.uplink import last_words


class Parcel:
    """Without the memory, which was sent before or is fetched later. ``stream`` leads to ``umsui.agent.wire``."""

    def __init__(self, stream: "subprocess.Popen[bytes]") -> None:
        self.stream = stream
        self.packed = io.BytesIO()
        self.archive = tarfile.open(fileobj=self.packed, mode="w")  # noqa: SIM115 - closed by ``complete``

    def send(self, images: Path, extras: Extras) -> None:
        """All of them; nothing begins yet. Raises Trouble."""
        for path in sorted(images.iterdir()):
            data = path.read_bytes()
            member = tarfile.TarInfo(path.name)  # not more: whose they are would be looked up in files
            member.size = len(data)
            self.archive.addfile(member, io.BytesIO(data))
        extras.pack(self.archive)
        self._flush()

    def complete(self, timeout: float) -> None:
        """Let the restore begin; returns when it has. Raises Trouble."""
        self.archive.addfile(tarfile.TarInfo("complete"))
        self.archive.close()
        self._flush()
        assert self.stream.stdin is not None
        assert self.stream.stdout is not None
        self.stream.stdin.close()
        alarm = threading.Timer(timeout, self.stream.kill)
        alarm.start()
        answer = self.stream.stdout.readline()
        alarm.cancel()
        if answer != b"started\n":
            raise Trouble("no-wire", "the destination did not take the checkpoint: " + last_words(self.stream))

    def _flush(self) -> None:
        assert self.stream.stdin is not None
        try:
            self.stream.stdin.write(self.packed.getvalue())
            self.stream.stdin.flush()
        except BrokenPipeError as error:
            raise Trouble("no-wire", "the destination hung up: " + last_words(self.stream)) from error
        self.packed.seek(0)
        self.packed.truncate()
