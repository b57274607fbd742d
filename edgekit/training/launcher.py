"""`paddle.distributed.launch`, and workers under it, that end with whoever started them.

The launcher puts its workers into sessions of their own, where no signal to its group reaches them; left
alone they would go on writing into a run that somebody resumes.
"""

from __future__ import annotations

import runpy

from edgekit._worker import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    runpy.run_module("paddle.distributed.launch", run_name="__main__", alter_sys=True)
