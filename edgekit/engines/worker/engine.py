"""Base class of the engines that a worker runs; each engine is one file of `edgekit.engines`."""

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from edgekit.engines.worker.refusal import RefusedError

# Inputs of a `load` request: `{"name", "dtype", "shape"}` each, every size known.
Inputs = Sequence[Dict[str, Any]]
# Layers in the order of their execution, and the microseconds of each for every inference.
LayerTimes = Tuple[List[Dict[str, Any]], List[List[float]]]


class Engine:
    """One artifact in one configuration.

    Call in this order: `prepare` once (imports, before any clock runs), `load` once, then `bind`, the
    callable that `bind` returned any number of times, and `results`.
    """

    # RECORD of the engine's file; `edgekit.engines.registry` describes its fields.
    record: Dict[str, Any] = {}

    def __init__(self) -> None:
        self.options: Dict[str, str] = {}
        # `load` sets this to the answer of `gpu.describe_gpu` where the engine computes on a GPU.
        self.gpu: Optional[Dict[str, Any]] = None
        # `load` sets this where the engine reports it: number of layers by the precision of their arithmetic.
        self.layer_precisions: Dict[str, int] = {}

    @property
    def name(self) -> str:
        return str(self.record["name"])

    @property
    def max_threads(self) -> Optional[int]:
        limit: Optional[int] = self.record["host"].get("max_threads")
        return limit

    def take_options(self, given: Dict[str, str]) -> Dict[str, str]:
        """Return all options of the engine: the given ones, and the first value of each other.

        Raises:
            RefusedError: The engine does not know an option or a value.
        """
        known = {name: one["values"] for name, one in self.record["host"].get("options", {}).items()}
        for name, value in given.items():
            if name not in known:
                raise RefusedError("request", "option {}: this engine has no such option".format(name))
            if value not in known[name]:
                raise RefusedError(
                    "request", "option {}={}: allowed are {}".format(name, value, ", ".join(known[name]))
                )
        return {name: given.get(name, values[0]) for name, values in known.items()}

    def prepare(self) -> str:
        """Import the engine and return its version. Raises ImportError."""
        raise NotImplementedError

    def load(
        self, model: str, params: Optional[str], threads: int, inputs: Inputs, options: Dict[str, str]
    ) -> None:
        """Load the artifact for `threads` threads and these inputs; raises RefusedError (`check_inputs`)."""
        raise NotImplementedError

    def inputs(self) -> List[Dict[str, Any]]:
        """Input tensors as `[{"name", "dtype", "shape"}]`; free or unknown sizes are None."""
        raise NotImplementedError

    def outputs(self) -> List[Dict[str, Any]]:
        raise NotImplementedError

    def threads(self) -> Optional[int]:
        """Number of threads that the engine reports to use; None where it does not report it."""
        raise NotImplementedError

    def bind(self, arrays: Sequence[Any]) -> Callable[[], Any]:
        """Put an array into each input of the model; return the bare call that infers from them.

        Types are those that `load` was given; the first size of a shape may be another.
        """
        raise NotImplementedError

    def copies(self) -> Optional[Tuple[Callable[[], Any], Callable[[], Any]]]:
        """Return calls that copy the bound inputs to the GPU and the last outputs back, and wait for the end.

        Return None where the engine reads and writes the host's memory.
        """
        return None

    def layer_times(self, arrays: Sequence[Any], runs: int) -> LayerTimes:
        """Infer `runs` times from an array for each input, and time each layer.

        An engine whose record says `layer_times` implements this. A layer is described by `layer`.
        """
        raise RefusedError("unsupported", "{} does not time its layers".format(self.name))

    def results(self) -> List[Any]:
        """Return all outputs of the last inference as numpy arrays that later inferences leave alone."""
        raise NotImplementedError


def tensor(name: str, dtype: str, shape: Sequence[Any]) -> Dict[str, Any]:
    """Describe a tensor for the protocol; sizes that are no positive integer are free."""
    sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
    return {"name": name, "dtype": dtype, "shape": sizes}


def layer(name: str, operator: str, *shapes: Sequence[int]) -> Dict[str, Any]:
    """Describe a layer: its shapes are those of its first input, its weights and its first output."""
    names = ("input_shape", "weights_shape", "output_shape")
    known = {key: list(shape) for key, shape in zip(names, shapes)}  # noqa: B905 (Python 3.10)
    return {"name": name, "operator": operator, **known}


def check_inputs(specs: Sequence[Dict[str, Any]], given: Inputs) -> None:
    """Compare the inputs of a request with the model's.

    Raises:
        RefusedError: Code `unsupported` for other names, order or types; `shape` for another shape.
    """
    names, wanted = [[one["name"] for one in tensors] for tensors in (given, specs)]
    if names != wanted:
        raise RefusedError(
            "unsupported", "the model takes the inputs {}, not {}".format(", ".join(wanted), ", ".join(names))
        )
    for spec, one in zip(specs, given):  # noqa: B905 (Python 3.10)
        if spec["dtype"] != one["dtype"]:
            raise RefusedError(
                "unsupported", "input {} is {}, not {}".format(spec["name"], spec["dtype"], one["dtype"])
            )
        sizes, shape = spec["shape"], one["shape"]
        fits = len(sizes) == len(shape) and all(
            size is None or size == asked
            for size, asked in zip(sizes, shape)  # noqa: B905 (Python 3.10)
        )
        if not fits:
            raise RefusedError(
                "shape",
                "input {} takes {}, not {}".format(spec["name"], format_shape(sizes), format_shape(shape)),
            )


def format_shape(sizes: Sequence[Optional[int]]) -> str:
    """Format a shape as `1x3x224x224`, with `?` for free sizes; one without sizes is `scalar`."""
    return "x".join("?" if size is None else str(size) for size in sizes) or "scalar"
