"""Handwritten digits (scikit-learn's copy of the UCI test set) as a labelled list of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

TRAINED = 1400


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1400 pictures to learn from, the other 397 to judge by; 64 of them in `few.txt`."""
    cv2 = pytest.importorskip("cv2")
    datasets = pytest.importorskip("sklearn.datasets")
    directory = tmp_path_factory.mktemp("digits")
    bunch = datasets.load_digits()
    lines = []
    for index, (image, label) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        pixels = cv2.resize((image * 15).astype("uint8"), (32, 32), interpolation=cv2.INTER_CUBIC)
        assert cv2.imwrite(str(directory / f"{index}.png"), pixels)
        lines.append(f"{index}.png {label}\n")
    (directory / "train_list.txt").write_text("".join(lines[:TRAINED]))
    (directory / "val_list.txt").write_text("".join(lines[TRAINED:]))
    (directory / "few.txt").write_text("".join(lines[:64]))
    return directory
