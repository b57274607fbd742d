"""The checkpoint that a run is resumed from: weights, optimiser, average and progress in one file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit._files import write_atomic
from edgekit.errors import InputError
from edgekit.training.settings import EpochReport, TrainSettings
from edgekit.zoo.state_file import read_saved

if TYPE_CHECKING:
    import paddle

CHECKPOINT_FILE = "checkpoint.pdstates"
BEST_WEIGHTS = "best_model.pdparams"
LATEST_WEIGHTS = "latest.pdparams"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of a run: the finished epochs, and `step` finished steps of `epoch`.

    Attributes:
        processes: Number of processes; with another number a step has other pictures.
        loss_sum: Over the steps done of the epoch.
        best_share: Top-1 of the best epoch, or its mean accuracy for several labels a picture.
        risen_epoch: Last epoch whose share was higher than that of all epochs before.
        confusion: Confusions of the best epoch.
    """

    settings: TrainSettings
    processes: int
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    average_updates: int = 0
    best_epoch: int = -1
    best_share: float = -1.0
    best_loss: float = 0.0
    risen_epoch: int = -1
    confusion: tuple[tuple[int, ...], ...] = ()
    reports: tuple[EpochReport, ...] = ()


def save_weights(state: dict[str, Any], path: Path) -> None:
    """Write a state dict as a `.pdparams`, whole or not at all. Raises OutputError."""
    import paddle

    content = io.BytesIO()
    paddle.save(state, content)
    write_atomic(path, content.getvalue())


def save_checkpoint(
    directory: Path,
    progress: Progress,
    network: paddle.nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    averages: dict[str, Any],
) -> None:
    """Replace the checkpoint. Raises OutputError."""
    content = {
        "progress": msgspec.json.encode(progress).decode(),
        "weights": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "averages": averages,
    }
    save_weights(content, directory / CHECKPOINT_FILE)


def read_checkpoint(directory: Path) -> tuple[Progress, dict[str, Any]]:
    """Read the checkpoint of an output directory.

    Raises:
        InputError: There is none, or it is damaged.
    """
    path = directory / CHECKPOINT_FILE
    if not path.exists():
        raise InputError(f"resuming {directory}: no {CHECKPOINT_FILE} there", hint="leave --resume out")
    hint = f"start again elsewhere with --weights {directory / LATEST_WEIGHTS}"
    content = read_saved(path, "the checkpoint", hint)
    if not {"progress", "weights", "optimizer", "averages"} <= content.keys():
        raise InputError(f"reading the checkpoint {path}: a part is missing", hint=hint)
    try:
        progress = msgspec.json.decode(content["progress"], type=Progress)
    except (msgspec.DecodeError, TypeError, ValueError) as error:
        raise InputError(f"reading the checkpoint {path}: {error}", hint=hint) from error
    return progress, {name: _tensors(content[name]) for name in ("weights", "optimizer", "averages")}


def _tensors(value: Any) -> Any:
    """Return arrays as Paddle's tensors, also within dictionaries."""
    import numpy as np
    import paddle

    if isinstance(value, dict):
        return {key: _tensors(one) for key, one in value.items()}
    return paddle.to_tensor(value) if isinstance(value, np.ndarray) else value


def check_resumable(found: Progress, settings: TrainSettings, processes: int) -> None:
    """Raise an InputError that names the settings in which a run and its checkpoint differ."""
    free = {"output", "data", "loader_threads", "save_interval_s"}
    differing = [
        f"{field} {getattr(found.settings, field)!r}, now {getattr(settings, field)!r}"
        for field in settings.__struct_fields__
        if field not in free and getattr(found.settings, field) != getattr(settings, field)
    ]
    if found.processes != processes:
        differing.append(f"{found.processes} processes, now {processes}")
    if differing:
        raise InputError(
            f"resuming {settings.output}: it was started with {'; '.join(differing)}",
            hint="resume with the same options, or start a new run in another directory",
        )
