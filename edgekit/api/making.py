"""Making artifacts: `edgekit.export` and `edgekit.import_model`, each a transaction of conversion and check.

The command line calls the same functions.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit.convert.exporting.export import ExportOutcome
from edgekit.convert.exporting.export import export as convert_network
from edgekit.convert.exporting.plan import ExportRequest
from edgekit.convert.formats.lite import FORMATS
from edgekit.convert.importing.import_model import ImportRequest
from edgekit.convert.importing.import_model import import_model as convert_model
from edgekit.convert.importing.source import open_source
from edgekit.core.artifact import Manifest
from edgekit.core.parity import Parity
from edgekit.parity.ladder import Ladder, RungResult
from edgekit.parity.verify import climb_on_host
from edgekit.toolchain.component import Report
from edgekit.zoo.weights import PRETRAINED, RANDOM

logger = logging.getLogger("edgekit")

Show = Callable[[RungResult], None]
Checked = Mapping[str, Parity]


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact directory that was made, or was there already.

    Attributes:
        directory: The artifact directory.
        manifest: The manifest of the directory.
        changed: Whether anything was made.
        ladder: Rungs of the check; None where nothing was checked.
    """

    directory: Path
    manifest: Manifest
    changed: bool
    ladder: Ladder | None = None

    def raise_for_failure(self) -> None:
        """Raise ParityError naming the first artifact that failed its check; nothing where all held."""
        if self.ladder is not None:
            self.ladder.raise_for_failure(self.manifest, fresh=True)


def export(
    model: str,
    *,
    name: str | None = None,
    weights: str | Path = PRETRAINED,
    num_classes: int | None = None,
    labels: str | Path | None = None,
    input_shape: tuple[int, int, int] | None = None,
    output_op: str | None = None,
    formats: Sequence[str] = FORMATS,
    nb_targets: Sequence[str] | None = None,
    output: str | Path | None = None,
    force: bool = False,
    verify: bool = True,
    keep_failed: bool = False,
    install: bool = True,
    show: Show | None = None,
    progress: Report = logger.info,
) -> Made:
    """Build a network's artifacts, compare them with the network, and tie them by a manifest.

    Artifacts that fail their check are not written; a second call with the same wishes changes nothing.

    Args:
        model: Name of a built-in model, or the path of a card.
        name: Keeps a variant apart under this name; None takes the model's.
        weights: `pretrained`, `random`, or the path of a `.pdparams` file.
        num_classes: Width of the last layer; None takes the weights' own, else the card's.
        labels: A file with one label a line; None takes the card's.
        input_shape: Channels, height, width; None takes the card's.
        output_op: `none` or `argmax`: whether a segmentation model gives scores or label maps.
        formats: Some of `paddle`, `onnx`, `nb`, `mnn`, `mnn-fp16`, `ncnn`, `ncnn-fp16`; the Paddle program is
            always made.
        nb_targets: Some of `arm`, `arm_fp16`, `x86`, `opencl`; None takes the first three, as far as opt here
            can make them.
        output: The artifact directory; None is `models/NAME` under the working directory.
        force: Export although nothing has changed.
        verify: Compare the artifacts with the network.
        keep_failed: Keep artifacts that fail the comparison, marked as such.
        install: Whether opt may be installed on the way.
        show: Told each result of the comparison.
        progress: Called with a line for the user about each step.

    Raises:
        InputError, UsageError: The model, its weights, labels or options are wrong.
        ConversionError: A converter failed.
        ParityError: An artifact failed its check; those that hold are written.
        ToolError: A tool is missing.
        OutputError: The directory cannot be written.
    """
    request = ExportRequest(
        model=model,
        name=name,
        weights=str(weights),
        num_classes=num_classes,
        labels=_path(labels),
        input_shape=input_shape,
        output_op=output_op,
        formats=tuple(formats),
        nb_targets=None if nb_targets is None else tuple(nb_targets),
        output=_path(output),
        force=force,
        keep_failed=keep_failed,
        install=install,
    )
    [(outcome, ladder)] = export_all([request], verify=verify, show=show, progress=progress)
    if outcome.error is not None:
        raise outcome.error
    assert outcome.manifest is not None
    made = Made(
        directory=outcome.directory, manifest=outcome.manifest, changed=outcome.changed, ladder=ladder
    )
    made.raise_for_failure()
    return made


def export_all(
    requests: Sequence[ExportRequest],
    *,
    verify: bool,
    jobs: int = 1,
    show: Show | None,
    progress: Report,
    finished: Callable[[ExportOutcome], None] | None = None,
) -> list[tuple[ExportOutcome, Ladder | None]]:
    """Export several networks, each as `export` does; the failure of one does not keep the others from it.

    Up to `jobs` of them are made at once. `finished` is called with each outcome as soon as it is there. With
    several jobs the rungs of a model are shown together before that. All of it is called in this thread.

    Returns:
        An outcome for each request, in order, and what its check found where one was made.
    """
    ladders: dict[Path, Ladder] = {}

    def check(request: ExportRequest, report: Report, directory: Path, manifest: Manifest) -> Checked:
        report(f"checking {request.model_name}")
        ladder = climb_on_host(
            directory,
            manifest,
            install=request.install,
            show=show if show is not None and jobs == 1 else _say_nothing,
            spec=request.spec,
            weights=None if request.weights in (PRETRAINED, RANDOM) else Path(request.weights),
        )
        ladders[request.directory] = ladder
        return ladder.parity

    def told(outcome: ExportOutcome) -> None:
        ladder = ladders.get(outcome.directory)
        if show is not None and jobs > 1 and ladder is not None:
            progress(f"checked {outcome.name}")
            for rung in ladder.rungs:
                show(rung)
        if finished is not None:
            finished(outcome)

    outcomes = convert_network(
        requests,
        check=(lambda request, report: functools.partial(check, request, report)) if verify else None,
        jobs=jobs,
        progress=progress,
        finished=told,
    )
    return [(outcome, ladders.get(outcome.directory)) for outcome in outcomes]


def import_model(
    path: str | Path,
    name: str,
    *,
    labels: str | Path | None = None,
    preprocess: str | Path | None = None,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    formats: Sequence[str] = FORMATS,
    nb_targets: Sequence[str] | None = None,
    output: str | Path | None = None,
    force: bool = False,
    verify: bool = True,
    keep_failed: bool = False,
    install: bool = True,
    show: Show | None = None,
    progress: Report = logger.info,
) -> Made:
    """Turn a model of your own into artifacts and compare them with the model as it came.

    The model itself is kept beside them. Artifacts that fail their check are not written.

    Args:
        path: A directory, a model file or a tar.
        name: Name of the imported model.
        labels: A file with one label a line; None takes those of a configuration beside the model.
        preprocess: TOML or PaddleClas's YAML; None takes a configuration beside the model.
        input_shape: Sizes that the model leaves free: channels, height, width, or sizes by input.
        formats: Some of `paddle`, `onnx`, `nb`, `mnn`, `mnn-fp16`, `ncnn`, `ncnn-fp16`.
        nb_targets: Some of `arm`, `arm_fp16`, `x86`, `opencl`; None takes the first three, as far as opt here
            can make them.
        output: The artifact directory; None is `models/NAME` under the working directory.
        force: Import although nothing has changed, and over an exported model.
        verify: Compare the artifacts with the model as it came.
        keep_failed: Keep artifacts that fail the comparison, marked as such.
        install: Whether opt and converters may be installed on the way.
        show: Told each result of the comparison.
        progress: Called with a line for the user about each step.

    Raises:
        InputError, UsageError: The model, its labels, preprocessing or options are wrong.
        ConversionError: A converter failed; unsupported operators are named with their place.
        ParityError: An artifact failed its check; those that hold are written.
        ToolError: A tool is missing.
        OutputError: The directory cannot be written.
    """
    named = input_shape if isinstance(input_shape, Mapping) else {"": input_shape} if input_shape else {}
    request = ImportRequest(
        path=Path(path),
        name=name,
        labels=_path(labels),
        preprocess=_path(preprocess),
        shapes={name: tuple(sizes) for name, sizes in named.items()},
        formats=tuple(formats),
        nb_targets=None if nb_targets is None else tuple(nb_targets),
        output=_path(output),
        force=force,
        keep_failed=keep_failed,
        install=install,
    )
    made = import_one(request, verify=verify, show=show, progress=progress)
    made.raise_for_failure()
    return made


def import_one(request: ImportRequest, *, verify: bool, show: Show | None, progress: Report) -> Made:
    """Import a model as `import_model` does; an artifact that failed its check is in the answer's ladder."""
    ladders: list[Ladder] = []

    def check(directory: Path, manifest: Manifest) -> Checked:
        progress(f"checking {request.name}")
        ladder = climb_on_host(directory, manifest, install=request.install, show=show or _say_nothing)
        ladders.append(ladder)
        return ladder.parity

    with open_source(request.path) as source:
        imported = convert_model(request, source, check=check if verify else None, progress=progress)
    return Made(
        directory=imported.directory,
        manifest=imported.manifest,
        changed=imported.changed,
        ladder=ladders[-1] if ladders else None,
    )


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


def _say_nothing(_rung: RungResult) -> None:
    pass
