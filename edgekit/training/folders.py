"""Lists made of directories of pictures: a folder for each class, or pictures without labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from edgekit._files import write_atomic
from edgekit.errors import InputError
from edgekit.vision.lists import HINT
from edgekit.vision.pictures import Picture, find_pictures

TRAIN_LIST, VAL_LIST, LABELS = "train_list.txt", "val_list.txt", "labels.txt"
# Names of folders that hold the two parts of a data set that is split already.
TRAIN_FOLDERS, VAL_FOLDERS = ("train", "training"), ("val", "valid", "validation", "test")
FOLDERS_HINT = (
    "a folder for each class with its pictures, or train/ and val/ with such folders, or train_list.txt and "
    "val_list.txt"
)


class Lists(msgspec.Struct, frozen=True, kw_only=True):
    """The lists of a run and the names of the classes; empty where nobody gave names."""

    train: Path
    val: Path
    names: tuple[str, ...] = ()


def written_lists(output: Path) -> Lists | None:
    """Return the lists that an earlier start of a run has made; None where it made none."""
    lists = Lists(train=output / TRAIN_LIST, val=output / VAL_LIST)
    if not (lists.train.is_file() and lists.val.is_file()):
        return None
    labels = output / LABELS
    names = tuple(labels.read_text().splitlines()) if labels.is_file() else ()
    return msgspec.structs.replace(lists, names=names)


def make_lists(data: Path, output: Path, *, val_share: float, seed: int, unlabelled: bool) -> Lists:
    """Write the lists of a directory's pictures, and the names of its classes, into the output.

    Classes are the folders in sorted order. Where the directory is not split into train and val, a share of
    each class is drawn by the seed to be judged by.

    Args:
        data: The directory; paths of the lists are relative to it.
        output: Directory for the lists; made if missing.
        val_share: Share of each class to judge by; one picture at least.
        seed: Seed of the draw.
        unlabelled: Whether pictures without a class are accepted, as a teacher labels them.

    Raises:
        InputError: There are no pictures, one class only, a class with a single picture, a class in val/
            alone, or a path that a list cannot hold.
        OutputError: The output cannot be written.
    """
    if not data.is_dir():
        raise InputError(f"reading the pictures {data}: no such directory", hint=FOLDERS_HINT)
    parts = [_first_folder(data, names) for names in (TRAIN_FOLDERS, VAL_FOLDERS)]
    train_part, val_part = parts
    if train_part is not None and val_part is not None and _classes(train_part):
        train, val = _classes(train_part), _classes(val_part)
        if unknown := sorted(val.keys() - train.keys()):
            raise InputError(f"reading {val_part}: {train_part} has no class {unknown[0]!r}")
        chosen = {name: (train[name], val.get(name, [])) for name in train}
    else:
        chosen = {
            name: _drawn(name, pictures, val_share, (seed, number))
            for number, (name, pictures) in enumerate(_classes(data).items())
        }
    if not chosen and unlabelled:
        chosen = {"": _drawn("the directory", _pictures(data), val_share, (seed,))}
    elif len(chosen) < 2:
        found = f"one class only, {next(iter(chosen))!r}" if chosen else "no folders with pictures"
        raise InputError(f"reading the pictures {data}: {found}", hint=FOLDERS_HINT)
    names = () if "" in chosen else tuple(chosen)
    lists = Lists(train=output / TRAIN_LIST, val=output / VAL_LIST, names=names)
    for path, place in ((lists.train, 0), (lists.val, 1)):
        lines = [
            _line(picture.relative_to(data), number if names else None)
            for number, pictures in enumerate(chosen.values())
            for picture in pictures[place]
        ]
        write_atomic(path, "".join(lines).encode())
    if names:
        write_atomic(output / LABELS, "".join(f"{name}\n" for name in names).encode())
    return lists


def _first_folder(data: Path, names: Sequence[str]) -> Path | None:
    return next((data / name for name in names if (data / name).is_dir()), None)


def _classes(directory: Path) -> dict[str, list[Path]]:
    """Return the pictures below each folder that has any, by the folder's name."""
    folders = sorted(each for each in directory.iterdir() if each.is_dir() and not each.name.startswith("."))
    found = {folder.name: _pictures(folder) for folder in folders}
    return {name: pictures for name, pictures in found.items() if pictures}


def _pictures(folder: Path) -> list[Path]:
    return [
        each.source
        for each in find_pictures([folder])
        if isinstance(each, Picture) and isinstance(each.source, Path)
    ]


def _drawn(
    name: str, pictures: list[Path], val_share: float, key: tuple[int, ...]
) -> tuple[list[Path], list[Path]]:
    """Split pictures at random into those to learn from and those to judge by, each in order."""
    if len(pictures) < 2:
        raise InputError(
            f"splitting the pictures of {name}: there are {len(pictures)}, and at least one is learned from "
            "and one judged by",
            hint=FOLDERS_HINT,
        )
    held = min(len(pictures) - 1, max(1, round(val_share * len(pictures))))
    chosen = set(np.random.default_rng(key).permutation(len(pictures))[:held].tolist())
    parts: tuple[list[Path], list[Path]] = ([], [])
    for place, picture in enumerate(pictures):
        parts[place in chosen].append(picture)
    return parts


def _line(path: Path, label: int | None) -> str:
    text = str(path)
    if "\n" in text or "\r" in text or text != text.strip():
        raise InputError(f"listing the picture {text!r}: a list cannot hold this name", hint=HINT)
    return f"{text}\n" if label is None else f"{text} {label}\n"
