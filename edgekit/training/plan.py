"""From what was asked to the settings of a run: lists, classes, batch, epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from edgekit.core.preprocess import Preprocess
from edgekit.errors import InputError, UsageError
from edgekit.tasks.truth.labels import HINT as LABELS_HINT
from edgekit.training import schedule
from edgekit.training.augment import DEFAULT, Flip, RandomResizedCrop, Step
from edgekit.training.checkpoint import CHECKPOINT_FILE
from edgekit.training.folders import TRAIN_LIST, VAL_LIST, Lists, make_lists, written_lists
from edgekit.training.launch import Counted, count, count_labels, refuse_run
from edgekit.training.loop import Say
from edgekit.training.mixing import Mixing
from edgekit.training.objective import Distillation
from edgekit.training.optimizer import AdamW, check_stage_rates
from edgekit.training.settings import TrainSettings
from edgekit.zoo.registry import find_model
from edgekit.zoo.weights import RANDOM, locate_weights

# Beyond this ratio of the largest class to the smallest one, a run without weights of classes says so.
UNEVEN = 3


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A training run as it is asked for; None leaves a value to the data, the card or the recipe.

    Attributes are those of `TrainSettings`, and besides:
        train_list, val_list: None takes the lists in the data's directory, or makes them of its folders.
        val_share: Share of each class to judge by, where the lists are made.
        class_weights: `balanced` for weights in inverse proportion to the classes' pictures; for several
            labels a picture PaddleClas's `weight_ratio`.
        min_area: In place of that of the recipe's random crops.
        flip: False takes mirroring out of the recipe.
    """

    model: str
    data: Path
    output: Path
    val_data: str | None = None
    train_list: Path | None = None
    val_list: Path | None = None
    val_share: float = 0.2
    num_classes: int | None = None
    weights: str = RANDOM
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    warmup_epochs: float | None = None
    first_rate: float = 0.0
    last_rate: float = 0.0
    stage_rates: tuple[float, ...] = ()
    momentum: float = 0.9
    adamw: AdamW | None = None
    weight_decay: float = 3e-5
    label_smoothing: float = 0.1
    ema_decay: float = 0.9999
    input_size: int | None = None
    preprocess: Preprocess | None = None
    augment: tuple[Step, ...] = DEFAULT
    min_area: float | None = None
    flip: bool = True
    mixing: Mixing = Mixing()
    freeze: bool = False
    class_weights: Literal["none", "balanced"] = "none"
    multilabel: bool = False
    sum_labels: bool = True
    patience: int | None = None
    teacher: str | None = None
    teacher_weights: str = "pretrained"
    distillation: Distillation = "dml"
    label_share: float = 0.0
    loader_threads: int = 1
    device: Literal["cpu", "gpu"] = "cpu"
    seed: int = 0


def plan(wish: Wish, *, processes: int, resume: bool, say: Say) -> TrainSettings:
    """Return a run's settings; lists that are made of folders are written into its output.

    Args:
        wish: What is asked for.
        processes: Number of processes of the run.
        resume: Whether the run goes on; lists that it has made are then taken again.
        say: Called with remarks on the data and the length of the run.

    Raises:
        UsageError: Options contradict each other.
        InputError: Lists, folders or the teacher's weights are missing or bad.
    """
    _check(wish)
    lists = _find_lists(wish, resume)
    if wish.multilabel:
        counted = count_labels(lists.train, lists.val, wish.num_classes or find_model(wish.model).num_classes)
    else:
        counted = count(lists.train, lists.val, unlabelled=wish.teacher is not None)
    classes = wish.num_classes or len(lists.names) or counted.classes
    if wish.teacher is not None:
        classes = _taught_classes(wish, counted, classes)
    batch_size = wish.batch_size or schedule.fitting_batch(counted.pictures, processes)
    steps = schedule.steps_an_epoch(counted.pictures, batch_size, processes)
    tuning = wish.weights != RANDOM
    epochs = wish.epochs or schedule.fitting_epochs(counted.pictures, steps, tuning=tuning)
    warmup = schedule.fitting_warmup(epochs) if wish.warmup_epochs is None else wish.warmup_epochs
    rate = wish.learning_rate
    if rate is None and tuning:
        rate = schedule.TUNING_RATE
    _remark(wish, counted, lists, say)
    if not tuning and (warning := schedule.too_few(epochs, steps)):
        say(warning)
    found: dict[str, Any] = {
        "data": str(wish.data.absolute()),
        "output": str(wish.output.absolute()),
        "train_list": str(lists.train.absolute()),
        "val_list": str(lists.val.absolute()),
        "num_classes": classes,
        "label_names": lists.names if len(lists.names) == classes else (),
        "batch_size": batch_size,
        "epochs": epochs,
        "learning_rate": rate,
        "warmup_epochs": warmup,
        "augment": _augment(wish),
    }
    if wish.class_weights == "balanced":
        key = "positive_shares" if wish.multilabel else "class_weights"
        found[key] = counted.positive_shares() if wish.multilabel else counted.balanced()
    shared = set(wish.__struct_fields__) & set(TrainSettings.__struct_fields__) - {"class_weights"}
    return TrainSettings(**{name: getattr(wish, name) for name in shared} | found)


def _check(wish: Wish) -> None:
    check_stage_rates(find_model(wish.model), wish.stage_rates)
    if wish.multilabel and wish.mixing != Mixing():
        raise UsageError("mixing pictures with several labels is not supported", hint="leave the mixing out")
    if wish.freeze and wish.weights == RANDOM:
        raise UsageError(
            "training the last layer of random weights: the other layers would stay random",
            hint="--weights pretrained or the path of a .pdparams with --freeze",
        )
    if wish.teacher is None and wish.label_share:
        raise UsageError("--label-share is the share beside a teacher's loss", hint="--teacher MODEL")
    if wish.teacher is not None and wish.class_weights != "none" and not wish.label_share:
        raise UsageError(
            "--class-weights weighs the labels' loss, which is not used with this teacher",
            hint="--label-share 1",
        )


def _find_lists(wish: Wish, resume: bool) -> Lists:
    """Return the lists named, those in the data's directory, those of an earlier start, or new ones."""
    in_data = Lists(train=wish.data / TRAIN_LIST, val=wish.data / VAL_LIST)
    if wish.train_list is not None or wish.val_list is not None or in_data.train.is_file():
        return Lists(train=wish.train_list or in_data.train, val=wish.val_list or in_data.val)
    if wish.multilabel:
        raise InputError(
            f"training with several labels a picture: {wish.data} has no {TRAIN_LIST}", hint=LABELS_HINT
        )
    made = written_lists(wish.output) if resume else None
    if made is not None and (wish.output / CHECKPOINT_FILE).exists():
        return made
    refuse_run(wish.output)
    return make_lists(
        wish.data, wish.output, val_share=wish.val_share, seed=wish.seed,
        unlabelled=wish.teacher is not None,
    )  # fmt: skip


def _taught_classes(wish: Wish, counted: Counted, classes: int) -> int:
    """Return the teacher's number of classes, which the lists must keep within."""
    assert wish.teacher is not None
    if counted.unlabelled and wish.label_share:
        raise InputError(
            f"training with --label-share {wish.label_share:g}: {counted.unlabelled} pictures have no class",
            hint="leave --label-share out, or give every line of the list a class",
        )
    taught = locate_weights(find_model(wish.teacher), wish.teacher_weights).num_classes
    if (wish.num_classes or classes) > taught:
        raise InputError(
            f"learning from {wish.teacher}: it has {taught} classes, {classes} are asked for",
            hint="take a teacher that was trained on the same classes",
        )
    return taught


def _augment(wish: Wish) -> tuple[Step, ...]:
    steps = [step for step in wish.augment if wish.flip or not isinstance(step, Flip)]
    if wish.min_area is None:
        return tuple(steps)
    return tuple(
        msgspec.structs.replace(step, min_area=wish.min_area) if isinstance(step, RandomResizedCrop) else step
        for step in steps
    )


def _remark(wish: Wish, counted: Counted, lists: Lists, say: Say) -> None:
    """Say what the pictures are, and whether the classes are uneven."""
    judged = f"to judge by: {lists.val}"
    if lists.names:
        say(f"{len(lists.names)} classes ({', '.join(lists.names[:5])}{', …' * (len(lists.names) > 5)}), "
            f"{counted.pictures} pictures to learn from, others {judged}")  # fmt: skip
    elif counted.unlabelled:
        say(f"{counted.unlabelled} of {counted.pictures} pictures have no class; {wish.teacher} labels them")
    few, many = min(counted.by_class, default=0), max(counted.by_class, default=0)
    if wish.multilabel:
        say(f"{counted.pictures} pictures with {counted.classes} labels; {few} to {many} have each")
        return
    if few and many > UNEVEN * few and wish.class_weights == "none" and wish.teacher is None:
        say(f"the classes have from {few} to {many} pictures: --class-weights balanced counts each alike")
