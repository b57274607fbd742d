"""Paddle inference models of the legacy format (`.pdmodel`, `.pdiparams`), which Paddle Lite reads.

Runs in the export worker. Paddle must have been imported with `FLAGS_enable_pir_api=0`: without it
`paddle.jit.save` writes the newer PIR format, which opt cannot read.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from edgekit._files import MODEL_BYTES, read_bytes
from edgekit.convert.formats import for_opt
from edgekit.core.artifact import Signature, TensorSpec
from edgekit.errors import ConversionError

if TYPE_CHECKING:
    import paddle

INPUT_NAME = "x"
# Python stack traces of the exporting process: they carry this machine's paths and make equal models differ.
_CALL_STACK = "op_callstack"
# paddle.framework.proto: VarType.Type
_DTYPES = {
    0: "bool", 1: "int16", 2: "int32", 3: "int64", 4: "float16", 5: "float32", 6: "float64", 20: "uint8",
    21: "int8",
}  # fmt: skip

Shape = tuple[int, ...]


def save_inference_model(
    network: paddle.nn.Layer, input_shape: Shape, prefix: Path, activation: str = "none"
) -> None:
    """Write `PREFIX.pdmodel`, `PREFIX.pdiparams` and `PREFIX.pdiparams.info` of a network.

    Args:
        network: From float32[N,*input_shape] to one output or a tuple of them; its layers are fused
            (`edgekit.zoo.networks`).
        input_shape: Channels, height, width; the batch is dynamic.
        prefix: Path of the three files without their suffixes.
        activation: What follows the only output: `softmax` over its last axis, `sigmoid`, `argmax` over its
            channels, or `none`.
    """
    import paddle
    from paddle.base.proto import framework_pb2

    for layer in network.sublayers():
        if hasattr(layer, "fuse"):
            layer.fuse()
    whole = network if activation == "none" else _with_activation(network, activation)
    whole.eval()
    # No branch or loop of a network depends on what it computes, so Paddle need not translate its source.
    paddle.jit.not_to_static(type(whole).forward)
    spec = paddle.static.InputSpec([None, *input_shape], "float32", INPUT_NAME)
    static = paddle.jit.to_static(whole, input_spec=[spec], full_graph=True)
    with _without_call_stacks():
        concrete = _traced(static.forward, spec)
    paddle.enable_static()
    try:
        program, saved = _inference_program(concrete)
    finally:
        paddle.disable_static()
    # By the message itself: passing through core.ProgramDesc would add every default attribute.
    message = framework_pb2.ProgramDesc.FromString(program)
    tidy(message)
    prefix.with_suffix(".pdmodel").write_bytes(message.SerializeToString(deterministic=True))
    _save_parameters(concrete, saved, static.to_static_state_dict(), prefix)


def _traced(forward: Any, spec: Any) -> Any:
    """Return the program of a static function, without the one for training that Paddle makes beside it."""
    from paddle.jit.dy2static.program_translator import ConcreteProgram

    function = forward._function_spec
    specs = function.args_to_input_spec(*function.unified_args_and_kwargs((spec,), {}))
    return ConcreteProgram.from_func_spec(function, *specs, forward.class_instance)


def _inference_program(concrete: Any) -> tuple[bytes, list[str]]:
    """Return the program that answers alone need, and the names of its parameters and statistics.

    `paddle.jit.save` (Paddle 3.1.1, through `paddle.static.normalize_program`) takes the same steps and gives
    the same bytes, but copies the program eight times and lists its variables in Python for each copy.
    """
    import paddle
    from paddle.base import core, framework
    from paddle.static import io

    program = framework.process_type_promotion(concrete.main_program)
    outputs = paddle.utils.flatten(concrete.outputs)
    names = [each.name for each in outputs if isinstance(each, framework.Variable)]
    description = core.ProgramDesc(program.desc)
    block = description.block(0)
    makers: dict[str, int] = {}
    for index in range(block.op_size()):
        op = block.op(index)
        op._set_attr("op_device", "")
        op.set_is_target(False)
        makers |= dict.fromkeys(op.output_arg_names(), index)
    description.flush()
    pruned = framework.Program()
    pruned.desc, _ = core.prune(description, {INPUT_NAME}, [[0, makers[name]] for name in names])
    pruned = pruned._inference_optimize()
    saved = sorted(variable.name for variable in pruned.list_vars() if variable.persistable)
    io.prepend_feed_ops(pruned, [INPUT_NAME])
    io.append_fetch_ops(pruned, names)
    pruned.desc._set_version()
    return pruned._remove_training_info().desc.serialize_to_string(legacy_format=False), saved


def _save_parameters(concrete: Any, saved: list[str], state: Mapping[str, Any], prefix: Path) -> None:
    """Write `PREFIX.pdiparams` and `PREFIX.pdiparams.info` as `paddle.jit.save` does."""
    from paddle.base import core, framework

    keys = {tensor.name: key for key, tensor in state.items()}
    tensors = [state[keys[name]].value().get_tensor() for name in saved]
    core.save_combine_func(tensors, saved, str(prefix.with_suffix(".pdiparams")), True, False, False)
    described = {}
    for parameter in concrete.parameters:
        one = {"structured_name": keys[parameter.name]} if parameter.name in keys else {}
        one["stop_gradient"] = parameter.stop_gradient
        if isinstance(parameter, framework.EagerParamBase):
            one["trainable"] = parameter.trainable
        described[parameter.name] = one
    prefix.with_suffix(".pdiparams.info").write_bytes(pickle.dumps(described, protocol=2))


@contextlib.contextmanager
def _without_call_stacks() -> Iterator[None]:
    """Keep Paddle from writing the Python stack into each operator, which `tidy` takes out again.

    Paddle 3.1.1 looks up every frame's file on disk for every operator, and has no setting against it.
    """
    from paddle.base import framework

    traceback = framework.traceback
    # One frame, because Paddle would store an empty list as one of numbers.
    framework.traceback = SimpleNamespace(extract_stack=lambda: [("", 0, "", "")])
    try:
        yield
    finally:
        framework.traceback = traceback


def activation_of(name: str) -> Callable[[Any], Any]:
    """Return what follows a network's outputs, by the manifest's `output_activation`."""
    import paddle

    activations: dict[str, Callable[[Any], Any]] = {
        "softmax": paddle.nn.functional.softmax,
        "sigmoid": paddle.nn.functional.sigmoid,
        # PaddleSeg's type (release 2.9, paddleseg/deploy/export.py).
        "argmax": functools.partial(paddle.argmax, axis=1, dtype="int32"),
        "none": lambda outputs: outputs,
    }
    return activations[name]


def _with_activation(network: paddle.nn.Layer, name: str) -> paddle.nn.Layer:
    import paddle

    activate = activation_of(name)

    class Activated(paddle.nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            return activate(self.network(x))

    return Activated()


def tidy(program: Any) -> list[str]:
    """Take the call stacks out of a program's message and write it as opt wants it, in place.

    Returns:
        A sentence for each kind of change for opt.
    """
    for block in program.blocks:
        for op in block.ops:
            kept = [attribute for attribute in op.attrs if attribute.name != _CALL_STACK]
            del op.attrs[:]
            op.attrs.extend(kept)
    return for_opt.mend(program)


def read_signature(model: Path) -> Signature:
    """Inputs and outputs that a `.pdmodel` declares.

    Raises:
        ConversionError: It is no Paddle program, or one without inputs or outputs.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from paddle.base.proto import framework_pb2

    try:
        program = framework_pb2.ProgramDesc.FromString(
            read_bytes(model, "the Paddle program", most_bytes=MODEL_BYTES)
        )
    except DecodeError as error:
        raise ConversionError(
            f"reading {model}: no Paddle program", hint="edgekit export NAME --force"
        ) from error
    inputs, outputs = feeds_and_fetches(program) if program.blocks else ([], [])
    if not inputs or not outputs:
        raise ConversionError(
            f"reading {model}: {len(inputs)} inputs and {len(outputs)} outputs",
            hint="edgekit export NAME --force",
        )
    return tuple(map(tensor_spec, inputs)), tuple(map(tensor_spec, outputs))


def feeds_and_fetches(program: Any) -> tuple[list[Any], list[Any]]:
    """The variables that are fed and fetched. Raises LookupError where one of them is not declared."""
    block = program.blocks[0]
    variables = {variable.name: variable for variable in block.vars}
    ordered = sorted(block.ops, key=_column)
    feeds = [variables[op.outputs[0].arguments[0]] for op in ordered if op.type == "feed"]
    fetches = [variables[op.inputs[0].arguments[0]] for op in ordered if op.type == "fetch"]
    return feeds, fetches


def _column(op: Any) -> int:
    """Return the position of a feed among feeds, or of a fetch among fetches; 0 for other operators."""
    return next((int(attribute.i) for attribute in op.attrs if attribute.name == "col"), 0)


def tensor_spec(variable: object) -> TensorSpec:
    tensor = variable.type.dense_tensor.tensor  # type: ignore[attr-defined]
    return TensorSpec(
        name=variable.name,  # type: ignore[attr-defined]
        dtype=_DTYPES.get(tensor.data_type, f"type {tensor.data_type}"),
        shape=tuple(None if size < 0 else int(size) for size in tensor.dims),
    )


def check_loadable(prefix: Path) -> None:
    """Load program and weights with Paddle; a truncated or mismatched pair fails here.

    Raises:
        ConversionError: Paddle does not load them.
    """
    import paddle

    paddle.enable_static()
    scope = paddle.static.Scope()
    try:
        with paddle.static.scope_guard(scope):
            paddle.static.load_inference_model(str(prefix), paddle.static.Executor(paddle.CPUPlace()))
    except Exception as error:
        raise ConversionError(
            f"loading {prefix}.pdmodel again: {type(error).__name__}: {str(error).strip().splitlines()[-1]}",
            hint="edgekit export NAME --force",
        ) from error
    finally:
        paddle.disable_static()
