"""Preprocessing, post-processing and labels of an imported model, from TOML or from Paddle's toolkits.

Read are `inference.yml` and `config.json` of PaddleClas 2.6, PaddleX 3 and PaddleOCR 3, PaddleX 2's
`model.yml`, PaddleDetection's `infer_cfg.yml`, PaddleSeg's `deploy.yaml`, and the `Infer` section of
PaddleClas's training configurations.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec

from edgekit._files import read_bytes
from edgekit.convert.importing.answers import Answered, Labels, list_labels, read_answers
from edgekit.convert.importing.detectors import Detector, read_detector
from edgekit.convert.importing.modules import other_model
from edgekit.convert.importing.place import Place
from edgekit.convert.importing.segmenters import Segmenter, read_segmenter
from edgekit.convert.importing.transforms import TransformReader
from edgekit.convert.importing.yml import load_document
from edgekit.core.preprocess import ChannelOrder, Preprocess
from edgekit.core.spec import Postprocess
from edgekit.vision.labels import load_labels
from edgekit.zoo.registry import list_models

# No configuration is longer: the longest, of text recognition with 18,000 characters, has 200 kB.
MAX_CONFIG_BYTES = 4 << 20
# Sections without a word on pictures and answers: the model's name, and shapes for PaddleX's engines (Hpi).
_IGNORED = {"Global", "Hpi"}
_HINT = "name a file that says it: --preprocess FILE.toml, or an inference.yml of Paddle's toolkits"


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration; a field that it does not set is None.

    Attributes:
        detector: Parameters of a detection model's answers; None for other models.
        segmenter: Preprocessing of a segmentation model, for any size; None for other models.
        notes: Remarks for the user about how it was read.
    """

    preprocess: Preprocess | None = None
    postprocess: Postprocess | None = None
    detector: Detector | None = None
    segmenter: Segmenter | None = None
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


class _Attributes(msgspec.Struct):
    model_type: str | None = None
    labels: Labels | None = None


def of_official_archive(path: Path) -> Configured:
    """Return the model card's preprocessing, answers and labels for PaddleClas's `NAME_infer.tar`, which
    holds none itself.
    """
    for card in list_models():
        url = card.weights.inference_url
        if url is not None and PurePosixPath(url).name == path.name:
            return Configured(
                preprocess=card.preprocess,
                postprocess=msgspec.convert(card.postprocess, Postprocess) if card.postprocess else None,
                labels=load_labels(card.labels, card.num_classes),
            )
    return Configured()


def read_configuration(path: Path) -> Configured:
    """Read a `.toml` with the fields of `Preprocess`, or a `.yml`, `.yaml` or `.json` of Paddle's toolkits.

    Raises:
        InputError: It cannot be read, is for another task, or says what edgekit does not have; the section
            and the place in it are named.
        ToolError: PyYAML is missing.
    """
    place = Place(path)
    content = read_bytes(path, "the configuration")
    if len(content) > MAX_CONFIG_BYTES:
        raise place.refuse(f"{len(content)} bytes are no configuration")
    if path.suffix == ".toml":
        try:
            return Configured(preprocess=msgspec.toml.decode(content, type=Preprocess))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise place.refuse(str(error)) from error
    document = load_document(content, place)
    if path.name == "config.json" and not document.keys() & {
        "PreProcess",
        "PostProcess",
        "Preprocess",
        "Global",
    }:
        return Configured(notes=(f"{path.name} beside the model is none of PaddleX 3's and was not read",))
    return _read(document, place)


def _read(document: dict[object, object], place: Place) -> Configured:
    if "Infer" in document:
        return _of_training(document["Infer"], place.at("Infer"))
    if "Transforms" in document or "_Attributes" in document:
        return _of_paddlex2(document, place)
    if "Deploy" in document:
        return Configured(segmenter=read_segmenter(document["Deploy"], place.at("Deploy")))
    if "Preprocess" in document or "arch" in document:
        preprocess, detector, labels = read_detector(document, place)
        return Configured(preprocess=preprocess, detector=detector, labels=labels)
    unknown = [str(key) for key in document if key not in _IGNORED | {"PreProcess", "PostProcess"}]
    if unknown:
        raise place.refuse(f"edgekit does not know the section {', '.join(unknown)}", hint=_HINT)
    # The answer comes first, because its section tells the model's task.
    answered = read_answers(document.get("PostProcess"), place.at("PostProcess"))
    pre = document.get("PreProcess")
    if pre is None:
        return _configured(None, answered, ())
    if not isinstance(pre, dict) or list(pre) != ["transform_ops"]:
        raise place.at("PreProcess").refuse("it holds something else than transform_ops")
    reader = TransformReader()
    preprocess = reader.read(pre["transform_ops"], place.at("PreProcess.transform_ops"))
    return _configured(preprocess, answered, reader.notes)


def _of_training(section: object, place: Place) -> Configured:
    """Read PaddleClas's training configuration: `transforms`, and `PostProcess` with the name inside."""
    if not isinstance(section, dict) or "transforms" not in section:
        raise place.refuse("it has no transforms")
    answered = read_answers(section.get("PostProcess"), place.at(".PostProcess"))
    reader = TransformReader()
    preprocess = reader.read(section["transforms"], place.at(".transforms"))
    return _configured(preprocess, answered, reader.notes)


def _of_paddlex2(document: dict[object, object], place: Place) -> Configured:
    attributes = place.at("_Attributes").read(document.get("_Attributes"), _Attributes)
    if attributes.model_type not in (None, "classifier"):
        raise other_model(f"model_type {attributes.model_type}", place.at("_Attributes"))
    labels = None
    if attributes.labels:
        labels = list_labels(attributes.labels, place.at("_Attributes.labels"))
    mode = document.get("TransformsMode", "RGB")
    if mode not in ("RGB", "BGR"):
        raise place.at("TransformsMode").refuse(f"{mode}: edgekit feeds pictures in RGB or BGR")
    if "Transforms" not in document:
        return Configured(labels=labels)
    reader = TransformReader()
    where = place.at("Transforms")
    preprocess = reader.read(document["Transforms"], where, order=ChannelOrder(str(mode).lower()))
    return Configured(preprocess=preprocess, labels=labels, notes=tuple(reader.notes))


def _configured(
    preprocess: Preprocess | None, answered: Answered, notes: list[str] | tuple[()]
) -> Configured:
    return Configured(
        preprocess=preprocess,
        postprocess=answered.postprocess,
        labels=answered.labels,
        notes=(*notes, *answered.notes),
    )
