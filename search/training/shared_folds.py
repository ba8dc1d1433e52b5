"""Examples in memory that is shared by the training processes of this machine.

The arrays are written once into a file that is in memory and has no name. Each process maps it, so
that all of them use the same pages; the system frees it when the last of them has ended, however
that ends.
"""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from dataclasses import dataclass
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import IO, Any

from core.trainer.aligned import ALIGNMENT
from search.training.executor import Folds

Span = tuple[int, int]  # the first byte of an array in the file, and one more than the last


@dataclass(frozen=True, slots=True)
class SharedFolds:
    """What each fold is trained on, ready to be sent to other processes.

    pickled: everything but the values of the arrays. spans: where these are in the file.
    file: None if there are no arrays, or if the system cannot share one like this.
    """

    pickled: bytes
    spans: tuple[Span, ...]
    file: IO[bytes] | None

    @classmethod
    def of(cls, folds: Folds) -> SharedFolds:
        """Return these folds. Raises OSError if there is no room for a copy of the arrays."""
        if os.name != "posix":
            return cls(pickle.dumps(folds), (), None)
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(folds, protocol=5, buffer_callback=buffers.append)
        spans, end = [], 0
        for buffer in buffers:
            start = -(-end // ALIGNMENT) * ALIGNMENT
            end = start + buffer.raw().nbytes
            spans.append((start, end))
        if end == 0:
            return cls(pickle.dumps(folds), (), None)
        file = _nameless_file()
        for (start, _), buffer in zip(spans, buffers, strict=True):
            file.seek(start)
            file.write(buffer.raw())
        file.flush()
        return cls(pickled, tuple(spans), file)

    def send(self, pipe: Connection, process_id: int) -> None:
        """Send the folds to a process, which takes them by `received`. Raises OSError."""
        pipe.send((self.pickled, self.spans))
        if self.file is not None:
            reduction.send_handle(pipe, self.file.fileno(), process_id)

    def close(self) -> None:
        """Close the file; processes that have mapped it keep it."""
        if self.file is not None:
            self.file.close()


def received(pipe: Connection) -> Folds:
    """Return the folds that another process sent by `SharedFolds.send`; their arrays are shared
    and cannot be written to."""
    pickled, spans = pipe.recv()
    if not spans:
        folds: Folds = pickle.loads(pickled)
        return folds
    handle = reduction.recv_handle(pipe)
    try:
        whole = memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))
    finally:
        os.close(handle)
    buffers = [whole[start:end] for start, end in spans]
    shared: Folds = pickle.loads(pickled, buffers=buffers)
    return shared


def _nameless_file() -> Any:
    """Return an open file that has no name: in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("lockstep"), "w+b")
    return tempfile.TemporaryFile()
