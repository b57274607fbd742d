"""From instruction counts to milliseconds on a named SoC: the models as data."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import msgspec

from edgekit._files import read_bytes, write_atomic
from edgekit._text import nearest
from edgekit.core.student import student_quantile
from edgekit.errors import InputError, UsageError

DATA = Path(__file__).parent / "data"
COUNTS = DATA / "counts.toml"
SOCS = DATA / "socs"
# Fewer networks than this make a fit whose interval is never narrower than the guess for other networks.
ENOUGH_NETWORKS = 5
LEVEL = 0.90
# Coefficients of a fit: as many degrees of freedom are spent.
COEFFICIENTS = 2
# Sizes of the last cache, MiB, that activations are held against; the SoCs with models have one of them.
CACHES_MIB = (1, 2, 4)


class Layers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes of a float network's convolutions and matrix products at its input.

    Attributes:
        pointwise_m: Millions of multiply-accumulates of 1x1 convolutions and matrix products.
        spatial_m: Millions of multiply-accumulates of larger kernels, depthwise ones left out.
        activations_mb: Inputs and outputs of all of them, MB of a million bytes.
        head_mb: Weights of the matrix products, MB of a million bytes.
        layers: How many there are.
        beyond_cache_mb: By how much a layer's input and output together exceed a cache, MB of a million bytes
            summed over the layers; by the cache's size, one of `CACHES_MIB`.
    """

    pointwise_m: float
    spatial_m: float
    activations_mb: float
    head_mb: float
    layers: int
    beyond_cache_mb: dict[str, float] = {}


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much each figure of `Layers` adds, in millions of instructions.

    Two change the size: `head` is taken off it, and `spill`, for what exceeds the cache, is added to it. All
    SoCs share them, except where a SoC has enough published networks at a number of threads for its own.
    """

    pointwise: float
    spatial: float
    activations: float
    head: float
    layer: float = 0.0
    spill: float = 0.0


# Common to all SoCs: the choice of scripts/fit_socs.py --search over all SoCs but the RK3399.
WEIGHTS = Weights(pointwise=0.4, spatial=0.3, activations=1.0, head=0.25, spill=0.15)


class Fit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ms = ms_per_million * millions + ms_per_mb * MB` at one number of threads.

    Attributes:
        weights: What a network's layers add to its instructions, and take off its size; None where
            instructions and size stand as they are. Such a fit holds for networks of any precision.
        cache_mib: The last cache before the memory, one of `CACHES_MIB`; None where nobody knows it, so that
            all activations count as within it.
        precision: The precision whose networks alone it was fitted to and holds for; None for a fit to float
            networks, which stands for others as well.
        coefficients: As many degrees of freedom are spent: 1 where the ratio of the two coefficients was
            taken from another number of threads.
        leave_one_out_error: The largest `ratio_error` of a network that the fit was made without.
        leave_one_out_rms: Root of the mean square, over networks, of the logarithm of truth over the estimate
            of a fit that was made without the network.
        networks: How many it was fitted on.
        millions: Range of the instructions that it was fitted on.
        nb_mb: Range of the sizes of the `.nb`, MB of a million bytes.
    """

    threads: int
    ms_per_million: float
    ms_per_mb: float
    leave_one_out_error: float
    leave_one_out_rms: float
    networks: int
    millions: tuple[float, float]
    nb_mb: tuple[float, float]
    precision: str | None = None
    weights: Weights | None = None
    cache_mib: int | None = None
    coefficients: int = COEFFICIENTS

    def latency_ms(self, millions: float, nb_mb: float, layers: Layers | None = None) -> float:
        """Return the estimate of a network by its instructions, the size of its `.nb` and its layers."""
        work, size = weigh(millions, nb_mb, layers, self.threads, self.weights, self.cache_mib)
        return self.ms_per_million * work + self.ms_per_mb * size


def weigh(
    millions: float,
    nb_mb: float,
    layers: Layers | None,
    threads: int,
    weights: Weights | None,
    cache_mib: int | None,
) -> tuple[float, float]:
    """Return the weighted instructions and size. The threads share what the layers add, but for `layer`."""
    if layers is None or weights is None:
        return millions, nb_mb
    shared = (
        weights.pointwise * layers.pointwise_m
        + weights.spatial * layers.spatial_m
        + weights.activations * layers.activations_mb
    )
    work = millions + shared / threads + weights.layer * layers.layers
    beyond_mb = layers.beyond_cache_mb.get(str(cache_mib), 0.0)
    return work, nb_mb - weights.head * layers.head_mb + weights.spill * beyond_mb


class Unfitted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How well networks were met that the model was not fitted on, at one number of threads.

    Attributes:
        rms: Root of the mean square of the logarithm of truth over estimate.
        networks: How many there were.
    """

    precision: str
    threads: int
    rms: float
    networks: int


class SocModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One SoC with one engine.

    Attributes:
        virtual_soc: The virtual device's name for it, under whose identity instructions are counted; None
            where there is none that stands for it.
        precisions: Precisions that can be estimated; empty for all.
        counted_on: The virtual device's name for a SoC with the same kernels, by precision, where they are
            others than those of `virtual_soc`: Paddle Lite takes other int8 kernels on cores without dot
            products.
        part: CPU part number of the cores that it holds for, as in `Cluster.part`; None where not known.
        source: Where the milliseconds come from that it was fitted to.
        other_error: Guessed `ratio_error` of networks that it was not fitted on, where `unfitted` has none.
        other_precision_error: Guessed `ratio_error` at another precision, where `unfitted` has none.
        unfitted: Measured errors of networks that it was not fitted on.
        adapted_from: The SoC whose model was adapted to points of this one; None where it was fitted.
    """

    name: str
    title: str
    virtual_soc: str | None = None
    engine: str
    precision: str
    precisions: tuple[str, ...] = ()
    counted_on: dict[str, str] = {}
    part: str | None = None
    source: str
    fitted_on: tuple[str, ...]
    other_error: float
    other_precision_error: float
    fits: tuple[Fit, ...]
    unfitted: tuple[Unfitted, ...] = ()
    adapted_from: str | None = None

    def threads(self, precision: str = "fp32") -> tuple[int, ...]:
        """Return the numbers of threads that it was fitted at."""
        return tuple(sorted({one.threads for one in self._fits(precision)}))

    def main_fits(self) -> tuple[Fit, ...]:
        """Return the fit that float networks are estimated by, for each number of threads."""
        return tuple(self.fit(threads, layers=True) for threads in self.threads())

    def kernels(self, precision: str) -> str | None:
        """Return the virtual SoC whose kernels its counts have; None for those of the Snapdragon 855."""
        return self.counted_on.get(precision)

    def knows(self, precision: str) -> bool:
        """Return True where the shipped counts hold for a precision on the SoC."""
        return not self.precisions or precision in self.precisions

    def require(self, precision: str) -> None:
        """Raises UsageError where nothing is known of a precision on the SoC."""
        if not self.knows(precision):
            raise UsageError(
                f"estimating {precision} for {self.title}: its model does not know the kernels of its cores, "
                f"or not how fast they are; it holds for {', '.join(self.precisions)}",
                hint=f"--precision {self.precisions[0]}, or measure: edgekit bench NAME --device SERIAL "
                f"--precision {precision}",
            )

    def _fits(self, precision: str) -> list[Fit]:
        """Return the fits to a precision's networks; those to float ones where there are none."""
        own = [one for one in self.fits if one.precision == precision]
        return own or [one for one in self.fits if one.precision is None]

    def plain_fit(self, threads: int, precision: str) -> Fit | None:
        """Return the fit by instructions and size alone, None where there is none."""
        return next(
            (one for one in self._fits(precision) if one.threads == threads and one.weights is None), None
        )

    def fit(self, threads: int, *, layers: bool = False, precision: str = "fp32") -> Fit:
        """Return the fit for networks whose layers are known, or for others.

        Raises:
            UsageError: It was not fitted at that number of threads.
        """
        for one in self._fits(precision) if layers else ():
            if one.threads == threads and one.weights is not None:
                return one
        plain = self.plain_fit(threads, precision)
        if plain is not None:
            return plain
        known = ",".join(map(str, self.threads(precision)))
        raise UsageError(
            f"estimating {precision} for {self.title} at {threads} threads: the model knows {known}",
            hint=f"--threads {known}",
        )


class NetworkCount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Instructions of one network.

    Attributes:
        model: The model that the estimate is for.
        network: The model of the shipped counts that has this network, at this input and with these classes;
            None where none is known to. Fits name their networks by it.
        counted_on: The virtual device's SoC where it is another than the Snapdragon 855; see `SocModel`.
        nb_mb: Size of the `.nb`, MB of a million bytes.
        millions: Millions of instructions of the longest thread, by number of threads.
        layers: Of a float network; None for other precisions and where sizes are not known.
    """

    model: str
    network: str | None = None
    precision: str
    counted_on: str | None = None
    nb_mb: float
    millions: dict[str, float]
    layers: Layers | None = None
    runtime: str | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The counts that edgekit ships; `runtime` holds for networks that do not name their own."""

    runtime: str
    networks: tuple[NetworkCount, ...]


def shipped_socs() -> tuple[str, ...]:
    """Return the names of the SoCs whose models travel with edgekit."""
    return tuple(sorted(path.stem for path in SOCS.glob("*.toml")))


def load_soc(name: str) -> SocModel:
    """Return a shipped SoC by name, or a model file that `estimate --fit` or `--adapt` wrote.

    Raises:
        UsageError: There is none of that name.
        InputError: The file cannot be read.
    """
    shipped = shipped_socs()
    path = SOCS / f"{name}.toml" if name in shipped else Path(name)
    if name not in shipped and path.suffix != ".toml":
        raise _unknown_soc(name, shipped)
    try:
        return msgspec.toml.decode(read_bytes(path, "the model of a SoC"), type=SocModel)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(
            f"reading {path}: no model of a SoC: {error}", hint="edgekit estimate --fit RESULT -o FILE.toml"
        ) from error


def _unknown_soc(name: str, shipped: tuple[str, ...]) -> UsageError:
    from edgekit.virtual.machine.soc import list_socs

    near = nearest(name, shipped)
    meant = near[0] if near else shipped[0]
    if name in list_socs():
        return UsageError(
            f"--soc {name}: it can be emulated, no latency model is shipped",
            hint=f"--soc {meant}, or fit one to results of such a phone: edgekit estimate "
            f"--fit RESULT --virtual-soc {name} -o {name}.toml",
        )
    known = f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(shipped)},"
    return UsageError(
        f"--soc {name}: no such model",
        hint=f"{known} or a model of your phone: edgekit estimate --adapt auto RESULT -o FILE.toml",
    )


def write_soc(path: Path, model: SocModel) -> None:
    """Write a model as a TOML file for `load_soc`. Raises OutputError where it cannot be written."""
    write_atomic(path, msgspec.toml.encode(_without_null(msgspec.to_builtins(model))))


def _without_null(value: object) -> object:
    """Leave out what is None: TOML has no null."""
    if isinstance(value, dict):
        return {name: _without_null(each) for name, each in value.items() if each is not None}
    return [_without_null(each) for each in value] if isinstance(value, list | tuple) else value


@cache
def load_counts() -> Counts:
    """Return the counts that travel with edgekit."""
    return msgspec.toml.decode(COUNTS.read_bytes(), type=Counts)


def ratio_error(estimated: float, truth: float) -> float:
    """By how much the larger of the two exceeds the smaller, relative to the smaller.

    An error of `e` at most says that the truth lies between `estimated / (1 + e)` and `estimated * (1 + e)`.
    """
    return max(estimated / truth, truth / estimated) - 1


def prediction_error(rms: float, freedom: int) -> float:
    """`ratio_error` that one more network exceeds in one of ten cases, by Student's t on logarithms.

    Args:
        rms: Root of the mean square of the logarithms of truth over estimate of networks left out of the fit.
        freedom: Degrees of freedom of `rms`, at least 1.
    """
    return math.expm1(student_quantile(LEVEL, freedom) * rms)
