"""Configurations of Paddle's toolkits: understood with their order, or refused with their place.

The files are invented after those that PaddleClas 2.6, PaddleX 2 and 3, and PaddleOCR 3 write.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from edgekit.convert.importing.answers import NUMBERED_NOTE, decide_answer
from edgekit.convert.importing.configuration import Configured, read_configuration
from edgekit.convert.importing.modules import TASK_OF
from edgekit.core.preprocess import ChannelOrder, Crop, Interpolation, Pad, Preprocess, Resize, ResizeBackend
from edgekit.core.spec import AnswerKind, Postprocess
from edgekit.errors import InputError

USUAL = [
    "ResizeImage: {resize_short: 37}",
    "CropImage: {size: 32}",
    "NormalizeImage: {order: ''}",
    "ToCHWImage:",
]
PADDLEX3 = """
Global:
  model_name: PP-LCNet_x1_0
Hpi:
  backend_configs:
    paddle_infer:
      trt_dynamic_shapes: &id001
        x:
        - - 1
          - 3
          - 32
          - 32
    tensorrt:
      dynamic_shapes: *id001
PreProcess:
  transform_ops:
  - ResizeImage:
      resize_short: 37
  - CropImage:
      size: 32
  - NormalizeImage:
      channel_num: 3
      mean: [0.485, 0.456, 0.406]
      order: ''
      scale: 0.00392156862745098
      std: [0.229, 0.224, 0.225]
  - ToCHWImage: null
PostProcess:
  Topk:
    topk: 3
    label_list: [ant, bee]
"""
PADDLEX2 = """
Model: MobileNetV2
TransformsMode: RGB
Transforms:
- ResizeByShort: {short_size: 37, max_size: -1, interp: CUBIC}
- CenterCrop: {crop_size: 32}
- Normalize: {mean: [0.5, 0.4, 0.3], std: [0.5, 0.5, 0.25], min_val: [0, 0, 0],
    max_val: [255.0, 255.0, 255.0], is_scale: true}
_Attributes: {eval_metrics: {acc1: 0.9}, fixed_input_shape: [32, 32], labels: [ant, no],
  model_type: classifier, num_classes: 2}
_init_params: {num_classes: 2}
completed_epochs: 0
status: Infer
version: 2.1.0
"""


def read(tmp_path: Path, text: str, name: str = "inference.yml") -> Configured:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_configuration(tmp_path / name)


def transforms(tmp_path: Path, *operations: str) -> Configured:
    return read(tmp_path, "PreProcess:\n  transform_ops:\n" + "".join(f"  - {each}\n" for each in operations))


def preprocess(tmp_path: Path, *operations: str) -> Preprocess:
    found = transforms(tmp_path, *operations).preprocess
    assert found is not None
    return found


def answers(tmp_path: Path, post: str) -> Configured:
    return read(tmp_path, f"PostProcess: {post}")


def refusal(tmp_path: Path, text: str, name: str = "inference.yml") -> str:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, name)
    assert str(tmp_path / name) in caught.value.message
    assert caught.value.hint
    return caught.value.message


def test_paddlex3_with_aliases(tmp_path: Path) -> None:
    assert read(tmp_path, PADDLEX3) == Configured(
        preprocess=Preprocess(resize_short=37, crop_size=32),
        postprocess=Postprocess(top_k=3),
        labels=("ant", "bee"),
    )


def test_the_same_as_json(tmp_path: Path) -> None:
    import yaml

    document = json.dumps(yaml.safe_load(PADDLEX3))
    assert read(tmp_path, document, "config.json") == read(tmp_path, PADDLEX3)


def test_another_frameworks_config_json_is_said_and_not_read(tmp_path: Path) -> None:
    found = read(tmp_path, '{"architectures": ["ResNet"], "id2label": {"0": "a"}}', "config.json")
    assert found == Configured(notes=found.notes)
    assert "config.json" in found.notes[0]


def test_paddlex2(tmp_path: Path) -> None:
    assert read(tmp_path, PADDLEX2, "model.yml") == Configured(
        preprocess=Preprocess(
            resize_short=37, crop_size=32, interpolation=Interpolation.BICUBIC,
            mean=(0.5, 0.4, 0.3), std=(0.5, 0.5, 0.25),
        ),
        labels=("ant", "no"),
    )  # fmt: skip
    changed = PADDLEX2.replace("RGB", "BGR").replace("is_scale: true", "is_scale: false")
    found = read(tmp_path, changed, "model.yml").preprocess
    assert found is not None
    assert (found.channel_order, found.scale) == (ChannelOrder.BGR, 1.0)
    resized = PADDLEX2.replace(
        "ResizeByShort: {short_size: 37, max_size: -1, interp: CUBIC}", "Resize: {target_size: [40, 50]}"
    )
    found = read(tmp_path, resized, "model.yml").preprocess
    assert found is not None
    assert found.steps == (Resize(size=(40, 50)), Crop(size=(32, 32)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("model_type: classifier", "model_type: segmenter", "_Attributes: model_type segmenter"),
        ("max_size: -1", "max_size: 900", "Transforms[0] ResizeByShort: max_size 900"),
        (
            "CenterCrop: {crop_size: 32}",
            "Padding: {target_size: 9}",
            "Transforms[1] Padding: Padding belongs to",
        ),
        ("min_val: [0, 0, 0]", "min_val: [0, 1, 0]", "Transforms[2] Normalize: min_val and max_val"),
        ("TransformsMode: RGB", "TransformsMode: LAB", "TransformsMode: LAB"),
        ("ResizeByShort: {short_size: 37,", "Resize: {target_size: 40, keep_ratio: true,", "Resize: "),
    ],
)
def test_what_of_paddlex2_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in PADDLEX2
    assert said in refusal(tmp_path, PADDLEX2.replace(old, new), "model.yml")


def test_a_training_configuration(tmp_path: Path) -> None:
    (tmp_path / "flowers.txt").write_text("0 rose\n1 tulip\n")
    found = read(
        tmp_path,
        """
Arch: {name: PPLCNet_x1_0}
DataLoader: {Eval: {dataset: {transform_ops: [{RandFlipImage: {}}]}}}
Infer:
  infer_imgs: docs/images/
  batch_size: 10
  transforms:
    - DecodeImage: {to_rgb: False, channel_first: False}
    - ResizeImage: {resize_short: 37, interpolation: bicubic, backend: pil}
    - CropImage: {size: 32}
    - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], order: ''}
    - ToCHWImage:
  PostProcess:
    name: Topk
    topk: 2
    class_id_map_file: ppcls/utils/flowers.txt
""",
    )
    assert found.preprocess == Preprocess(
        resize_short=37, crop_size=32, interpolation=Interpolation.BICUBIC,
        resize_backend=ResizeBackend.PILLOW, channel_order=ChannelOrder.BGR, mean=(0.5,) * 3, std=(0.5,) * 3,
    )  # fmt: skip
    assert (found.postprocess, found.labels) == (Postprocess(top_k=2), ("rose", "tulip"))
    assert found.notes == (f"flowers.txt: {NUMBERED_NOTE}",)


@pytest.mark.parametrize(
    ("decode", "order"),
    [
        ("{img_mode: BGR, channel_first: false}", ChannelOrder.BGR),
        ("{img_mode: RGB, to_rgb: true}", ChannelOrder.RGB),
        ("{to_rgb: false, to_np: false}", ChannelOrder.BGR),
        ("", ChannelOrder.RGB),
    ],
)
def test_the_order_of_the_channels(tmp_path: Path, decode: str, order: ChannelOrder) -> None:
    assert preprocess(tmp_path, f"DecodeImage: {decode}", *USUAL).channel_order is order


def test_steps_keep_their_order(tmp_path: Path) -> None:
    crop, resize = USUAL[1], USUAL[0]
    found = preprocess(tmp_path, crop, resize, *USUAL[2:])
    assert found.steps == (Crop(size=(32, 32)), Resize(short=37))
    assert found.size == (37, 37)
    found = preprocess(tmp_path, "ResizeImage: {size: [192, 256], interpolation: LINEAR}", *USUAL[2:])
    assert found.steps == (Resize(size=(256, 192)),)
    found = preprocess(
        tmp_path, "ResizeImage: {size: 40, backend: pil}", "CropImage: {size: [20, 30]}", USUAL[2]
    )
    assert found.steps == (Resize(size=(40, 40), backend=ResizeBackend.PILLOW), Crop(size=(30, 20)))
    assert preprocess(tmp_path, "ResizeImage: {size: [32, 32]}", USUAL[2]) == Preprocess(
        resize_short=None, crop_size=32
    )


def test_without_normalising_the_values_stay(tmp_path: Path) -> None:
    found = transforms(tmp_path, *USUAL[:2], USUAL[3])
    assert found.preprocess is not None
    assert (found.preprocess.scale, found.preprocess.mean, found.preprocess.std) == (
        1.0,
        (0.0,) * 3,
        (1.0,) * 3,
    )
    assert found.notes == (
        "PreProcess.transform_ops does not normalise: the values 0 to 255 go in as they are",
    )


@pytest.mark.parametrize(
    ("scale", "value"),
    [("1.0/255.0", 1 / 255), ("1./255.", 1 / 255), ("'2'", 2.0), ("1e-2", 0.01), ("null", 1 / 255)],
)
def test_scales(tmp_path: Path, scale: str, value: float) -> None:
    assert preprocess(tmp_path, *USUAL[:2], f"NormalizeImage: {{scale: {scale}}}").scale == value


@pytest.mark.parametrize(
    ("operations", "said"),
    [
        ([USUAL[0]], "PreProcess.transform_ops: the size of what comes out depends on the picture"),
        (USUAL[2:], "PreProcess.transform_ops: no transform resizes"),
        ([USUAL[2], *USUAL[:2]], "PreProcess.transform_ops[1] ResizeImage: it comes after the normalising"),
        ([USUAL[0], USUAL[3], USUAL[1]], "PreProcess.transform_ops[2] CropImage: it comes after"),
        ([*USUAL, USUAL[2]], "PreProcess.transform_ops[4] NormalizeImage: it normalises a second time"),
        ([*USUAL, USUAL[3]], "PreProcess.transform_ops[4] ToCHWImage: "),
        ([USUAL[0], "DecodeImage:"], "PreProcess.transform_ops[1] DecodeImage: it is not the first"),
        (["DecodeImage: {img_mode: GRAY}"], "PreProcess.transform_ops[0] DecodeImage: img_mode GRAY"),
        (["DecodeImage: {img_mode: BGR, to_rgb: true}"], "contradict"),
        (["DecodeImage: {channel_first: true}"], "channel_first"),
        (["DecodeImage: {rotate: true}"], "unknown field `rotate`"),
        (["ResizeImage: {resize_short: 20}", USUAL[1]], "a crop of 32x32 is larger"),
        (["ResizeImage: {size: [40, 30]}", USUAL[1]], "a crop of 32x32 is larger"),
        (["ResizeImage: {}"], "neither resize_short nor size"),
        (["ResizeImage: {size: 0}"], "PreProcess.transform_ops[0] ResizeImage"),
        (["ResizeImage: {size: 32, interpolation: random}"], "interpolation random"),
        (["ResizeImage: {size: 32, backend: dali}"], "backend dali"),
        (["ResizeImage: {size: 32, interpolation: area, backend: pil}"], "Pillow has no interpolation area"),
        (["NormalizeImage: {order: chw}"], "order chw does not fit"),
        ([USUAL[3], "NormalizeImage: {order: hwc}"], "order hwc does not fit"),
        (["NormalizeImage: {channel_num: 4}"], "three channels"),
        (["NormalizeImage: {output_fp16: true}"], "float32"),
        (["NormalizeImage: {std: [1, 0, 1]}"], "a deviation is 0"),
        (["NormalizeImage: {scale: \"__import__('os').system('touch x')\"}"], "is no number and no quotient"),
        (["NormalizeImage: {scale: 1/0}"], "is no number and no quotient"),
        (
            ["RandFlipImage: {}"],
            "PreProcess.transform_ops[0] RandFlipImage: edgekit has no operation RandFlipImage",
        ),
        (
            ["{ResizeImage: {size: 32}, ToCHWImage: null}"],
            "PreProcess.transform_ops[0]: it is not one transform",
        ),
    ],
)
def test_what_no_record_can_say_is_refused_with_its_place(
    tmp_path: Path, operations: list[str], said: str
) -> None:
    text = "PreProcess:\n  transform_ops:\n" + "".join(f"  - {each}\n" for each in operations)
    assert said in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("post", "rule"),
    [
        ("{Topk: {topk: 1}}", Postprocess(top_k=1)),
        ("{main_indicator: Topk, Topk: {topk: 5}, SavePreLabel: {save_dir: x}}", Postprocess(top_k=5)),
        ("{MultiLabelThreshOutput: {}}", Postprocess(kind=AnswerKind.MULTILABEL, thresholds=(0.5,))),
        (
            "{MultiLabelThreshOutput: {threshold: [0.1, 0.2], label_list: [a, b]}}",
            Postprocess(kind=AnswerKind.MULTILABEL, thresholds=(0.1, 0.2)),
        ),
        (
            "{MultiLabelThreshOutput: {threshold: {default: 0.5, 1: 0.7}, label_list: [a, b]}}",
            Postprocess(kind=AnswerKind.MULTILABEL, thresholds=(0.5, 0.7)),
        ),
        (
            "{ThreshOutput: {threshold: 0.9, default_label_index: 2}}",
            Postprocess(kind=AnswerKind.THRESHOLD, thresholds=(0.9,), default_class=2),
        ),
        ("{}", None),
    ],
)
def test_answers(tmp_path: Path, post: str, rule: Postprocess | None) -> None:
    assert answers(tmp_path, post).postprocess == rule


def test_labels_of_two_classes(tmp_path: Path) -> None:
    found = answers(tmp_path, "{ThreshOutput: {threshold: 0.9, label_0: nobody, label_1: someone}}")
    assert found.labels == ("nobody", "someone")


@pytest.mark.parametrize(
    ("post", "said"),
    [
        ("{Topk: {topk: 0}}", "PostProcess.Topk: topk 0"),
        ("{Topk: {topk: 5, softmax: true}}", "PostProcess.Topk: Object contains unknown field `softmax`"),
        ("{Topk: {}, ThreshOutput: {}}", "several sections: Topk, ThreshOutput"),
        ("{main_indicator: Topk}", "main_indicator Topk names no section"),
        ("{MultiLabelThreshOutput: {threshold: {default: 0.5, 2: 0.1}, label_list: [a, b]}}", "no class 2"),
        ("{MultiLabelThreshOutput: {threshold: {default: 0.5, 2: 0.1}}}", "the labels of all classes"),
        ("{ThreshOutput: {default_label_index: -1}}", "default_label_index -1"),
        ("{Topk: {label_list: {0: a, 2: b}}}", "class numbers are not 0 to 1"),
        ('{Topk: {label_list: ["a\\nb"]}}', "label 0, 'a\\nb'"),
        ("{Topk: {class_id_map_file: x.txt, delimiter: ';'}}", "delimiter ';'"),
        (
            "{name: DBPostProcess, thresh: 0.3}",
            "PostProcess.DBPostProcess: DBPostProcess belongs to text detection",
        ),
        ("{PersonAttribute: {hat_threshold: 0.5}}", "unknown field `hat_threshold`"),
        ("{FaceAttribute: {convert_cn: true}}", "convert_cn: edgekit has the English names"),
        ("[]", "PostProcess: it holds no sections"),
    ],
)
def test_answers_that_are_refused(tmp_path: Path, post: str, said: str) -> None:
    assert said in refusal(tmp_path, f"PostProcess: {post}")


@pytest.mark.parametrize("name", sorted(TASK_OF))
def test_modules_of_other_tasks_are_known_by_name(tmp_path: Path, name: str) -> None:
    for text in (
        f"PreProcess: {{transform_ops: [{{{name}: {{}}}}]}}",
        f"PostProcess: {{name: {name}}}",
        f"PostProcess: {{{name}: {{}}}}",
    ):
        said = refusal(tmp_path, text)
        assert TASK_OF[name] in said or "is not answered yet" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "mode: paddle\narch: DETR\nPreprocess: [{type: Resize}]\nlabel_list: [a]",
            "Preprocess[0] Resize: Object missing required field `target_size`",
        ),
        ("Deploy: {transforms: [{type: LimitLong}], model: model.pdmodel}", "transforms[0] LimitLong"),
        ("Deploy: {transforms: [{type: Resize, keep_ratio: true}]}", "depends on the picture"),
        ("Deploy: {transforms: [{type: Resize, interp: RANDOM}]}", "interp RANDOM"),
        ("PreProcess: {transform_ops: []}\nPrePorcess: {}", "does not know the section PrePorcess"),
        ("PreProcess: {transform_ops: [], batch_ops: []}", "PreProcess: it holds something else"),
        ("- a\n- b", "it holds no sections"),
        ("", "it holds no sections"),
        ("a: &a [*a]", "an alias stands inside of what it names"),
        ("a: [", "while parsing"),
        ("a: !!python/object/apply:os.system [touch x]", "could not determine a constructor"),
        ("Infer: {batch_size: 1}", "Infer: it has no transforms"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


def test_a_bomb_of_aliases_is_refused_at_once(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    merged = ["b0: &b0 {x: 1}"]
    merged += [f"b{n}: &b{n} {{<<: [{', '.join([f'*b{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    for lines in (levels, merged):
        begun = time.monotonic()
        assert "aliases stand for more than" in refusal(tmp_path, "\n".join(lines))
        assert time.monotonic() - begun < 10


def test_labels_are_the_text_that_is_written(tmp_path: Path) -> None:
    written = "[no, 007, 1.0, ~, 0 stars, ' blank ', 2024-01-01, 'a', \"a\\u2028b\", a, true]"
    kept = ("no", "007", "1.0", "~", "0 stars", " blank ", "2024-01-01", "a", "a\u2028b", "a", "true")
    assert answers(tmp_path, f"{{Topk: {{label_list: {written}}}}}").labels == kept
    assert read(tmp_path, f"_Attributes: {{labels: {written}}}", "model.yml").labels == kept
    assert answers(tmp_path, "{Topk: {label_list: {1: yes, 0: no}}}").labels == ("no", "yes")


def test_a_missing_file_of_labels_is_said(tmp_path: Path) -> None:
    found = answers(tmp_path, "{Topk: {class_id_map_file: ../ppcls/utils/x_list.txt}}")
    assert found.labels is None
    assert "../ppcls/utils/x_list.txt, which does not lie beside inference.yml" in found.notes[0]


def test_toml_with_steps(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
mean = [0, 0, 0]
[[steps]]
step = "resize"
size = [80, 160]
[[steps]]
step = "crop"
size = [64, 128]
""",
        "mine.toml",
    ).preprocess
    assert found is not None
    assert (found.steps, found.size) == ((Resize(size=(80, 160)), Crop(size=(64, 128))), (64, 128))
    for text, said in (
        ('[[steps]]\nstep = "resize"\nshort = 9', "depends on the picture"),
        ('[[steps]]\nstep = "resize"', "one of short, size and within"),
        ("std = [1, 0, 1]", "a deviation in std is 0"),
        ('[[steps]]\nstep = "turn"', "turn"),
    ):
        assert said in refusal(tmp_path, text, "mine.toml")


def test_what_is_guessed_of_the_answer_is_said() -> None:
    assert decide_answer(None, "softmax", 5) == (Postprocess(), ())
    rule, notes = decide_answer(None, "sigmoid", 5)
    assert (rule.kind, rule.thresholds) == (AnswerKind.MULTILABEL, (0.5,))
    assert "0.5" in notes[0]
    several = Postprocess(kind=AnswerKind.MULTILABEL, thresholds=(0.5, 0.6))
    assert decide_answer(several, "sigmoid", 2) == (several, ())
    assert "no probabilities" in decide_answer(several, "none", 2)[1][0]
    with pytest.raises(InputError, match="2 thresholds and default class 0 for 3 classes"):
        decide_answer(several, "sigmoid", 3)


def test_the_toml_of_the_documentation(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "own-model.md").read_text()
    text = page.partition("```toml\n")[2].partition("```")[0]
    assert read(tmp_path, text, "mine.toml").preprocess == Preprocess()
    steps = "".join(
        line.removeprefix("# ") for line in text.splitlines(keepends=True) if line[:3] in ("# [", "# s")
    )
    found = read(tmp_path, steps, "steps.toml").preprocess
    assert found is not None
    assert found.steps == (Resize(size=(80, 160)), Crop(size=(64, 128)), Pad(size=(64, 128)))
