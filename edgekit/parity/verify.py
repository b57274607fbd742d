"""The parity ladder: the network, its Paddle inference model, and everything made from that."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit.convert.manifest import load_manifest, remake_with, verify_files, write_manifest
from edgekit.convert.staging import exclusive
from edgekit.core.artifact import Manifest
from edgekit.core.spec import ModelSpec, Precision
from edgekit.engines.registry import DEVICE_ENGINE, device_side
from edgekit.errors import InputError, ToolError
from edgekit.parity import dygraph
from edgekit.parity.climb import Show
from edgekit.parity.inputs import ladder_inputs, prepare_pictures, sample_pictures
from edgekit.parity.ladder import Ladder, Rung, RungStatus, device_rungs, host_rungs
from edgekit.parity.rows import RowClimb
from edgekit.parity.tensors import TensorClimb
from edgekit.targets.target import HostTarget, Subject, Target
from edgekit.zoo.registry import find_model, model_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.vision.pictures import Picture


def climb_on_host(
    directory: Path,
    manifest: Manifest,
    *,
    install: bool,
    show: Show,
    spec: ModelSpec | None = None,
    weights: Path | None = None,
) -> Ladder:
    """Climb this machine's ladder for files whose manifest is not written yet; raises as `verify`.

    Args:
        directory: Directory of the files.
        manifest: The manifest of the artifacts.
        install: Whether packages and components of an engine may be installed on the way.
        show: Called with each rung when it is done.
        spec: The card of the network that was exported; None for an imported model.
        weights: The weight file of a model that was exported from one.
    """
    subject = Subject(directory=directory, manifest=manifest, anyway=True)
    rungs = host_rungs(subject, HostTarget(install=install))
    return _climb(subject, spec, rungs, show=show, weights=weights)


def verify_with_devices(
    directory: Path,
    manifest: Manifest,
    devices: Sequence[Target],
    *,
    install: bool,
    show: Show,
    engines: Sequence[str] | None = None,
    weights: Path | None = None,
    pictures: Sequence[Picture] = (),
) -> Ladder:
    """Climb the ladders of this machine and of devices; `engines` chooses among the devices' rungs.

    Raises:
        UnsupportedError, ToolError: Not one of a device's rungs could be climbed.
    """
    subject = Subject(directory=directory, manifest=manifest, anyway=True)
    on_top = [
        rung
        for target in devices
        for rung in device_rungs(subject, target)
        if engines is None or rung.engine in engines
    ]
    rungs = [*host_rungs(subject, HostTarget(install=install)), *on_top]
    ladder = verify(subject, _card(manifest), rungs, show=show, weights=weights, pictures=pictures)
    for target in devices:
        mine = [rung for rung in ladder.rungs if rung.name.endswith(f"@{target.info.serial}")]
        if all(rung.status is RungStatus.SKIPPED for rung in mine):
            why = "; ".join(f"{rung.name}: {rung.reason}" for rung in mine) or "no artifact for its engines"
            side = device_side((engines or [DEVICE_ENGINE])[0])
            lacking = remake_with(manifest, directory, side.artifacts[Precision.FP32])
            hint = next((rung.hint for rung in mine if rung.hint), subject.remake() if mine else lacking)
            raise ToolError(f"verifying {manifest.name} on {target.info.serial}: {why}", hint=hint)
    return ladder


def _card(manifest: Manifest) -> ModelSpec | None:
    """Return the card of a network of the zoo; None for imported models and for cards of a user."""
    return find_model(manifest.model) if manifest.model in model_names() else None


def verify(
    subject: Subject,
    spec: ModelSpec | None,
    rungs: Sequence[Rung],
    *,
    show: Show,
    weights: Path | None = None,
    pictures: Sequence[Picture] = (),
) -> Ladder:
    """Climb the ladder, show each rung, and record the results in the manifest.

    Every rung computes the same inputs (seeded, `pictures`, and the card's sample pictures) and is compared
    with the network or the model that was imported, or with the rung that it stands on. A rung that breaks
    does not stop the others.

    Args:
        subject: The exported model.
        spec: Its card; None for an imported model, whose source is the first rung then.
        rungs: Those above the first, bottom up.
        show: Called with each rung when it is done.
        weights: The weight file of a model that was exported from one.
        pictures: More inputs, preprocessed as the manifest says.

    Raises:
        InputError: An artifact's files are not those of the manifest.
        ToolError: Nothing could be compared for want of an engine.
        OutputError: The manifest cannot be written.
    """
    verify_files(subject.manifest, subject.directory)
    ladder = _climb(subject, spec, rungs, show=show, weights=weights, pictures=pictures)
    _record(subject, ladder)
    return ladder


def _climb(
    subject: Subject,
    spec: ModelSpec | None,
    rungs: Sequence[Rung],
    *,
    show: Show,
    weights: Path | None = None,
    pictures: Sequence[Picture] = (),
) -> Ladder:
    def network(inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        assert spec is not None
        return dygraph.compute(subject, spec, inputs, weights=weights)

    if subject.is_plain:
        rows = RowClimb(subject, show, ladder_inputs(subject, spec, pictures))
        rows.climb(rungs, None if spec is None else lambda: rows.first_output(network))
        if (
            spec is not None
            and subject.manifest.source == "pretrained"
            and subject.manifest.model == spec.name
        ):
            rows.samples(spec)
        ladder = rows.ladder()
    else:
        shown = [] if spec is None else prepare_pictures(subject, [*pictures, *sample_pictures(spec)])
        tensors = TensorClimb(subject, show, shown)
        tensors.climb(rungs, None if spec is None else lambda: tensors.by_feed(network))
        ladder = tensors.ladder()
    if not any(rung.parity for rung in ladder.rungs):
        hint = next((rung.hint for rung in ladder.rungs if rung.hint), subject.remake())
        raise ToolError(
            f"verifying {ladder.name}: nothing could be compared: "
            + "; ".join(f"{rung.name}: {rung.reason or rung.status.value}" for rung in ladder.rungs),
            hint=hint,
        )
    return ladder


def _record(subject: Subject, ladder: Ladder) -> None:
    """Put the results of this climb in the manifest; other devices' rungs stay."""
    with exclusive(subject.directory):
        manifest = load_manifest(subject.directory)
        if manifest.artifacts != subject.manifest.artifacts:
            raise InputError(
                f"verifying {ladder.name}: its artifacts were exported anew meanwhile",
                hint=f"edgekit verify {shlex.quote(str(subject.directory))}",
            )
        climbed = {rung.name for rung in ladder.rungs}
        kept = {name: parity for name, parity in manifest.parity.items() if name not in climbed}
        parity = {**kept, **ladder.parity}
        write_manifest(subject.directory, msgspec.structs.replace(manifest, parity=parity))
