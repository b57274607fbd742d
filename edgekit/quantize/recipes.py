"""How ONNX Runtime quantises a model: settings, layers that stay float, and what is measured to choose them.

Runs in the quantisation worker. Everything is judged by the float model's own answers on calibration
pictures; held-back pictures are left for the gate.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.quantize.layers import activations, correct_biases, layer_groups, open_session, with_outputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Outputs = list[NDArray[np.float32]]
    Bounds = dict[str, tuple[float, float]]

# Candidates are compared on so many pictures, the influence of single layers on fewer.
SELECTION_PICTURES = 50
SENSITIVITY_PICTURES = 8
CORRECTION_PICTURES = 30
SHOWN_LAYERS = 4
# ONNX Runtime computes softmax fast enough in float, and 256 levels of a score make ties.
FLOAT_OPS = ("Softmax",)


class Ranges(enum.Enum):
    """How the range of an activation is taken from those on single pictures."""

    MINMAX = "MinMax"
    AVERAGE = "average of pictures"
    P9999 = "99.99 %, average of pictures"


_TAILS = {Ranges.P9999: 1e-4}


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one quantisation.

    Attributes:
        ranges: How ranges of activations are taken.
        bias_correction: Whether biases make up for the mean error that rounded weights cause (Nagel et al.,
            "Data-Free Quantization", 2019, section 4.2, with means of real pictures).
        reduce_range: Whether weights have 7 bits, whose products do not saturate on CPUs without VNNI.
        kept_float: Names of layers that are not quantised.
    """

    ranges: Ranges = Ranges.MINMAX
    bias_correction: bool = False
    reduce_range: bool = False
    kept_float: tuple[str, ...] = ()

    @property
    def levels(self) -> int:
        """Largest weight as an integer, as ONNX Runtime rounds symmetrically."""
        return 64 if self.reduce_range else 127


class Trial(msgspec.Struct, frozen=True, kw_only=True, tag="trial"):
    """A recipe and how close to float it is on calibration pictures.

    Attributes:
        agreement: Share of pictures with the float model's best class; None for other outputs than scores.
        noise: Power of the difference of the outputs over the power of the float outputs.
    """

    recipe: Recipe
    agreement: float | None
    noise: float

    @property
    def rank(self) -> tuple[float, float]:
        """Sort key; smaller is better."""
        return (0.0 if self.agreement is None else -self.agreement, self.noise)


class Sensitivity(msgspec.Struct, frozen=True, kw_only=True):
    """Noise of the outputs where one layer alone is quantised."""

    layer: str
    noise: float


class Found(msgspec.Struct, frozen=True, kw_only=True, tag="found"):
    """The chosen recipe, with all trials it was chosen from.

    Attributes:
        trials: All that were measured, in order.
        sensitivities: All layers, the most sensitive first, where layers to keep float were looked for.
        layers: Number of layers with weights.
    """

    recipe: Recipe
    trials: tuple[Trial, ...]
    sensitivities: tuple[Sensitivity, ...]
    layers: int


class Bench:
    """A prepared float model with what is known of it: ranges, answers, layers.

    Args:
        prepared: The model after ONNX Runtime's pre-processing.
        input_name: Its one input.
        inputs: Calibration inputs, N first.
        work: Directory for other files.
    """

    def __init__(self, prepared: Path, input_name: str, inputs: NDArray[np.float32], work: Path) -> None:
        import onnx

        self.model = onnx.load(str(prepared))
        self._prepared, self._input, self._inputs, self._work = prepared, input_name, inputs, work
        for number, node in enumerate(self.model.graph.node):
            node.name = node.name or f"{node.op_type}_{number}"
        onnx.save(self.model, str(prepared))
        self.groups = layer_groups(self.model)
        self._corrected: dict[int, Path] = {}
        self._ranges = self._measure_ranges()
        self._answers: dict[int, list[Outputs]] = {}

    def write(self, recipe: Recipe, output: Path, *, only: str | None = None) -> None:
        """Write the quantised model; `only` names the one layer that is quantised."""
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        kept = {name for layer in recipe.kept_float for name in self.groups[layer]}
        kept |= {node.name for node in self.model.graph.node if node.op_type in FLOAT_OPS}
        source = self._correct(recipe.levels) if recipe.bias_correction else self._prepared
        quantize_static(
            str(source),
            str(output),
            reader(self._input, self._inputs[:1]),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=recipe.reduce_range,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_quantize=None if only is None else [*self.groups[only]],
            nodes_to_exclude=sorted(kept),
            extra_options={"TensorQuantOverrides": self._overrides(recipe.ranges)},
        )

    def judge(self, recipe: Recipe, pictures: int = SELECTION_PICTURES, *, only: str | None = None) -> Trial:
        """Quantise, run, and compare with float."""
        import numpy as np

        path = self._work / "trial.onnx"
        self.write(recipe, path, only=only)
        chosen = _spread(len(self._inputs), pictures)
        if pictures not in self._answers:
            self._answers[pictures] = list(self._run(self._prepared, chosen))
        same, error, power, is_scores = 0, 0.0, 0.0, True
        for wanted, given in zip(self._answers[pictures], self._run(path, chosen), strict=True):
            error += sum(float(np.square(a - b).sum()) for a, b in zip(wanted, given, strict=True))
            power += sum(float(np.square(a).sum()) for a in wanted)
            is_scores &= len(wanted) == 1 and wanted[0].ndim == 2
            same += is_scores and bool(wanted[0].argmax() == given[0].argmax())
        path.unlink()
        noise = error / power if power else error
        return Trial(
            recipe=recipe,
            agreement=same / len(chosen) if is_scores else None,
            noise=noise if np.isfinite(noise) else float("inf"),
        )

    def _run(self, path: Path, chosen: Sequence[int]) -> Iterator[Outputs]:
        session = open_session(path)
        for index in chosen:
            yield session.run(None, {self._input: self._inputs[index : index + 1]})

    def _measure_ranges(self) -> dict[Ranges, Bounds]:
        """Bounds of all activations, from one pass over the calibration inputs."""
        import numpy as np

        tensors = activations(self.model)
        session = open_session(with_outputs(self.model, tensors, self._work / "ranges.onnx"))
        lows: dict[Ranges, list[list[float]]] = {each: [] for each in Ranges}
        highs: dict[Ranges, list[list[float]]] = {each: [] for each in Ranges}
        for index in range(len(self._inputs)):
            feed = self._inputs[index : index + 1]
            values = [feed, *session.run(tensors[1:], {self._input: feed})]
            for kind in Ranges:
                ends = [_ends(value, _TAILS.get(kind, 0.0)) for value in values]
                lows[kind].append([low for low, _ in ends])
                highs[kind].append([high for _, high in ends])
        bounds = {}
        for kind in Ranges:
            low, high = np.array(lows[kind]), np.array(highs[kind])
            whole = kind is Ranges.MINMAX
            low, high = (low.min(0), high.max(0)) if whole else (low.mean(0), high.mean(0))
            bounds[kind] = dict(zip(tensors, zip(low.tolist(), high.tolist(), strict=True), strict=True))
        return bounds

    def _overrides(self, ranges: Ranges) -> dict[str, list[dict[str, Any]]]:
        import numpy as np

        return {
            name: [{"rmin": np.float32(min(low, 0.0)), "rmax": np.float32(max(high, 0.0))}]
            for name, (low, high) in self._ranges[ranges].items()
        }

    def _correct(self, levels: int) -> Path:
        """Write the float model whose biases make up for weights of so many levels, once."""
        if levels not in self._corrected:
            path = self._work / f"corrected{levels}.onnx"
            chosen = _spread(len(self._inputs), CORRECTION_PICTURES)
            feeds = ({self._input: self._inputs[index : index + 1]} for index in chosen)
            correct_biases(self.model, feeds, path, levels=levels)
            self._corrected[levels] = path
        return self._corrected[levels]


def search(bench: Bench) -> Iterator[Trial]:
    """Yield trials of all ranges, then of changes to the best so far, one after the other."""
    trials = []
    for ranges in Ranges:
        trials.append(bench.judge(Recipe(ranges=ranges)))
        yield trials[-1]
    for change in ("reduce_range", "bias_correction"):
        best = min(trials, key=lambda each: each.rank).recipe
        trials.append(bench.judge(msgspec.structs.replace(best, **{change: True})))
        yield trials[-1]


def sensitivities(bench: Bench, recipe: Recipe) -> list[Sensitivity]:
    """Return all layers by falling noise of the outputs where each alone is quantised."""
    found = [
        Sensitivity(layer=layer, noise=bench.judge(recipe, SENSITIVITY_PICTURES, only=layer).noise)
        for layer in bench.groups
    ]
    return sorted(found, key=lambda each: -each.noise)


def keep_float(bench: Bench, recipe: Recipe, layers: Sequence[str], limit: float) -> Iterator[Trial]:
    """Yield trials that keep the first 1, 2, 4, … layers float, until one is within the limit.

    Args:
        layers: Layers, the most sensitive first; at most half of them are kept.
        limit: Share of pictures that may be answered otherwise than by float.
    """
    count = 1
    while count <= max(1, len(layers) // 2):
        trial = bench.judge(msgspec.structs.replace(recipe, kept_float=tuple(layers[:count])))
        yield trial
        if is_within(trial, limit):
            return
        count *= 2


def is_within(trial: Trial, limit: float) -> bool:
    """Return whether the answers differ on at most a share of the pictures; of other outputs, the noise."""
    return (trial.noise if trial.agreement is None else 1 - trial.agreement) <= limit


def describe(trial: Trial) -> str:
    """Return a trial as a line."""
    recipe = trial.recipe
    words = [recipe.ranges.value]
    words += ["bias correction"] * recipe.bias_correction + ["7-bit weights"] * recipe.reduce_range
    words += [f"float: {shown_layers(recipe.kept_float)}"] * bool(recipe.kept_float)
    said = f"noise {trial.noise:.2e}"
    if trial.agreement is not None:
        said = f"same answer on {100 * trial.agreement:.1f} % of calibration pictures, {said}"
    return f"{', '.join(words)}: {said}"


def shown_layers(layers: Sequence[str]) -> str:
    """Return the names of a few layers, or the first and the number of the others."""
    if len(layers) <= SHOWN_LAYERS:
        return ", ".join(layers)
    return f"{', '.join(layers[:SHOWN_LAYERS])} and {len(layers) - SHOWN_LAYERS} others"


def _ends(value: NDArray[np.float32], tail: float) -> tuple[float, float]:
    """Least and largest value, without a share of the values at either end."""
    import numpy as np

    flat = value.reshape(-1)
    cut = int(tail * flat.size)
    if not cut:
        return float(flat.min()), float(flat.max())
    ordered = np.partition(flat, (cut, flat.size - 1 - cut))
    return float(ordered[cut]), float(ordered[flat.size - 1 - cut])


def reader(name: str, inputs: NDArray[np.float32]) -> Any:
    """Return ONNX Runtime's reader of calibration inputs, one at a time."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(range(len(inputs)))

        def get_next(self) -> dict[str, Any] | None:
            index = next(self._left, None)
            return None if index is None else {name: inputs[index : index + 1]}

    return Reader()


def _spread(count: int, wanted: int) -> list[int]:
    wanted = min(count, wanted)
    return [index * count // wanted for index in range(wanted)]
