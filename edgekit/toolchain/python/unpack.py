"""Program for the device: unpacks `lib.zip` of each directory that it is given, into `lib` beside it."""

import shutil
import sys
import zipfile
from pathlib import Path

ARCHIVE, UNPACKED = "lib.zip", "lib"
# A push removes directories of such names, which an interrupted call leaves.
PARTIAL = ".edgekit-unpack.part"


def unpack(directory: Path) -> None:
    """Unpack a directory's archive unless that was done, completely or not at all.

    Raises:
        OSError: The file system is full or cannot be written.
        zipfile.BadZipFile: The archive is damaged.
    """
    target, partial = directory / UNPACKED, directory / PARTIAL
    if target.is_dir():
        return
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(directory / ARCHIVE) as archive:
            archive.extractall(partial)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def main(directories: list[str]) -> None:
    """Unpack directories; end with one line on stderr and exit code 1 where one fails."""
    for directory in directories:
        try:
            unpack(Path(directory))
        except (OSError, zipfile.BadZipFile) as error:
            sys.exit(f"{directory}: {getattr(error, 'strerror', None) or error}")


if __name__ == "__main__":
    main(sys.argv[1:])
