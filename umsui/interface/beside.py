"""Work beside a move's steps: begun, watched, waited for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Found = TypeVar("Found")


def begin(work: Callable[[], Found], name: str) -> Future[Found]:
    """Do this in a thread of its own, beside what comes next."""
    pool = ThreadPoolExecutor(1, thread_name_prefix=name)
    begun = pool.submit(work)
    pool.shutdown(wait=False)
    return begun


def wait_for(begun: Future[Found], step_aside: Callable[[], None], enough: Callable[[], bool] = lambda: False) -> None:
    """Until it has ended, or come as far as is ``enough``.

    Raises what has ended it, and whatever ``step_aside`` raises meanwhile: the work then goes on until it is undone.
    """
    while not (begun.done() or enough()):
        step_aside()
        wait([begun], 0.05)
    if begun.done():
        begun.result()


@contextlib.contextmanager
def watching(watch: Callable[[threading.Event], None]) -> Iterator[None]:
    """Let somebody watch meanwhile, until the event tells that it is over."""
    over = threading.Event()
    threading.Thread(target=watch, args=(over,), name="watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()
