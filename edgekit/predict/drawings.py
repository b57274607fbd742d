"""Pictures with their answers drawn on, as files of a directory."""

from __future__ import annotations

from pathlib import Path

from edgekit._files import atomic_file
from edgekit.errors import OutputError
from edgekit.tasks.task import Answer, Task
from edgekit.vision.decode import load_cv2
from edgekit.vision.pictures import Picture, read_picture

# Kinds of files that OpenCV writes; other pictures are drawn as PNG.
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_MOST_NAME_BYTES = 200


class Drawings:
    """Directory of drawn pictures; made with the first one.

    A drawing has the name of its picture; of several pictures with one name the later ones get a number.

    Args:
        directory: Place of the drawings; files of other runs are replaced.
        task: The model's task, which draws.
    """

    def __init__(self, directory: Path, task: Task) -> None:
        self._directory = directory
        self._task = task
        self._names: set[str] = set()

    def add(self, picture: Picture, answer: Answer) -> Path:
        """Read a picture again, draw its answer, write what the task puts beside it, and return the path.

        Raises:
            InputError: The picture has become unreadable.
            OutputError: The drawing cannot be written, or would replace its picture.
        """
        pixels = read_picture(picture)
        self._task.draw(pixels, answer)
        path = self._directory / self._name(picture.name)
        if isinstance(picture.source, Path) and path.exists() and path.samefile(picture.source):
            raise OutputError(
                f"drawing on {picture.name}: the drawing would replace the picture",
                hint="name another directory (--draw DIR)",
            )
        encoded, content = load_cv2().imencode(path.suffix, pixels)
        assert encoded, path.suffix
        beside = {path.with_name(path.stem + end): data for end, data in self._task.files(answer).items()}
        try:
            for file, data in {path: content.data, **beside}.items():
                with atomic_file(file, durable=False) as part:
                    part.write_bytes(data)
        except OutputError as error:
            raise OutputError(error.message, hint="name another directory (--draw DIR)") from error
        return path

    def _name(self, picture: str) -> str:
        """Return a file name for a picture that no earlier one has."""
        path = Path(picture)
        suffix = path.suffix if path.suffix.lower() in _SUFFIXES else ".png"
        stem = path.stem.encode()[:_MOST_NAME_BYTES].decode(errors="ignore")
        name, number = f"{stem}{suffix}", 1
        while name in self._names:
            number += 1
            name = f"{stem}-{number}{suffix}"
        self._names.add(name)
        return name
