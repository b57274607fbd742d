"""Start a run in this process, or in several by `paddle.distributed.launch`."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit import _process
from edgekit._files import locked, output_error, read_bytes, write_atomic
from edgekit._worker import Fault
from edgekit.errors import EdgekitError, InputError, ToolError, UsageError
from edgekit.training import data
from edgekit.training.checkpoint import CHECKPOINT_FILE
from edgekit.training.loop import REPORT_FILE, Say, train
from edgekit.training.settings import SETTINGS_FILE, TrainReport, TrainSettings
from edgekit.vision.lists import HINT, UNLABELLED
from edgekit.zoo.build import require_paddle
from edgekit.zoo.registry import find_model

# The first process speaks every ten seconds; silence for this long is a hang.
SILENCE_S = 900.0
LOG_FILE = "launch.log"
WORKER_LOGS = "workers"


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of both lists.

    Attributes:
        pictures: Pictures to learn from.
        classes: One more than the highest class of both lists; 0 where no picture has a class.
        by_class: Pictures to learn from, of each class, or with each label.
        unlabelled: Pictures to learn from that have no class.
    """

    pictures: int
    classes: int
    by_class: tuple[int, ...]
    unlabelled: int

    def balanced(self) -> tuple[float, ...]:
        """Return weights by which every class has the same share of the loss; their mean is 1 a picture.

        Raises:
            InputError: A class has no picture to learn from.
        """
        if 0 in self.by_class:
            raise InputError(
                f"weighing the classes: class {self.by_class.index(0)} has no picture to learn from",
                hint="take the class out of the lists, or add pictures of it",
            )
        return tuple(sum(self.by_class) / (len(self.by_class) * pictures) for pictures in self.by_class)

    def positive_shares(self) -> tuple[float, ...]:
        """Return the share of the pictures that have each label."""
        return tuple(pictures / self.pictures for pictures in self.by_class)


def count(train_list: Path, val_list: Path, *, unlabelled: bool = False) -> Counted:
    """Count pictures and classes; `unlabelled` allows lines without a class.

    Raises:
        InputError: A list is bad or empty.
    """
    learned, judged = (data.load_examples(path, unlabelled=unlabelled) for path in (train_list, val_list))
    _check_filled({train_list: learned, val_list: judged})
    classes = 1 + max(example.label for example in (*learned, *judged))
    numbers = Counter(example.label for example in learned)
    return Counted(
        pictures=len(learned),
        classes=classes,
        by_class=tuple(numbers[label] for label in range(classes)),
        unlabelled=numbers[UNLABELLED],
    )


def count_labels(train_list: Path, val_list: Path, classes: int) -> Counted:
    """Count the pictures with each of so many labels.

    Raises:
        InputError: A list is bad or empty.
    """
    learned, judged = (data.load_labels(path, classes) for path in (train_list, val_list))
    _check_filled({train_list: learned, val_list: judged})
    by_label = zip(*(each.labels for each in learned), strict=True)
    return Counted(
        pictures=len(learned),
        classes=classes,
        by_class=tuple(labels.count(1) for labels in by_label),
        unlabelled=0,
    )


def _check_filled(lists: Mapping[Path, Sequence[object]]) -> None:
    for path, examples in lists.items():
        if not examples:
            raise InputError(f"counting the classes of {path}: the list is empty", hint=HINT)


def refuse_run(output: Path) -> None:
    """Raise an InputError where a directory holds a run already."""
    if (output / CHECKPOINT_FILE).exists():
        raise InputError(
            f"training into {output}: a run is there already",
            hint="--resume goes on with it, -o DIR starts another",
        )


def start(settings: TrainSettings, *, processes: int, resume: bool, say: Say) -> TrainReport:
    """Train to the end.

    Args:
        settings: The run; `settings.json` in its output records it.
        processes: Side by side on this machine; each takes batches of its own.
        resume: Go on from the checkpoint in the output.
        say: Called with lines about the run's progress.

    Raises:
        UsageError: The warm-up is longer than the run.
        InputError: As `train`; also where the output holds a run and `resume` is not set.
        ToolError: Paddle is missing, or a process failed without saying why.
    """
    find_model(settings.model)
    if settings.warmup_epochs > settings.epochs:
        raise UsageError(
            f"training {settings.epochs} epochs: the warm-up alone takes {settings.warmup_epochs:g}",
            hint="--warmup-epochs N, a tenth of --epochs or less",
        )
    require_paddle(f"training {settings.model}")
    output = Path(settings.output)
    if not resume:
        refuse_run(output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(output, error) from error
    with locked(output / ".lock", f"the run in {output}", timeout_s=1.0):
        write_atomic(output / SETTINGS_FILE, msgspec.json.format(msgspec.json.encode(settings), indent=2))
        if processes == 1:
            return train(settings, resume=resume, say=say)
        return _start_several(settings, output, processes, resume, say)


def _start_several(
    settings: TrainSettings, output: Path, processes: int, resume: bool, say: Say
) -> TrainReport:
    places = (
        ["--devices", ",".join(map(str, range(processes)))]
        if settings.device == "gpu"
        else ["--nproc_per_node", str(processes), "--backend", "gloo"]
    )
    report = output / REPORT_FILE
    report.unlink(missing_ok=True)
    shutil.rmtree(output / WORKER_LOGS, ignore_errors=True)
    # The launcher puts `python -u` before the worker's script, and knows no other options of Python's.
    _python, _option, *worker = _process.own_python(
        "edgekit.training.worker", output / SETTINGS_FILE, *(["--resume"] if resume else [])
    )
    child = _process.LineChild(
        _process.own_python("edgekit.training.launcher", *places, "--log_dir", output / WORKER_LOGS, *worker),
        stderr_path=output / LOG_FILE,
        env={"PYTHONPATH": None},
    )
    try:
        while (line := child.read_line(SILENCE_S)) is not None:
            if line.startswith(WORKER_PREFIX):
                say(line.removeprefix(WORKER_PREFIX))
        code = child.close()
    except BaseException as error:
        child.kill()
        if isinstance(error, TimeoutError):
            raise ToolError(
                f"training in {processes} processes: silent for {SILENCE_S:g} s, stopped"
            ) from error
        raise
    if code != 0 or not report.is_file():
        raise _first_error(output) or ToolError(
            f"training in {processes} processes: {_process.describe_exit(code)}; {_last_words(output)}",
            hint=f"the whole story is in {output / WORKER_LOGS}",
        )
    return msgspec.json.decode(read_bytes(report, "the training report"), type=TrainReport)


# Prefix of a worker's lines for people, among Paddle's own output.
WORKER_PREFIX = "edgekit: "
ERROR_PREFIX = "edgekit-error: "


def _worker_lines(output: Path) -> Iterator[str]:
    """Lines of all workers' logs, the last ones first."""
    for log in sorted((output / WORKER_LOGS).glob("workerlog.*")):
        yield from reversed(log.read_text(errors="replace").splitlines())


def _first_error(output: Path) -> EdgekitError | None:
    """Rebuild the error that ended a worker."""
    for line in _worker_lines(output):
        if line.startswith(ERROR_PREFIX):
            return msgspec.json.decode(line.removeprefix(ERROR_PREFIX), type=Fault).error()
    return None


def _last_words(output: Path) -> str:
    """The last error line of any worker."""
    lines = (line.strip() for line in _worker_lines(output) if "rror" in line)
    return next(lines, "no process said why")
