"""PaddleClas's training configurations (ppcls/configs/**.yaml) as a training run.

Every key of the PP-LCNet, PP-HGNet and PULC configurations of release 2.6 is understood or refused by its
name; so is any key that those do not have. What a CPU run or this program has no use for, such as the number
of loader processes, is accepted and said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgekit._files import read_bytes
from edgekit.convert.importing.place import Place
from edgekit.convert.importing.transforms import TransformReader
from edgekit.convert.importing.yml import load_document
from edgekit.core.spec import Interpolation, ResizeBackend
from edgekit.errors import InputError, UsageError
from edgekit.training import augment
from edgekit.training.mixing import Mixing
from edgekit.training.plan import Wish
from edgekit.zoo.registry import find_model, list_models
from edgekit.zoo.weights import PRETRAINED, RANDOM

HINT = "-o Section.key=VALUE changes a value of the configuration"
# Strides of PULC's networks for lines of text, which halve rows alone after the first stage.
LINE_STRIDES = [2, [2, 1], [2, 1], [2, 1], [2, 1]]
Size = int | tuple[int, int]
_BACKENDS = {"cv2": ResizeBackend.OPENCV, "pil": ResizeBackend.PILLOW}


class _Section(msgspec.Struct, forbid_unknown_fields=True):
    """A section whose other keys are refused."""


class _Global(_Section):
    epochs: int
    checkpoints: str | None = None
    pretrained_model: str | None = None
    output_dir: str = "./output"
    device: Literal["cpu", "gpu"] = "cpu"
    save_interval: int = 1
    eval_during_train: bool = True
    eval_interval: int = 1
    start_eval_epoch: int = 1
    print_batch_step: int = 10
    use_visualdl: bool = False
    image_shape: tuple[int, int, int] | None = None
    save_inference_dir: str | None = None
    to_static: bool = False
    use_dali: bool = False
    use_multilabel: bool = False
    seed: int = 0


class _Network(_Section):
    name: str
    class_num: int = 1000
    pretrained: bool | str = False
    use_ssld: bool = False
    use_sync_bn: bool = False
    stride_list: Any = None
    dropout_prob: float | None = None
    infer_add_softmax: bool = True


class _Pair(_Section):
    name: str
    freeze_params_list: tuple[bool, bool]
    models: list[dict[str, _Network]]
    class_num: int = 1000
    pretrained_list: None = None
    infer_model_name: Literal["Student"] = "Student"
    use_sync_bn: bool = False


class _Rate(_Section):
    name: Literal["Cosine"]
    learning_rate: float
    warmup_epoch: float = 0


class _Regularizer(_Section):
    name: Literal["L2"]
    coeff: float


class _Optimizer(_Section):
    name: Literal["Momentum"]
    lr: _Rate
    momentum: float = 0.9
    regularizer: _Regularizer | None = None


class _Ema(_Section):
    decay: float = 0.9999


class _CrossEntropy(_Section):
    weight: float = 1.0
    epsilon: float = 0.0


class _Distilled(_Section):
    model_name_pairs: tuple[tuple[Literal["Student"], Literal["Teacher"]]]
    weight: float = 1.0


class _Dataset(_Section):
    name: Literal["ImageNetDataset"]
    image_root: str
    cls_label_path: str
    transform_ops: list[Any]
    delimiter: str | None = None
    batch_transform_ops: list[Any] | None = None


class _Sampler(_Section):
    name: Literal["DistributedBatchSampler"]
    batch_size: int
    drop_last: bool = False
    shuffle: bool = True


class _Loader(_Section):
    num_workers: int = 0
    use_shared_memory: bool = True


class _Data(_Section):
    dataset: _Dataset
    sampler: _Sampler
    loader: _Loader = msgspec.field(default_factory=_Loader)


class _Crop(_Section):
    size: Size
    interpolation: str = "bilinear"
    backend: Literal["cv2", "pil"] = "cv2"


class _Resize(_Section):
    size: Size
    interpolation: str = "bilinear"
    backend: Literal["cv2", "pil"] = "cv2"


class _RandomCrop(_Section):
    size: Size


class _Pad(_Section):
    size: Size
    pad_mode: Literal[1]
    fill_value: int = 0


class _FlipImage(_Section):
    flip_code: Literal[1] = 1


class _RandAugment(_Section):
    prob: float = 0.5
    config_str: str = "rand-m9-mstd0.5-inc1"
    interpolation: Literal["bicubic"] = "bicubic"
    img_size: Any = 224


class _AutoAugment(_Section):
    pass


class _Erasing(_Section):
    use_log_aspect: Literal[True]
    mode: Literal["pixel"]
    EPSILON: float | str = 0.5
    sl: float | str = 0.02
    sh: float | str = 0.4
    r1: float | str = 0.3
    attempt: int = 100


class _Mixed(_Section):
    alpha: float
    prob: float = 1.0


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
    document: Any = load_document(read_bytes(path, "the configuration"), place)
    for change in changes:
        _change(document, change)

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
        model=_card(student),
        weights=None if weights is None else _weight_file(weights),
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
    document = load_document(read_bytes(path, "the configuration"), place)
    for change in changes:
        _change(document, change)
    return _Reader(document, place).recipe()


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
        general = self._read("Global", _Global)
        self._remark(general)
        optimizer = self._read("Optimizer", _Optimizer)
        ema = self._read("EMA", _Ema) if "EMA" in self._document else None
        train, evaluation = (self._read_data(part) for part in ("Train", "Eval"))
        student, teacher = self.networks()
        losses = self._losses(taught=teacher is not None)
        reader = TransformReader()
        judged = self._place.at("DataLoader.Eval.dataset.transform_ops")
        preprocess = reader.read(evaluation.dataset.transform_ops, judged)
        wish = Wish(
            model=_card(student),
            data=Path(train.dataset.image_root),
            output=Path(general.output_dir),
            train_list=Path(train.dataset.cls_label_path),
            val_list=Path(evaluation.dataset.cls_label_path),
            num_classes=student.class_num,
            weights=str(_weight_file(general.pretrained_model))
            if general.pretrained_model
            else _weights(student),
            epochs=general.epochs,
            batch_size=train.sampler.batch_size,
            learning_rate=optimizer.lr.learning_rate,
            warmup_epochs=optimizer.lr.warmup_epoch,
            momentum=optimizer.momentum,
            weight_decay=0.0 if optimizer.regularizer is None else optimizer.regularizer.coeff,
            ema_decay=0.0 if ema is None else ema.decay,
            preprocess=preprocess,
            augment=self._augment(train.dataset.transform_ops),
            mixing=self._mixing(train.dataset.batch_transform_ops or []),
            teacher=None if teacher is None else _card(teacher),
            teacher_weights=PRETRAINED if teacher is None else _weights(teacher, PRETRAINED),
            device=general.device,
            seed=general.seed,
            **losses,
        )
        if Path(train.dataset.image_root) != Path(evaluation.dataset.image_root):
            raise self._refuse(
                "DataLoader.Eval.dataset.image_root",
                f"{evaluation.dataset.image_root}, but those to learn from are in {train.dataset.image_root}",
            )
        return Recipe(wish=wish, notes=tuple(self._notes))

    def _refuse(self, section: str, why: str) -> Exception:
        return self._place.at(section).refuse(why, hint=HINT)

    def _read(self, section: str, kind: type[Any]) -> Any:
        value: Any = self._document
        for name in section.split("."):
            if not isinstance(value, dict) or name not in value:
                raise self._refuse(section, "the section is missing")
            value = value[name]
        try:
            return msgspec.convert({} if value is None else value, kind, str_keys=True)
        except (msgspec.ValidationError, ValueError) as error:
            raise self._refuse(section, str(error)) from error

    def _record(self, section: str, value: object, kind: type[Any]) -> Any:
        try:
            return msgspec.convert({} if value is None else value, kind)
        except (msgspec.ValidationError, ValueError) as error:
            raise self._refuse(section, str(error)) from error

    def _remark(self, general: _Global) -> None:
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
        if general.use_multilabel:
            raise self._refuse(
                "Global.use_multilabel", "training of several labels a picture is not supported"
            )
        if general.checkpoints is not None:
            raise self._refuse("Global.checkpoints", "a run goes on by --resume with its own output")

    def _read_data(self, part: str) -> _Data:
        data: _Data = self._read(f"DataLoader.{part}", _Data)
        if data.dataset.delimiter not in (None, " ", "\t"):
            raise self._refuse(f"DataLoader.{part}.dataset.delimiter", "lists are split at spaces and tabs")
        return data

    def networks(self) -> tuple[_Network, _Network | None]:
        """Return the network to train, and the teacher's if there is one."""
        arch = self._document.get("Arch")
        if not (isinstance(arch, dict) and arch.get("name") == "DistillationModel"):
            network = self._read("Arch", _Network)
            self._check_network("Arch", network)
            return network, None
        pair: _Pair = self._read("Arch", _Pair)
        if pair.freeze_params_list != (True, False):
            raise self._refuse("Arch.freeze_params_list", "the teacher keeps its weights: [True, False]")
        models = {name: network for each in pair.models for name, network in each.items()}
        if models.keys() != {"Teacher", "Student"}:
            raise self._refuse("Arch.models", f"a Teacher and a Student, not {', '.join(sorted(models))}")
        for name, network in models.items():
            self._check_network(f"Arch.models.{name}", network)
        return models["Student"], models["Teacher"]

    def _check_network(self, section: str, network: _Network) -> None:
        if network.stride_list not in (None, LINE_STRIDES):
            raise self._refuse(f"{section}.stride_list", f"{network.stride_list} is not {LINE_STRIDES}")
        try:
            find_model(_card(network))
        except InputError as error:
            raise self._refuse(section, str(error)) from error
        if network.dropout_prob is not None:
            self._notes.append(f"{section}.dropout_prob: the network's own is used")
        if network.use_ssld and network.pretrained is True and not _card(network).endswith("_ssld"):
            self._notes.append(f"{section}.use_ssld: the weights of {_card(network)} without SSLD are taken")
        if network.use_sync_bn:
            self._notes.append(f"{section}.use_sync_bn: statistics are averaged after every epoch")

    def _losses(self, *, taught: bool) -> dict[str, Any]:
        """Return the run's settings of the loss."""
        found: dict[str, Any] = {"label_smoothing": 0.0}
        entries = self._document.get("Loss")
        losses = entries.get("Train") if isinstance(entries, dict) else None
        weights = {}
        for name, arguments, section in self._entries(losses, "Loss.Train"):
            if name == "CELoss":
                loss = self._record(section, arguments, _CrossEntropy)
                found["label_smoothing"] = loss.epsilon
            elif name in ("DistillationDMLLoss", "DistillationCELoss") and taught:
                loss = self._record(section, arguments, _Distilled)
                found["distillation"] = "dml" if "DML" in name else "ce"
            else:
                raise self._refuse(section, "this loss is not supported")
            weights[name] = loss.weight
        if len(weights) != 1 or (taught and "CELoss" in weights):
            raise self._refuse("Loss.Train", f"one loss is supported, not {', '.join(weights) or 'none'}")
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
            make = _STEPS.get(name)
            if make is None:
                raise self._refuse(section, f"it is not one of {', '.join(_STEPS)}")
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
                if kind not in _MIXING:
                    raise self._refuse(place, f"{kind} is not one of {', '.join(_MIXING)}")
                mixed = self._record(place, given, _Mixed)
                found |= {_MIXING[kind]: mixed.prob, f"{_MIXING[kind]}_alpha": mixed.alpha}
        return self._record(section, found, Mixing)  # type: ignore[no-any-return]


def _card(network: _Network) -> str:
    """Return the name of the zoo's model that has the network, and the weights that are asked for."""
    if network.stride_list is not None:
        return f"{network.name}_textline_ori"
    taught = f"{network.name}_ssld"
    wanted = network.use_ssld and network.pretrained is True
    return taught if wanted and taught in {spec.name for spec in list_models()} else network.name


def _weight_file(name: str) -> Path:
    """Return the path of weights, which PaddleClas names without their suffix."""
    return Path(name if name.endswith(".pdparams") else f"{name}.pdparams")


def _weights(network: _Network, missing: str = RANDOM) -> str:
    if isinstance(network.pretrained, str):
        return str(_weight_file(network.pretrained))
    return PRETRAINED if network.pretrained else missing


def _pair(size: Size) -> tuple[int, int]:
    """Return height and width of a size that PaddleClas gives as (width, height)."""
    return (size, size) if isinstance(size, int) else (size[1], size[0])


def _number(value: float | str) -> float:
    """Return a number or a quotient like `1.0/3.0`."""
    if not isinstance(value, str):
        return value
    above, slash, below = value.partition("/")
    return float(above) / (float(below) if slash else 1.0)


def _randaugment(given: _RandAugment) -> augment.Step:
    """Read timm's `rand-m9-mstd0.5-inc1`."""
    kind, *parts = given.config_str.split("-")
    values = {"m": 10.0, "mstd": 0.0, "n": 2.0, "inc": 0.0}
    for part in parts:
        name = part.rstrip("0123456789.")
        if name not in values:
            raise ValueError(f"{part!r} of config_str is not understood")
        values[name] = float(part[len(name) :])
    if kind != "rand" or not values["inc"]:
        raise ValueError(f"config_str {given.config_str!r} is not rand-…-inc1")
    return augment.RandAugment(
        prob=given.prob, magnitude=values["m"], deviation=values["mstd"], layers=int(values["n"])
    )


_MIXING = {"MixupOperator": "mixup", "CutmixOperator": "cutmix"}
_STEPS: dict[str, tuple[type[Any], Callable[[Any], augment.Step]]] = {
    "RandCropImage": (
        _Crop,
        lambda given: augment.RandomResizedCrop(
            size=_pair(given.size),
            interpolation=Interpolation(given.interpolation),
            backend=_BACKENDS[given.backend],
        ),
    ),
    "ResizeImage": (
        _Resize,
        lambda given: augment.ResizeTo(
            size=_pair(given.size),
            interpolation=Interpolation(given.interpolation),
            backend=_BACKENDS[given.backend],
        ),
    ),
    "Padv2": (_Pad, lambda given: augment.CentrePad(size=_pair(given.size), level=given.fill_value)),
    "RandomCropImage": (_RandomCrop, lambda given: augment.RandomCrop(size=_pair(given.size))),
    "RandFlipImage": (_FlipImage, lambda given: augment.Flip()),
    "AutoAugment": (_AutoAugment, lambda given: augment.AutoAugment()),
    "TimmAutoAugment": (_RandAugment, _randaugment),
    "RandomErasing": (
        _Erasing,
        lambda given: augment.RandomErasing(
            prob=_number(given.EPSILON),
            area=(_number(given.sl), _number(given.sh)),
            aspect=_number(given.r1),
            attempts=given.attempt,
        ),
    ),
}
