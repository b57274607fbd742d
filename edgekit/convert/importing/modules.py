"""Transforms and post-processing of Paddle's modules that edgekit knows by name and does not answer."""

from __future__ import annotations

from edgekit.convert.importing.place import Place
from edgekit.errors import InputError

# PaddleX 3 (paddlex/inference/models/*/predictor.py), PaddleOCR 3 (ppocr/utils/export_model.py), PaddleClas
# 2.6 (deploy/python/postprocess.py), by the model's task.
_MODULES = {
    "text detection": ("DetResizeForTest", "DetLabelEncode", "DBPostProcess", "E2EResizeForTest"),
    "text recognition": (
        "RecResizeImg", "SVTRRecResizeImg", "MultiLabelEncode", "CTCLabelEncode", "CTCLabelDecode",
    ),
    "table recognition": (
        "ResizeTableImage", "PaddingTableImage", "TableLabelEncode", "TableBoxEncode", "TableLabelDecode",
    ),
    "formula recognition": (
        "UniMERNetImgDecode", "UniMERNetTestTransform", "UniMERNetImageFormat", "UniMERNetLabelEncode",
        "UniMERNetDecode", "MinMaxResize", "LatexTestTransform", "LatexImageFormat", "LaTeXOCRDecode",
        "LatexOCRLabelEncode",
    ),
    "image unwarping": ("DocTrPostProcess",),
    "object detection": ("Permute", "Pad", "PadStride", "WarpAffine", "LetterBoxResize", "TopDownEvalAffine"),
    "segmentation": ("ResizeByLong", "Padding"),
    "image features": ("NormalizeFeatures", "Binarize"),
    "image quality": ("ScoreOutput",),
    "video": ("Scale", "Image2Array", "GroupCenterCrop", "VideoDecoder", "Sampler"),
}  # fmt: skip
TASK_OF = {name: task for task, names in _MODULES.items() for name in names}
_ANSWERED = "edgekit answers classification and multi-label classification"


def other_task(name: str, place: Place) -> InputError:
    """Return the error for a transform or section that edgekit lacks, with the task that uses it."""
    task = TASK_OF.get(name)
    if task is None:
        return place.refuse(f"edgekit has no operation {name}")
    return other_model(f"{name} belongs to {task}", place)


def other_model(why: str, place: Place) -> InputError:
    """Return the error for a model of a task that edgekit does not answer."""
    return place.refuse(f"{why}, which edgekit does not answer yet", hint=f"{_ANSWERED}; import such a model")
