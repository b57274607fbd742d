"""`edgekit train`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from edgekit.cli.options import Count, Number, echo_json, json_option, note


# fmt: off
@click.command()
@click.argument("model")
@click.option("--data", type=click.Path(path_type=Path), required=True, metavar="DIR",
              help="Directory of the pictures, to which the lists' paths are relative.")
@click.option("--train-list", type=click.Path(path_type=Path), metavar="FILE",
              help="Training list, `PATH CLASS` a line.  [default: DIR/train_list.txt]")
@click.option("--val-list", type=click.Path(path_type=Path), metavar="FILE",
              help="Validation list, `PATH CLASS` a line.  [default: DIR/val_list.txt]")
@click.option("--num-classes", type=Count(2),
              help="Number of classes.  [default: the lists' highest class plus one]")
@click.option("--weights", default="random", show_default=True, metavar="random|pretrained|PATH",
              help="Weights to start from; another class count begins the last layer anew.")
@click.option("--epochs", type=Count(1),
              help="Passes over the training pictures.  [default: by their number, at most 360]")
@click.option("--batch-size", type=Count(1),
              help="Batch size of each process.  [default: by the number of pictures, at most 64]")
@click.option("--learning-rate", type=Number(0, min_open=True),
              help="Peak learning rate.  [default: 0.8 for 2048 pictures a step, in proportion]")
@click.option("--warmup-epochs", type=Number(0),
              help="Epochs during which the learning rate rises.  [default: 5, or a tenth of a shorter run]")
@click.option("--weight-decay", type=Number(0), default=3e-5, show_default=True,
              help="L2 decay of all weights.")
@click.option("--label-smoothing", type=Number(0, 1, max_open=True), default=0.1, show_default=True,
              help="Share of the label that is spread over all classes.")
@click.option("--ema-decay", type=Number(0, 1, max_open=True), default=0.9999, show_default=True,
              help="Decay of the moving average of the weights; 0 keeps none.")
@click.option("--input-size", type=Count(32),
              help="Side of the pictures, pixels.  [default: the card's]")
@click.option("--min-area", type=Number(0, 1, min_open=True), default=0.08, show_default=True,
              help="Smallest share of a picture in a random crop.")
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
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("output"), show_default=True,
              help="Directory of checkpoints and logs.")
@json_option
def command(
    model: str, data: Path, train_list: Path | None, val_list: Path | None, num_classes: int | None,
    weights: str, epochs: int | None, batch_size: int | None, learning_rate: float | None,
    warmup_epochs: float | None,
    weight_decay: float, label_smoothing: float, ema_decay: float, input_size: int | None, min_area: float,
    no_flip: bool, loader_threads: int, device: str, processes: int, seed: int, resume: bool, output: Path,
    as_json: bool,
) -> None:
    # fmt: on
    """Train the zoo's MODEL, or fine-tune it, on labelled pictures.

    `output/best_model.pdparams` is what `edgekit export MODEL --weights` takes.
    """
    from edgekit.training import schedule
    from edgekit.training.launch import count, start
    from edgekit.training.settings import TrainSettings

    train_list = train_list or data / "train_list.txt"
    val_list = val_list or data / "val_list.txt"
    counted = count(train_list, val_list)
    batch_size = batch_size or schedule.fitting_batch(counted.pictures, processes)
    steps = schedule.steps_an_epoch(counted.pictures, batch_size, processes)
    epochs = epochs or schedule.fitting_epochs(counted.pictures, steps)
    if warmup_epochs is None:
        warmup_epochs = schedule.fitting_warmup(epochs)
    warning = schedule.too_few(epochs, steps)
    if warning is not None:
        note(warning)
    # fmt: off
    settings = TrainSettings(
        model=model, data=str(data.absolute()), train_list=str(train_list.absolute()),
        val_list=str(val_list.absolute()),
        num_classes=num_classes or counted.classes, output=str(output.absolute()),
        weights=weights, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
        warmup_epochs=warmup_epochs, weight_decay=weight_decay, label_smoothing=label_smoothing,
        ema_decay=ema_decay, input_size=input_size, min_area=min_area, flip=not no_flip,
        loader_threads=loader_threads, device="gpu" if device == "gpu" else "cpu", seed=seed,
    )
    # fmt: on
    report = start(settings, processes=processes, resume=resume, say=note)
    if as_json:
        echo_json(report)
        return
    click.echo(f"{report.best_weights}: Top-1 {report.best_top1:.2%} after epoch {report.best_epoch}")
    size = f" --input-shape 3,{report.input_size},{report.input_size}" if input_size else ""
    words = ["edgekit", "export", model, "--weights", report.best_weights, "--labels", _labels(data)]
    note(f"next: {shlex.join(words)}{size} --name mine")


def _labels(data: Path) -> str:
    """Return the file of labels beside the pictures, as in PaddleClas's data sets; else a place-holder."""
    found = (data / name for name in ("labels.txt", "label_list.txt"))
    return str(next((path for path in found if path.is_file()), "LABELS.txt"))
