"""The processes that exports run in."""

from __future__ import annotations

import contextlib

from edgekit._worker import Worker
from edgekit.convert.exporting.jobs import Built
from edgekit.convert.formats.lite import Ended, lite_worker
from edgekit.errors import ConversionError
from edgekit.toolchain import paddle
from edgekit.toolchain.opt.opt import Opt

# Building, writing and converting the largest network takes 20 s.
ANSWER_TIMEOUT_S = 600.0


class ExportWorkers(contextlib.AbstractContextManager["ExportWorkers"]):
    """The processes of one lane, each for any number of models: Paddle's, and opt's. Use as context manager.

    Attributes:
        paddle: Imports Paddle once and builds models.
    """

    def __init__(self) -> None:
        self.paddle: Worker[Built] = Worker(
            paddle.worker("edgekit.convert.exporting.worker"),
            Built,
            failure=ConversionError,
            timeout_s=ANSWER_TIMEOUT_S,
            # Without FLAGS_enable_pir_api Paddle writes PIR programs, which opt cannot read.
            env={"FLAGS_enable_pir_api": "0", "GLOG_minloglevel": "2"},
        )
        self._lite: dict[Opt, Worker[Ended]] = {}

    def lite(self, opt: Opt) -> Worker[Ended]:
        """Return the started process that runs an opt."""
        worker = self._lite.setdefault(opt, lite_worker(opt))
        worker.start()
        return worker

    def __exit__(self, *_: object) -> None:
        self.paddle.close()
        for worker in self._lite.values():
            worker.close()
