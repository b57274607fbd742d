"""PaddleClas's training configurations as a training run, and as a network to judge and use.

Every key of the PP-LCNet, PP-HGNet and PULC configurations of release 2.6 is understood or refused by its
name; so is any key that those do not have. What a CPU run or this program has no use for, such as the number
of loader processes, is accepted and said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit._files import read_bytes
from edgekit.convert.importing.place import Place
from edgekit.convert.importing.transforms import TransformReader
from edgekit.convert.importing.yml import load_document
from edgekit.errors import InputError, UsageError
from edgekit.training import augment
from edgekit.training.mixing import Mixing
from edgekit.training.optimizer import AdamW, check_stage_rates
from edgekit.training.plan import Wish
from edgekit.training.recipe.operators import MIXING, STEPS, Mixed
from edgekit.training.recipe.sections import (
    LINE_STRIDES,
    Adam,
    CrossEntropy,
    DataPart,
    Distilled,
    Ema,
    Global,
    Momentum,
    Network,
    SeveralLabels,
    TeacherAndStudent,
    card_name,
    starting_weights,
    weight_file,
)
from edgekit.zoo.registry import find_model
from edgekit.zoo.weights import PRETRAINED

HINT = "-o Section.key=VALUE changes a value of the configuration"


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """A training configuration as read.

    Attributes:
        wish: The run that it describes.
        notes: What of it has no effect here.
    """

    wish: Wish
    notes: tuple[str, ...]


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of a training configuration by which its network is judged and used.

    Attributes:
        model: Name of the zoo's model.
        weights: `Global.pretrained_model`, a `.pdparams`; None where the configuration names none.
        data: Directory that the list's paths are relative to (`DataLoader.Eval`).
        list_path: Validation list.
        pictures: `Infer.infer_imgs`, a picture or a directory.
        batch_size: Pictures a batch, of `Infer`; None where it is not given.
    """

    model: str
    weights: Path | None
    data: Path | None
    list_path: Path | None
    pictures: str | None
    batch_size: int | None


def read_use(path: Path, changes: Sequence[str] = ()) -> Use:
    """Read by what a configuration's network is judged and used; how it was trained does not matter.

    Args:
        path: The YAML file.
        changes: As for `read_recipe`.

    Raises:
        InputError: The file is damaged, or names no network of the zoo.
        UsageError: A change names a section that the file does not have.
        ToolError: PyYAML is missing.
    """
    place = Place(path)
    document: Any = _load(place, changes)

    def find(*names: str) -> Any:
        value: Any = document
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def text(*names: str) -> str | None:
        value = find(*names)
        if value is not None and not isinstance(value, str):
            raise place.at(".".join(names)).refuse(f"{value!r} is no text", hint=HINT)
        return value

    weights = text("Global", "pretrained_model")
    data = text("DataLoader", "Eval", "dataset", "image_root")
    judged = text("DataLoader", "Eval", "dataset", "cls_label_path")
    batch_size = find("Infer", "batch_size")
    student, _ = _Reader(document, place).networks()
    return Use(
        model=card_name(student),
        weights=None if weights is None else weight_file(weights),
        data=None if data is None else Path(data),
        list_path=None if judged is None else Path(judged),
        pictures=text("Infer", "infer_imgs"),
        batch_size=batch_size if isinstance(batch_size, int) else None,
    )


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a training configuration of PaddleClas.

    Args:
        path: The YAML file.
        changes: `Section.key=VALUE`, as PaddleClas's `-o`; indexes of lists are numbers.

    Raises:
        InputError: The file is damaged, or a key or value is not understood; both are named.
        UsageError: A change names a key that the file does not have, or has no value.
        ToolError: PyYAML is missing.
    """
    place = Place(path)
    document = _load(place, changes)
    return _Reader(document, place).recipe()


def _load(place: Place, changes: Sequence[str]) -> dict[object, object]:
    document = load_document(read_bytes(place.path, "the configuration"), place)
    for change in changes:
        _change(document, change)
    return document


def _change(document: dict[object, object], change: str) -> None:
    """Set a value of the configuration, which PaddleClas's `-o` may also add to a section."""
    import yaml  # type: ignore[import-untyped]

    names, equals, text = change.partition("=")
    *sections, last = names.split(".")
    if not equals or not sections:
        raise UsageError(f"-o {change}: it is no Section.key=VALUE", hint="-o Global.epochs=20")
    target: Any = document
    for depth, name in enumerate(sections):
        key: Any = int(name) if isinstance(target, list) and name.isdigit() else name
        try:
            target = target[key]
        except (KeyError, IndexError, TypeError) as error:
            known = ", ".join(map(str, target)) if isinstance(target, dict) else f"a list of {len(target)}"
            raise UsageError(
                f"-o {change}: there is no {'.'.join(sections[: depth + 1])}", hint=f"there is {known}"
            ) from error
    if not isinstance(target, dict):
        raise UsageError(f"-o {change}: {'.'.join(sections)} is no section", hint="-o Global.epochs=20")
    target[last] = yaml.safe_load(text)


class _Reader:
    """State of reading one configuration."""

    def __init__(self, document: Mapping[object, object], place: Place) -> None:
        self._document = dict(document)
        self._place = place
        self._notes: list[str] = []

    def recipe(self) -> Recipe:
        known = {"Global", "AMP", "Arch", "Loss", "Optimizer", "DataLoader", "EMA", "Infer", "Metric"}
        if unknown := sorted(map(str, self._document.keys() - known)):
            raise self._refuse("", f"the section {unknown[0]} is not understood")
        general = self._read("Global", Global)
        self._remark(general)
        optimizer = self._read("Optimizer", Momentum | Adam)
        ema = self._read("EMA", Ema) if "EMA" in self._document else None
        train, evaluation = (self._read_data(part) for part in ("Train", "Eval"))
        student, teacher = self.networks()
        losses = self._losses(taught=teacher is not None, several=general.use_multilabel)
        for part, data in (("Train", train), ("Eval", evaluation)):
            if general.use_multilabel != (data.dataset.name == "MultiLabelDataset"):
                wanted = "MultiLabelDataset" if general.use_multilabel else "ImageNetDataset"
                where = f"DataLoader.{part}.dataset.name"
                raise self._refuse(where, f"{data.dataset.name}, but Global.use_multilabel wants {wanted}")
        reader = TransformReader()
        judged = self._place.at("DataLoader.Eval.dataset.transform_ops")
        preprocess = reader.read(evaluation.dataset.transform_ops, judged)
        wish = Wish(
            model=card_name(student),
            data=Path(train.dataset.image_root),
            val_data=str(Path(evaluation.dataset.image_root).absolute()),
            output=Path(general.output_dir),
            train_list=Path(train.dataset.cls_label_path),
            val_list=Path(evaluation.dataset.cls_label_path),
            num_classes=student.class_num,
            weights=str(weight_file(general.pretrained_model))
            if general.pretrained_model
            else starting_weights(student),
            epochs=general.epochs,
            batch_size=train.sampler.batch_size,
            learning_rate=optimizer.lr.learning_rate,
            warmup_epochs=optimizer.lr.warmup_epoch,
            first_rate=optimizer.lr.warmup_start_lr,
            last_rate=optimizer.lr.eta_min,
            stage_rates=student.lr_mult_list,
            multilabel=general.use_multilabel,
            **self._steps(optimizer),
            ema_decay=0.0 if ema is None else ema.decay,
            preprocess=preprocess,
            augment=self._augment(train.dataset.transform_ops),
            mixing=self._mixing(train.dataset.batch_transform_ops or []),
            teacher=None if teacher is None else card_name(teacher),
            teacher_weights=PRETRAINED if teacher is None else starting_weights(teacher, PRETRAINED),
            device=general.device,
            seed=general.seed,
            **losses,
        )
        return Recipe(wish=wish, notes=tuple(self._notes))

    def _refuse(self, section: str, why: str) -> Exception:
        return self._place.at(section).refuse(why, hint=HINT)

    def _read(self, section: str, kind: Any) -> Any:
        value: Any = self._document
        for name in section.split("."):
            if not isinstance(value, dict) or name not in value:
                raise self._refuse(section, "the section is missing")
            value = value[name]
        return self._record(section, value, kind)

    def _record(self, section: str, value: object, kind: Any) -> Any:
        try:
            # YAML takes 5e-5 for text, which PaddleClas reads as the number that it is.
            return msgspec.convert({} if value is None else value, kind, strict=False)
        except (msgspec.ValidationError, ValueError) as error:
            raise self._refuse(section, str(error)) from error

    def _remark(self, general: Global) -> None:
        """Say which wishes have no effect."""
        mixed = self._document.get("AMP")
        if isinstance(mixed, dict) and mixed.get("use_amp"):
            self._notes.append("AMP: training computes in float32")
        if general.use_visualdl:
            self._notes.append("Global.use_visualdl: the log is TensorBoard's")
        if general.eval_interval != 1 or general.start_eval_epoch > 1 or not general.eval_during_train:
            self._notes.append("Global.eval_interval: every epoch is judged")
        for name in ("use_dali", "to_static"):
            if getattr(general, name):
                self._notes.append(f"Global.{name} has no effect here")
        if general.checkpoints is not None:
            raise self._refuse("Global.checkpoints", "a run goes on by --resume with its own output")

    def _read_data(self, part: str) -> DataPart:
        data: DataPart = self._read(f"DataLoader.{part}", DataPart)
        if data.dataset.delimiter not in (None, " ", "\t"):
            raise self._refuse(f"DataLoader.{part}.dataset.delimiter", "lists are split at spaces and tabs")
        return data

    def networks(self) -> tuple[Network, Network | None]:
        """Return the network to train, and the teacher's if there is one."""
        arch = self._document.get("Arch")
        if not (isinstance(arch, dict) and arch.get("name") == "DistillationModel"):
            network = self._read("Arch", Network)
            self._check_network("Arch", network)
            return network, None
        pair: TeacherAndStudent = self._read("Arch", TeacherAndStudent)
        if pair.freeze_params_list != (True, False):
            raise self._refuse("Arch.freeze_params_list", "the teacher keeps its weights: [True, False]")
        models = {name: network for each in pair.models for name, network in each.items()}
        if models.keys() != {"Teacher", "Student"}:
            raise self._refuse("Arch.models", f"a Teacher and a Student, not {', '.join(sorted(models))}")
        for name, network in models.items():
            self._check_network(f"Arch.models.{name}", network)
        return models["Student"], models["Teacher"]

    def _check_network(self, section: str, network: Network) -> None:
        if network.stride_list not in (None, LINE_STRIDES):
            raise self._refuse(f"{section}.stride_list", f"{network.stride_list} is not {LINE_STRIDES}")
        try:
            check_stage_rates(find_model(card_name(network)), network.lr_mult_list)
        except InputError as error:
            raise self._refuse(section, str(error)) from error
        if network.dropout_prob is not None:
            self._notes.append(f"{section}.dropout_prob: the network's own is used")
        found = card_name(network)
        if network.pretrained is True and found.endswith("_ssld") != network.use_ssld:
            self._notes.append(f"{section}.use_ssld: the weights of {found} are taken, the only ones")
        if network.use_sync_bn:
            self._notes.append(f"{section}.use_sync_bn: statistics are averaged after every epoch")

    def _steps(self, optimizer: Momentum | Adam) -> dict[str, Any]:
        """Return the run's settings of the optimiser."""
        if isinstance(optimizer, Momentum):
            decay = 0.0 if optimizer.regularizer is None else optimizer.regularizer.coeff
            return {"momentum": optimizer.momentum, "weight_decay": decay}
        found = {name: getattr(optimizer, name) for name in AdamW.__struct_fields__}
        return {"adamw": self._record("Optimizer", found, AdamW), "weight_decay": optimizer.weight_decay}

    def _losses(self, *, taught: bool, several: bool) -> dict[str, Any]:
        """Return the run's settings of the loss."""
        labelled = "DistillationMultiLabelLoss" if taught else "MultiLabelLoss"
        found: dict[str, Any] = {"label_smoothing": 0.0}
        entries = self._document.get("Loss")
        losses = entries.get("Train") if isinstance(entries, dict) else None
        weights = {}
        for name, arguments, section in self._entries(losses, "Loss.Train"):
            if name == "CELoss":
                loss = self._record(section, arguments, CrossEntropy)
                found["label_smoothing"] = loss.epsilon
            elif name == labelled and several:
                loss = self._record(section, arguments, SeveralLabels)
                found |= {
                    "label_smoothing": loss.epsilon or 0.0, "sum_labels": loss.size_sum,
                    "class_weights": "balanced" if loss.weight_ratio else "none",
                }  # fmt: skip
            elif name in ("DistillationDMLLoss", "DistillationCELoss") and taught:
                loss = self._record(section, arguments, Distilled)
                found["distillation"] = "dml" if "DML" in name else "ce"
            else:
                raise self._refuse(section, "this loss is not supported")
            weights[name] = loss.weight
        beside = weights.pop(labelled, None) if taught and len(weights) > 1 else None
        if len(weights) != 1 or (taught and weights.keys() & {"CELoss", labelled}):
            raise self._refuse("Loss.Train", f"one loss is supported, not {', '.join(weights) or 'none'}")
        if several and not taught and labelled not in weights:
            raise self._refuse("Loss.Train", f"Global.use_multilabel wants {labelled}")
        if beside is not None:
            found["label_share"] = beside
        if set(weights.values()) != {1.0}:
            raise self._refuse("Loss.Train", "the weight of the only loss is 1.0")
        return found

    def _entries(self, listed: object, section: str) -> list[tuple[str, object, str]]:
        """Return names, arguments and places of a list of operators."""
        if not isinstance(listed, list):
            raise self._refuse(section, "it is no list")
        entries = []
        for number, each in enumerate(listed):
            if not (isinstance(each, dict) and len(each) == 1):
                raise self._refuse(f"{section}[{number}]", "it is no operator with its arguments")
            name, arguments = next(iter(each.items()))
            entries.append((str(name), arguments, f"{section}[{number}].{name}"))
        return entries

    def _augment(self, operators: list[Any]) -> tuple[augment.Step, ...]:
        """Return the random changes; decoding and normalising are as in the evaluation's transforms."""
        steps: list[augment.Step] = []
        for name, arguments, section in self._entries(operators, "DataLoader.Train.dataset.transform_ops"):
            if name in ("DecodeImage", "NormalizeImage"):
                continue
            make = STEPS.get(name)
            if make is None:
                raise self._refuse(section, f"it is not one of {', '.join(STEPS)}")
            kind, build = make
            record = self._record(section, arguments, kind)
            try:
                step = build(record)
                # Bounds are those of the records, which msgspec checks when it converts.
                steps.append(msgspec.convert(msgspec.to_builtins(step), augment.Step))
            except (KeyError, ValueError, msgspec.ValidationError) as error:
                raise self._refuse(section, str(error)) from error
        return tuple(steps)

    def _mixing(self, operators: list[Any]) -> Mixing:
        section = "DataLoader.Train.dataset.batch_transform_ops"
        found: dict[str, Any] = {}
        for name, arguments, place in self._entries(operators, section):
            inside = arguments.items() if name == "OpSampler" and isinstance(arguments, dict) else ()
            for kind, given in inside or ((name, arguments),):
                if kind not in MIXING:
                    raise self._refuse(place, f"{kind} is not one of {', '.join(MIXING)}")
                mixed = self._record(place, given, Mixed)
                found |= {MIXING[kind]: mixed.prob, f"{MIXING[kind]}_alpha": mixed.alpha}
        return self._record(section, found, Mixing)  # type: ignore[no-any-return]
