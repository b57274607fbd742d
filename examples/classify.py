"""Sort pictures into folders by what a model sees in them.

python examples/classify.py PPLCNet_x1_0_doc_ori models/samples --into sorted
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from edgekit import EdgeKit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="an exported model: a name below models/, or a directory")
    parser.add_argument("pictures", nargs="+", help="files or directories")
    parser.add_argument("--into", type=Path, required=True, help="where the folders go")
    parser.add_argument("--least", type=float, default=0.5, help="pictures below it go to `unsure`")
    asked = parser.parse_args()
    with EdgeKit(asked.model, batch_size=8, top_k=1) as model:
        for batch in model.predict(asked.pictures):
            for answer in batch:
                label, score = answer["label_names"][0], answer["scores"][0]
                folder = asked.into / (label if score >= asked.least else "unsure")
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(answer["filename"], folder)
                print(f"{answer['filename']}: {label} ({score:.0%}) -> {folder}")


if __name__ == "__main__":
    main()
