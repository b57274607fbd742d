"""Memory that runners on this machine read and write as files, without a copy on disk."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SharedArray:
    """float32 array of a shape in anonymous memory, initially zero; freed when this process ends.

    Attributes:
        array: The memory; it remains valid after `close` while it is referenced.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        import numpy as np

        size_bytes = 4 * int(np.prod(shape))
        # Not a file in /dev/shm: containers limit that to 64 MB, and SIGKILL would leave the file behind.
        self._handle = os.memfd_create("edgekit-feed")
        try:
            os.ftruncate(self._handle, size_bytes)
            memory = mmap.mmap(self._handle, size_bytes)
        except BaseException:
            os.close(self._handle)
            raise
        self.array: NDArray[np.float32] = np.frombuffer(memory, np.float32).reshape(shape)

    @property
    def path(self) -> Path:
        """Path under which runners of this user open the memory, raw float32 in C order."""
        return Path(f"/proc/{os.getpid()}/fd/{self._handle}")

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


class OutputFiles:
    """In-memory files for outputs, one for each inference at the same time: one on disk costs 0.3 ms."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._closed = False

    @contextlib.contextmanager
    def lend(self) -> Iterator[int]:
        """Lend the handle of a file for one output; the file is used again later."""
        try:
            handle = self._free.pop()
        except IndexError:
            handle = os.memfd_create("edgekit-output")
        try:
            yield handle
        finally:
            if self._closed:
                os.close(handle)
            else:
                self._free.append(handle)

    def close(self) -> None:
        """Close all files; one that is lent is closed when it comes back."""
        self._closed = True
        while self._free:
            os.close(self._free.pop())
