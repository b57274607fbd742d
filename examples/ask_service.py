"""Ask a running `edgekit serve` about pictures, by the Open Inference Protocol over REST.

edgekit serve PPLCNet_x1_0_doc_ori --port 8080 &
python examples/ask_service.py localhost:8080 PPLCNet_x1_0_doc_ori models/samples/page_90.png
"""

from __future__ import annotations

import base64
import json
import sys
import urllib.request
from pathlib import Path


def ask(address: str, model: str, pictures: list[Path]) -> list[tuple[str, float]]:
    """The best label of every picture with its score."""
    data = [base64.b64encode(path.read_bytes()).decode() for path in pictures]
    body = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [len(data)], "data": data}]}
    request = urllib.request.Request(
        f"http://{address}/v2/models/{model}/infer",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        outputs = {each["name"]: each for each in json.load(response)["outputs"]}
    width = outputs["scores"]["shape"][1]
    labels, scores = outputs["label_names"]["data"], outputs["scores"]["data"]
    return [(labels[row * width], scores[row * width]) for row in range(len(pictures))]


if __name__ == "__main__":
    address, model, *names = sys.argv[1:]
    for name, (label, score) in zip(names, ask(address, model, [Path(name) for name in names]), strict=True):
        print(f"{name}: {label} ({score:.0%})")
