"""Memory that runners on this machine read as a file without a copy."""

from __future__ import annotations

import mmap
import os
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
