"""Rules by which a detection model's outputs become boxes."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(gt=0, le=100_000)]


class PicoDetRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind",
                  tag="picodet"):  # fmt: skip
    """Boxes from the raw outputs of PicoDet's head: per stride scores of classes and distributions of sides.

    The outputs are the scores of all strides, then the distributions of all strides. The defaults are those
    of PaddleDetection's configurations (release 2.6, configs/picodet) and of its predictor.

    Attributes:
        strides: Distance of neighbouring anchors, input pixels, by level in the order of the outputs.
        bins: Number of bins of a side's distribution; bin i stands for i strides of distance.
        score_threshold: Boxes that an evaluation counts have higher scores than this.
        nms_threshold: Of two boxes of a class that overlap more than this (IoU), only the better one stays.
        nms_top_k: Maximum number of anchors of a level, and of boxes of a class, that take part in NMS.
        keep_top_k: Maximum number of boxes of a picture.
        answer_threshold: Boxes of an answer have higher scores than this.
    """

    strides: tuple[Count, ...] = (8, 16, 32, 64)
    bins: Annotated[int, Meta(ge=2, le=1000)] = 8
    score_threshold: Share = 0.025
    nms_threshold: Share = 0.6
    nms_top_k: Count = 1000
    keep_top_k: Count = 100
    answer_threshold: Share = 0.5

    def __post_init__(self) -> None:
        if not self.strides:
            raise ValueError("strides is empty")


class BoxesRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind",
                tag="boxes"):  # fmt: skip
    """Boxes that the model has computed, NMS included: rows of class, score, x0, y0, x1, y1 and their counts.

    Attributes:
        score_threshold: Boxes that an evaluation counts have higher scores than this.
        answer_threshold: Boxes of an answer have higher scores than this.
    """

    score_threshold: Share = 0
    answer_threshold: Share = 0.5


DetectionRule = PicoDetRule | BoxesRule
