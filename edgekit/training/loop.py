"""Training one network, in each of a run's processes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit._files import write_atomic
from edgekit.errors import InputError
from edgekit.training import checkpoint, data
from edgekit.training.augment import Augment
from edgekit.training.average import MovingAverage
from edgekit.training.checkpoint import BEST_WEIGHTS, LATEST_WEIGHTS, Progress
from edgekit.training.judge import Judged, OneLabel, SeveralLabels, Tally
from edgekit.training.logs import Log
from edgekit.training.objective import distillation_loss, label_loss, one_hot, several_labels_loss
from edgekit.training.optimizer import build_optimizer
from edgekit.training.replicas import Replicas
from edgekit.training.schedule import learning_rate
from edgekit.training.settings import EpochReport, TrainReport, TrainSettings, peak_rate
from edgekit.training.start import keep_statistics, model_preprocess, starting_network, use_device
from edgekit.training.teacher import Teacher
from edgekit.vision.lists import HINT, UNLABELLED, Labelled
from edgekit.zoo.registry import find_model

if TYPE_CHECKING:
    import numpy as np
    import paddle
    from numpy.typing import NDArray

REPORT_FILE = "report.json"
PROGRESS_INTERVAL_S = 10.0
Say = Callable[[str], None]


def train(settings: TrainSettings, *, resume: bool, say: Say) -> TrainReport:
    """Train, or go on training, in this process; those that `paddle.distributed.launch` starts work together.

    Args:
        settings: The run.
        resume: Whether to go on from the checkpoint in `settings.output`.
        say: Called with lines about the progress, by the first process only.

    Returns:
        The report, also written to `report.json` by the first process.

    Raises:
        InputError: A bad list, picture, weight file or checkpoint.
        ToolError: The GPU asked for is not there.
        OutputError: The output cannot be written.
    """
    with warnings.catch_warnings():
        # For Paddle's developers: a compiler cache that is missing, batch norm that is in training mode.
        warnings.filterwarnings("ignore", category=UserWarning, module=r"paddle\.")
        return _Run(settings, say).run(resume)


class _Run:
    """One process's part of a run."""

    def __init__(self, settings: TrainSettings, say: Say) -> None:
        import paddle

        use_device(settings.device)
        paddle.seed(settings.seed)
        self.settings = settings
        self.output = Path(settings.output)
        self.together = Replicas()
        self.first = self.together.rank == 0
        self.say: Say = say if self.first else lambda line: None
        self.spec = find_model(settings.model)
        self.preprocess = model_preprocess(self.spec, settings)
        taught = settings.teacher is not None
        self.train_examples, self.val_examples = (
            data.load_labels(Path(path), settings.num_classes)
            if settings.multilabel
            else data.load_examples(Path(path), settings.num_classes, unlabelled=taught)
            for path in (settings.train_list, settings.val_list)
        )
        for path, examples in (
            (settings.train_list, self.train_examples),
            (settings.val_list, self.val_examples),
        ):
            if not examples:
                raise InputError(
                    f"training {settings.model}: the list {path} is empty",
                    hint=HINT,
                )
        self.network, source = starting_network(self.spec, settings)
        self.say(f"weights: {source}")
        self.teacher = None
        if settings.teacher is not None:
            spec = find_model(settings.teacher)
            self.teacher = Teacher(spec, settings.teacher_weights, self.preprocess, settings.num_classes)
            self.say(f"teacher: {spec.name}, weights {self.teacher.source.source}")
        self.judged_by_teacher = any(
            isinstance(example, Labelled) and example.label == UNLABELLED for example in self.val_examples
        )
        self.trained = self.together.wrap(self.network)
        self.optimizer = build_optimizer(
            self.network, self.spec, momentum=settings.momentum, adamw=settings.adamw,
            weight_decay=settings.weight_decay, stage_rates=settings.stage_rates,
        )  # fmt: skip
        self.average = MovingAverage(self.network, settings.ema_decay) if settings.ema_decay else None
        self.peak = peak_rate(settings, self.together.processes)
        self.progress = Progress(settings=settings, processes=self.together.processes)

    def run(self, resume: bool) -> TrainReport:
        if resume:
            self._restore()
        settings = self.settings
        options = {"threads": settings.loader_threads}
        train_loader = data.Loader(self.train_examples, Path(settings.data), self.preprocess, **options)
        val_root = Path(settings.val_data or settings.data)
        val_loader = data.Loader(self.val_examples, val_root, self.preprocess, **options)
        log = Log(self.output, self.progress.reports) if self.first else None
        try:
            while self.progress.epoch < settings.epochs and not self._stalled():
                report = self._epoch(train_loader, val_loader)
                if log is not None:
                    log.epoch(report)
        finally:
            train_loader.close()
            val_loader.close()
            if log is not None:
                log.close()
        return self._finish()

    def _stalled(self) -> bool:
        """Whether the accuracy has not risen for as many epochs as the settings allow."""
        patience, risen = self.settings.patience, self.progress.risen_epoch
        return patience is not None and risen > 0 and self.progress.epoch - risen >= patience

    def _restore(self) -> None:
        found, content = checkpoint.read_checkpoint(self.output)
        checkpoint.check_resumable(found, self.settings, self.together.processes)
        self.progress = found
        self.network.set_state_dict(content["weights"])
        self.optimizer.set_state_dict(content["optimizer"])
        if self.average is not None:
            self.average.restore(content["averages"], found.average_updates)
        self.say(f"resumed: epoch {found.epoch + 1}, step {found.step}")

    def _epoch(self, train_loader: data.Loader, val_loader: data.Loader) -> EpochReport:
        import paddle

        settings, number = self.settings, self.progress.epoch
        plan = data.shuffled(
            len(self.train_examples), batch_size=settings.batch_size, seed=settings.seed, epoch=number,
            rank=self.together.rank, processes=self.together.processes,
        )  # fmt: skip
        paddle.seed(settings.seed + number + 1)  # dropout: a resumed epoch draws as it would have
        started, waited = time.monotonic(), train_loader.waited_s
        first_step = self.progress.step
        rate = self._steps(train_loader, plan, first_step)
        wall_s = max(time.monotonic() - started, 1e-9)
        loss, steps = self.together.total([self.progress.loss_sum, plan.steps])
        self.together.share_statistics(self.network.state_dict())
        if self.average is not None:
            self.together.share_statistics(self.average.averages)
        judged = self._evaluate(val_loader)
        # Few validation pictures are soon all right; the loss still tells the better weights.
        best = (judged.share, -judged.loss) > (self.progress.best_share, -self.progress.best_loss)
        report = EpochReport(
            epoch=number + 1,
            loss=loss / steps,
            learning_rate=rate,
            top1=judged.top1,
            top5=judged.top5,
            mean_accuracy=judged.mean_accuracy,
            val_loss=judged.loss,
            pictures_per_s=(plan.steps - first_step) * settings.batch_size * self.together.processes / wall_s,
            wait_share=(train_loader.waited_s - waited) / wall_s,
            best=best,
        )
        self._keep(report, judged)
        return report

    def _steps(self, loader: data.Loader, plan: data.Epoch, first_step: int) -> float:
        """Take the epoch's remaining steps; the last learning rate."""
        import numpy as np

        settings, number = self.settings, self.progress.epoch
        augment = Augment(self.preprocess, settings.augment)
        warmup = round(settings.warmup_epochs * plan.steps)
        self.trained.train()
        if settings.freeze:
            keep_statistics(self.network)
        said = saved = time.monotonic()
        rate = 0.0
        batches = loader.training(
            plan, augment, batch_size=settings.batch_size, key=(settings.seed, number), first_step=first_step
        )
        for step, (images, labels) in enumerate(batches, start=first_step):
            rate = learning_rate(
                number * plan.steps + step, peak=self.peak, warmup_steps=warmup,
                total_steps=settings.epochs * plan.steps, first=settings.first_rate, last=settings.last_rate,
            )  # fmt: skip
            self.optimizer.set_lr(rate)
            rng = np.random.default_rng((settings.seed, number, step, self.together.rank))
            loss = self._loss(*settings.mixing.apply(images, one_hot(labels, settings.num_classes), rng))
            loss.backward()
            self.optimizer.step()
            self.optimizer.clear_grad()
            if self.average is not None:
                self.average.update()
            self.progress = msgspec.structs.replace(
                self.progress, step=step + 1, loss_sum=self.progress.loss_sum + float(loss)
            )
            now = time.monotonic()
            if now - said > PROGRESS_INTERVAL_S:
                said = now
                self.say(f"epoch {number + 1}, step {step + 1} of {plan.steps}: loss {float(loss):.3f}")
            if now - saved > settings.save_interval_s:
                saved = now
                self._save()
        return rate

    def _loss(self, images: NDArray[np.float32], targets: NDArray[np.float32]) -> paddle.Tensor:
        """Compute the loss of a batch: to the labels, to the teacher, or to both."""
        import paddle

        settings = self.settings
        logits = self.trained(paddle.to_tensor(images))
        share = settings.label_share if self.teacher is not None else 1.0
        losses = []
        wanted = paddle.to_tensor(targets)
        if share and settings.multilabel:
            losses.append(
                share
                * several_labels_loss(
                    logits, wanted, smoothing=settings.label_smoothing,
                    positive_shares=settings.positive_shares, summed=settings.sum_labels,
                )
            )  # fmt: skip
        elif share:
            losses.append(
                share
                * label_loss(
                    logits, wanted, smoothing=settings.label_smoothing,
                    class_weights=settings.class_weights,
                )
            )  # fmt: skip
        if self.teacher is not None:
            losses.append(distillation_loss(settings.distillation, logits, self.teacher.logits(images)))
        return sum(losses[1:], losses[0])

    def _evaluate(self, loader: data.Loader) -> Judged:
        """Judge the averaged weights, if there are any, by all validation pictures.

        The teacher's answers stand for labels that are missing.
        """
        import numpy as np
        import paddle

        own = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        if self.average is not None:
            self.network.set_state_dict(self.average.state())
        self.network.eval()
        tally: Tally = (SeveralLabels if self.settings.multilabel else OneLabel)(self.settings.num_classes)
        mine = range(self.together.rank, len(self.val_examples), self.together.processes)
        with paddle.no_grad():
            for images, labels in loader.validation(mine, batch_size=self.settings.batch_size):
                scores = self.network(paddle.to_tensor(images)).numpy()
                if not np.isfinite(scores).all():
                    raise InputError(
                        f"training {self.settings.model}: the weights became infinite in epoch "
                        f"{self.progress.epoch + 1}",
                        hint="a lower --learning-rate, or more --warmup-epochs",
                    )
                if self.teacher is not None and self.judged_by_teacher:
                    answers = self.teacher.logits(images).numpy().argmax(axis=1)
                    labels = np.where(labels == UNLABELLED, answers, labels)
                tally.add(scores, labels)
        self.network.set_state_dict(own)
        return tally.judged(self.together.total(tally.sums()), len(self.val_examples))

    def _keep(self, report: EpochReport, judged: Judged) -> None:
        """Record a finished epoch; weights first, as the checkpoint names their file."""
        self.progress = msgspec.structs.replace(
            self.progress, epoch=report.epoch, step=0, loss_sum=0.0,
            reports=(*self.progress.reports, report),
            risen_epoch=report.epoch
            if judged.share > self.progress.best_share
            else self.progress.risen_epoch,
            best_epoch=report.epoch if report.best else self.progress.best_epoch,
            best_share=judged.share if report.best else self.progress.best_share,
            best_loss=report.val_loss if report.best else self.progress.best_loss,
            confusion=judged.confusion if report.best else self.progress.confusion,
        )  # fmt: skip
        if self.first:
            weights: dict[str, Any] = dict(self.network.state_dict())
            checkpoint.save_weights(weights, self.output / LATEST_WEIGHTS)
            if report.best:
                best = weights if self.average is None else self.average.state()
                checkpoint.save_weights(best, self.output / BEST_WEIGHTS)
        self._save()
        figure = f"{'mean accuracy' if self.settings.multilabel else 'Top-1'} {judged.share:.2%}"
        self.say(
            f"epoch {report.epoch} of {self.settings.epochs}: loss {report.loss:.3f}, "
            f"{figure}, {report.pictures_per_s:.0f} pictures/s, {report.wait_share:.0%} waited"
        )

    def _save(self) -> None:
        if not self.first:
            return
        updates = 0 if self.average is None else self.average.updates
        averages = {} if self.average is None else self.average.averages
        progress = msgspec.structs.replace(self.progress, average_updates=updates)
        checkpoint.save_checkpoint(self.output, progress, self.network, self.optimizer, averages)

    def _finish(self) -> TrainReport:
        report = TrainReport(
            model=self.settings.model,
            num_classes=self.settings.num_classes,
            input_size=self.preprocess.size,
            best_epoch=self.progress.best_epoch,
            best_top1=None if self.settings.multilabel else self.progress.best_share,
            best_mean_accuracy=self.progress.best_share if self.settings.multilabel else None,
            best_weights=str(self.output / BEST_WEIGHTS),
            judged_by="teacher" if self.judged_by_teacher else "labels",
            stopped_early=self.progress.epoch < self.settings.epochs,
            label_names=self.settings.label_names,
            confusion=self.progress.confusion,
            processes=self.together.processes,
            replica_spread=self.together.spread(self.network),
            epochs=self.progress.reports,
        )
        if self.first:
            write_atomic(
                self.output / REPORT_FILE, msgspec.json.format(msgspec.json.encode(report), indent=2)
            )
        return report
