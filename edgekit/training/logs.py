"""The logs of a run: `metrics.jsonl` and TensorBoard's event files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit._files import output_error, write_atomic
from edgekit.errors import ToolError
from edgekit.training.settings import EpochReport

METRICS_FILE = "metrics.jsonl"
EVENTS_DIRECTORY = "tensorboard"


class Log:
    """One run's log; end it with `close`.

    Args:
        output: The run's directory.
        done: Finished epochs of a resumed run. The log has these alone, whatever an interruption left.

    Raises:
        ToolError: tensorboardX is not installed.
        OutputError: The directory cannot be written.
    """

    def __init__(self, output: Path, done: Sequence[EpochReport]) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ToolError(
                f"logging for TensorBoard: {error}", hint="pip install 'edgekit[train]'"
            ) from error
        self._path = output / METRICS_FILE
        write_atomic(self._path, msgspec.json.Encoder().encode_lines(done))
        self._events = SummaryWriter(str(output / EVENTS_DIRECTORY), purge_step=len(done) + 1)

    def epoch(self, report: EpochReport) -> None:
        """Add one epoch. Raises OutputError."""
        try:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(report) + b"\n")
        except OSError as error:
            raise output_error(self._path, error) from error
        for name in ("loss", "val_loss", "learning_rate", "top1", "top5", "mean_accuracy", "pictures_per_s",
                     "wait_share"):  # fmt: skip
            if (value := getattr(report, name)) is not None:
                self._events.add_scalar(name, value, report.epoch)
        self._events.flush()

    def close(self) -> None:
        """End the event file."""
        self._events.close()
