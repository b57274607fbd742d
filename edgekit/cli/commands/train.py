"""`edgekit train`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from click.core import ParameterSource

from edgekit.cli.options import Count, Number, json_option
from edgekit.cli.output import echo_json, note
from edgekit.cli.paddleclas import config_options, split_outputs

if TYPE_CHECKING:
    from edgekit.training.plan import Wish


# fmt: off
@click.command()
@click.argument("model", required=False)
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR",
              help="Directory of the pictures: with lists, whose paths are relative to it, or with a folder "
                   "for each class.")
@click.option("--train-list", type=click.Path(path_type=Path), metavar="FILE",
              help="Training list, `PATH CLASS` a line.  [default: DIR/train_list.txt]")
@click.option("--val-list", type=click.Path(path_type=Path), metavar="FILE",
              help="Validation list, `PATH CLASS` a line.  [default: DIR/val_list.txt]")
@click.option("--val-share", type=Number(0, 1, min_open=True, max_open=True), default=0.2, show_default=True,
              help="Share of each class's folder to judge by, where there are no lists and no val folder.")
@click.option("--num-classes", type=Count(2),
              help="Number of classes.  [default: the lists' highest class plus one]")
@click.option("--multilabel", is_flag=True,
              help="Several labels a picture: lists of `PATH 0,1,1`, a loss and figures for them.")
@click.option("--weights", default="random", show_default=True, metavar="random|pretrained|PATH",
              help="Weights to start from; another class count begins the last layer anew.")
@click.option("--freeze", is_flag=True, help="Train the last layer only.")
@click.option("--teacher", metavar="MODEL",
              help="Learn the answers of this model of the zoo; the pictures need no labels.")
@click.option("--teacher-weights", default="pretrained", show_default=True, metavar="pretrained|PATH",
              help="Weights of the teacher.")
@click.option("--distillation", type=click.Choice(["dml", "ce"]), default="dml", show_default=True,
              help="Distance from the teacher: PaddleClas's symmetric divergence, or cross-entropy.")
@click.option("--label-share", type=Number(0), default=0.0, show_default=True,
              help="Weight of the labels' loss beside the teacher's.")
@click.option("--epochs", type=Count(1),
              help="Passes over the training pictures.  [default: by their number, at most 360]")
@click.option("--patience", type=Count(1),
              help="End the run after this number of epochs without a better Top-1.")
@click.option("--batch-size", type=Count(1),
              help="Batch size of each process.  [default: by the number of pictures, at most 64]")
@click.option("--learning-rate", type=Number(0, min_open=True),
              help="Peak learning rate.  [default: 0.8 for 2048 pictures a step, in proportion; "
                   "from weights 0.03]")
@click.option("--warmup-epochs", type=Number(0),
              help="Epochs during which the learning rate rises.  [default: 5, or a tenth of a shorter run]")
@click.option("--weight-decay", type=Number(0), default=3e-5, show_default=True,
              help="L2 decay of all weights.")
@click.option("--label-smoothing", type=Number(0, 1, max_open=True), default=0.1, show_default=True,
              help="Share of the label that is spread over all classes.")
@click.option("--class-weights", type=click.Choice(["none", "balanced"]), default="none", show_default=True,
              help="Weights of the classes in the loss: equal, or as rare as they are.")
@click.option("--ema-decay", type=Number(0, 1, max_open=True), default=0.9999, show_default=True,
              help="Decay of the moving average of the weights; 0 keeps none.")
@click.option("--input-size", type=Count(32),
              help="Side of the pictures, pixels.  [default: the card's]")
@click.option("--min-area", type=Number(0, 1, min_open=True),
              help="Smallest share of a picture in a random crop.  [default: 0.08]")
@click.option("--no-flip", is_flag=True, help="Do not mirror pictures.")
@click.option("--loader-threads", type=Count(1), default=1, show_default=True,
              help="Threads that decode and augment, in each process.")
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True,
              help="Device to train on.")
@click.option("--processes", type=Count(1), default=1, show_default=True,
              help="Parallel processes on this machine; on GPUs one each.")
@click.option("--seed", type=Count(), default=0, show_default=True,
              help="Seed of the first weights, the order and the augmentation.")
@click.option("--resume", is_flag=True, help="Continue the run in the output directory.")
@config_options("Directory of checkpoints and logs.  [default: output]", "DIR")
@json_option
@click.pass_context
def command(context: click.Context, /, model: str | None, config: Path | None, data: Path | None,
            outputs: tuple[str, ...], processes: int, resume: bool, as_json: bool, no_flip: bool,
            **asked: Any) -> None:
    # fmt: on
    """Train the zoo's MODEL, or fine-tune it, on labelled pictures.

    DIR has train_list.txt and val_list.txt, or a folder of pictures for each class. With --teacher the
    network learns another one's answers (SSLD), and the pictures need no labels. With --config a training
    configuration of PaddleClas says all this; options given besides count more. `output/best_model.pdparams`
    is what `edgekit export MODEL --weights` takes.
    """
    from edgekit.pages.training import draw_curves, training_text
    from edgekit.training.card import write_card
    from edgekit.training.launch import start
    from edgekit.training.plan import plan

    output, changes = split_outputs(config, outputs)
    asked |= {"model": model, "data": data, "output": output, "flip": not no_flip}
    if config is None:
        wish = _wish(asked)
    else:
        wish = _wish_of(config, changes, asked, typed=lambda name: _is_typed(context, name))
    settings = plan(wish, processes=processes, resume=resume, say=note)
    try:
        report = start(settings, processes=processes, resume=resume, say=note)
    finally:
        draw_curves(wish.output)
    labels = _labels(wish.data, wish.output)
    card = write_card(settings, Path(labels))
    if as_json:
        echo_json(report)
        return
    click.echo(training_text(report))
    height, width = report.input_size
    size = f" --input-shape 3,{height},{width}" if settings.input_size and card is None else ""
    words = ["edgekit", "export", str(card or wish.model), "--weights", report.best_weights]
    note(f"next: {shlex.join([*words, '--labels', labels])}{size} --name mine")
    if card is not None:
        note(f"{card} says how this network answers, and how its pictures are prepared")


def _wish(asked: dict[str, Any]) -> Wish:
    """Return the run that options alone ask for."""
    from edgekit.training.plan import Wish

    for name, word in (("model", "MODEL"), ("data", "--data DIR")):
        if asked[name] is None:
            raise click.UsageError(f"{word} is missing (or --config FILE, which names both)")
    return Wish(**{**asked, "output": asked["output"] or Path("output")})


def _wish_of(
    config: Path, changes: list[str], asked: dict[str, Any], *, typed: Callable[[str], bool]
) -> Wish:
    """Return the run of a configuration, with what was typed besides."""
    from edgekit.training.recipe.read import read_recipe

    recipe = read_recipe(config, changes)
    for remark in recipe.notes:
        note(remark)
    given = {name: value for name, value in asked.items() if typed(name) and value is not None}
    return msgspec.structs.replace(recipe.wish, **given)


def _is_typed(context: click.Context, name: str) -> bool:
    parameter = {"output": "outputs", "flip": "no_flip"}.get(name, name)
    return context.get_parameter_source(parameter) is not ParameterSource.DEFAULT


def _labels(data: Path, output: Path) -> str:
    """Return the file of labels beside the pictures or made of folders' names; else a place-holder."""
    found = (output / "labels.txt", data / "labels.txt", data / "label_list.txt")
    return str(next((path for path in found if path.is_file()), "LABELS.txt"))
