"""The logs of a run: `metrics.jsonl` and TensorBoard's event files."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit._files import output_error
from edgekit.errors import ToolError
from edgekit.training.settings import EpochReport

METRICS_FILE = "metrics.jsonl"
EVENTS_DIRECTORY = "tensorboard"


class Log:
    """One run's log; end it with `close`.

    Args:
        output: The run's directory.
        epochs_done: Lines that a resumed run keeps; later ones, of an interrupted epoch, are deleted.

    Raises:
        ToolError: tensorboardX is not installed.
        OutputError: The directory cannot be written.
    """

    def __init__(self, output: Path, epochs_done: int) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ToolError(
                f"logging for TensorBoard: {error}", hint="pip install 'edgekit[train]'"
            ) from error
        self._path = output / METRICS_FILE
        try:
            kept = self._path.read_text().splitlines()[:epochs_done] if self._path.is_file() else []
            self._path.write_text("".join(f"{line}\n" for line in kept))
        except OSError as error:
            raise output_error(self._path, error) from error
        self._events = SummaryWriter(str(output / EVENTS_DIRECTORY), purge_step=epochs_done + 1)

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
