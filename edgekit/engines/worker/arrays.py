"""Files of arrays that the host and its worker share: raw, little-endian, in C order, without gaps."""

import os
from typing import Any, Dict, List, Optional, Tuple

from edgekit.engines.worker.engine import format_shape
from edgekit.engines.worker.refusal import RefusedError


class MappedFile:
    """The last mapped file as an array; it is mapped again only for another file.

    A batch that is rewritten in place causes no page faults; at batch 8 these take a tenth of an inference.
    """

    def __init__(self) -> None:
        self._identity: Optional[Tuple[int, int, int]] = None
        self._array: Any = None

    def _open(self, path: str) -> Any:
        """Return a file's content as uint8[N]; raises RefusedError."""
        import numpy

        try:
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino, status.st_size)
            if identity != self._identity:
                # The mapping keeps its file's inode in use, so no other file can get the same inode number.
                # Writable, because OpenVINO accepts nothing else; no engine writes to its input.
                mode: Any = "r+" if os.access(path, os.W_OK) else "c"
                self._array = numpy.memmap(path, dtype="u1", mode=mode).view(numpy.ndarray)
                self._identity = identity
        except OSError as error:
            raise RefusedError("io", "reading {}: {}".format(path, error.strerror or error)) from error
        except ValueError as error:  # an empty file
            raise RefusedError("io", "reading {}: {}".format(path, error)) from error
        return self._array

    def read(
        self, path: str, inputs: List[Dict[str, Any]], shapes: List[List[int]], skip: Optional[int]
    ) -> List[Any]:
        """Return the arrays of a file from `skip` on, in its memory where their places are aligned."""
        import numpy

        content, used = self._open(path), 0
        if skip is not None:
            content = content[skip:]
        arrays = []
        for one, shape in zip(inputs, shapes):  # noqa: B905 (Python 3.10)
            dtype = numpy.dtype(one["dtype"])
            count = 1
            for size in shape:
                count *= size
            part = content[used : used + count * dtype.itemsize]
            used += count * dtype.itemsize
            if part.size == count * dtype.itemsize:
                array = part.view(dtype).reshape(shape)
                arrays.append(array if array.flags.aligned else array.copy())
        if content.size < used or (skip is None and content.size > used):
            raise RefusedError(
                "io",
                "{} has {} bytes, {} needs {}".format(
                    path, content.size, " and ".join(map(format_shape, shapes)), used
                ),
            )
        return arrays

    def write(self, path: str, results: List[Any]) -> None:
        """Overwrite an existing file in place, because others may share its memory; else write atomically."""
        import numpy

        # `ascontiguousarray` makes one dimension of none.
        rows = [numpy.ascontiguousarray(each).reshape(-1).view(numpy.uint8) for each in results]
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            partial = "{}.{}.part".format(path, os.getpid())
            try:
                _write_rows(rows, partial)
                os.replace(partial, path)
            except OSError:
                if os.path.exists(partial):
                    os.unlink(partial)
                raise
            return
        if size == sum(row.size for row in rows) > 0 and os.access(path, os.W_OK):
            memory, used = self._open(path), 0
            for row in rows:
                memory[used : used + row.size] = row
                used += row.size
        else:
            _write_rows(rows, path)


def _write_rows(rows: List[Any], path: str) -> None:
    with open(path, "wb") as file:
        for row in rows:
            row.tofile(file)
