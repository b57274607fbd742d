from __future__ import annotations

import json
from pathlib import Path

from edgekit._files import sha256_file
from edgekit.evaluate.evaluate import default_output, hash_list


def test_another_list_has_another_result(tmp_path: Path) -> None:
    lists = [tmp_path / name for name in ("val.txt", "test.txt", "other/test.txt")]
    for number, path in enumerate(lists):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"a.png {number}\n")
    results = tmp_path / "results"
    results.mkdir()
    for path, name in zip(lists, ("eval-net", "eval-net-test", "eval-net-2"), strict=True):
        for _ in range(2):  # the same list again has the same place, whole or not
            found = default_output("net", path, hash_list(path), results)
            assert found == results / f"{name}.json"
            journal = found.with_suffix(".journal")
            if not journal.exists():
                journal.write_text(json.dumps({"list_sha256": sha256_file(path)}) + "\nx\n")
            else:
                found.write_text(json.dumps({"list_sha256": sha256_file(path)}))
    (results / "eval-net.json").write_text("{")
    assert default_output("net", lists[0], hash_list(lists[0]), results) == results / "eval-net-val.json"
