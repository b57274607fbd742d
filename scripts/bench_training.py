"""Is training's data pipeline the bottleneck?   scripts/bench_training.py [--pictures 256] [--epochs 3]

Trains PPLCNet_x0_25 at full size on pictures of 500x375 pixels and prints the share of an epoch in which
training waited for them. The limit is 5 %.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

LIMIT = 0.05
CLASSES = 10


def write_pictures(directory: Path, count: int) -> Path:
    """Noisy JPEGs, as hard to decode as photographs; the path of their list."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    lines = []
    for index in range(count):
        coarse = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        pixels = cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        pixels += rng.integers(-12, 13, pixels.shape, dtype=np.int16)
        cv2.imwrite(str(directory / f"{index}.jpg"), pixels.clip(0, 255).astype(np.uint8))
        lines.append(f"{index}.jpg {index % CLASSES}\n")
    path = directory / "list.txt"
    path.write_text("".join(lines))
    return path


def main() -> int:
    from edgekit.training.launch import start
    from edgekit.training.settings import TrainSettings

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        pictures = write_pictures(Path(name), options.pictures)
        report = start(
            TrainSettings(
                model="PPLCNet_x0_25",
                data=name,
                train_list=str(pictures),
                val_list=str(pictures),
                num_classes=CLASSES,
                output=str(Path(name) / "output"),
                epochs=options.epochs,
                batch_size=options.batch_size,
                warmup_epochs=1,
            ),
            processes=1,
            resume=False,
            say=lambda line: print(line, file=sys.stderr),
        )
    shares = sorted(epoch.wait_share for epoch in report.epochs)
    share = shares[len(shares) // 2]
    rate = max(epoch.pictures_per_s for epoch in report.epochs)
    passed = share <= LIMIT
    print(f"training waits for pictures: {share:.1%} (limit {LIMIT:.0%}), {rate:.0f} pictures/s")
    return 0 if passed else 9


if __name__ == "__main__":
    sys.exit(main())
