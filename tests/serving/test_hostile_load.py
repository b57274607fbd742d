"""The service under load with hostile requests, as `scripts/bench_service_hostile.py` measures it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, require_mlserver

require_mlserver()


@pytest.mark.slow
def test_no_innocent_request_fails_beside_hostile_ones(doc_ori: Path, tmp_path: Path) -> None:
    script = REPOSITORY / "scripts" / "bench_service_hostile.py"
    done = subprocess.run(
        [sys.executable, script, doc_ori, "--seconds", "10", "--serve", "--grace 3"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    # 9 where a limit of time or memory is missed, which on a busy machine says nothing.
    assert done.returncode in (0, 9), done.stderr
    innocent = re.search(r"(\d+) innocent requests, (\d+) failed", done.stdout)
    assert innocent is not None and int(innocent[1]) > 100 and int(innocent[2]) == 0, done.stdout
    assert "ended with 0" in done.stdout
    ended = dict(re.findall(r"x (.+): (.+)", done.stdout))
    assert len(ended) > 5 and not {"INTERNAL", "UNKNOWN", "500"} & set(ended.values()), done.stdout
