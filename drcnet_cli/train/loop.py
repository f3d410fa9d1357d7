"""The training loop."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from drcnet_cli.device import dtype_name, is_out_of_memory
from drcnet_cli.errors import DrcnetError, NonFiniteError, RemoteError, StorageError, UsageError
from drcnet_cli.files.addresses import Place
from drcnet_cli.files.mirror import Mirror
from drcnet_cli.train.batches import default_workers, load_batches, requests
from drcnet_cli.train.config import TrainConfig
from drcnet_cli.train.data import TrainingData, name_some, open_data
from drcnet_cli.train.log import LOG_NAME, Listener, Meter, NoListener, RunLog, Snapshot
from drcnet_cli.train.objective import OBJECTIVES, Objective, input_psnr, mean_psnr
from drcnet_cli.train.process import Interruption, Threads
from drcnet_cli.train.schedule import Every, Phase, Timer, learning_rate, parse_phases, phase_at
from drcnet_cli.train.setup import Run, open_run
from drcnet_cli.train.state import STATE_NAME, torch_seed

FINAL_NAME = "final.safetensors"
BEST_NAME = "best.safetensors"
_SENT = (STATE_NAME, BEST_NAME, FINAL_NAME, LOG_NAME)  # where the results are to lie elsewhere

# So many steps in a row without a finite gradient are no accident.
_MAX_SKIPPED_IN_ROW = 20


@dataclass(frozen=True)
class Result:
    """How a run ended: `psnr` and `best` are validation scores in dB, None without held pairs.

    `left_out`: how many pictures to train on could not be used. `main`: whether this process, of
    all `processes`, is the one that reports.
    """

    step: int
    elapsed: float
    psnr: float | None
    best: float | None
    input_psnr: float | None
    skipped: int
    interrupted: bool
    final: Place | None
    main: bool
    left_out: int = 0
    processes: int = 1


def train(config: TrainConfig, listener: Listener | None = None) -> Result:
    """Train until the budget is used up, and write `final` and `best` checkpoints.

    Ctrl-C or SIGTERM saves the state and comes back with `interrupted`. Raises UsageError for
    settings that cannot be carried out, DrcnetError when the training has diverged or its results
    cannot be written.
    """
    try:
        return Training(config, listener or NoListener()).run()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise DrcnetError(
            "The training needs more memory than there is.",
            "Give smaller --patches (and --accumulate); the same command goes on from the last "
            "save, if there is one.",
        ) from error
    except OSError as error:
        if error.filename is None:
            raise DrcnetError(
                f"The training cannot go on: {error.strerror or error}.",
                "If shared memory (/dev/shm) is full, --workers 0 needs none; the same command "
                "goes on from the last save.",
            ) from error
        raise DrcnetError(
            f"{error.filename} cannot be written ({error.strerror}).",
            "Make room, or choose another --out; the same command goes on from the last save.",
        ) from error


class Training:
    """A run under way: its parts, and the loop over its steps."""

    def __init__(self, config: TrainConfig, listener: Listener) -> None:
        if not (config.steps or config.minutes):
            raise UsageError("Training needs a budget.", "Give --steps N or --minutes M")
        self.config = config
        self.data: TrainingData = open_data(config)
        self.mirror = Mirror(config.place)
        if config.resume == "auto":
            self.mirror.bring((STATE_NAME, LOG_NAME))
        self.parts: Run = open_run(config)
        self.progress = self.parts.progress
        self.accelerator = self.parts.accelerator
        self.main = self.accelerator.is_main_process
        self.listener: Listener = listener if self.main else NoListener()
        objective = OBJECTIVES[self.parts.architecture.name]
        self.objective: Objective = objective(
            config, self.parts.device, self.parts.dtype, self.listener.note
        )
        self.objective.begin(self.parts)
        self.phases = parse_phases(config.patches)
        self.save_timer = Timer(Every.parse(config.save_every), self.progress.elapsed)
        self.validate_timer = Timer(Every.parse(config.validate_every), self.progress.elapsed)
        self.journal = (
            RunLog(config.folder, self.progress.step, tensorboard=config.tensorboard)
            if self.main
            else None
        )
        self.input_psnr = input_psnr(self.data.held) if self.data.held else None
        self.psnr: float | None = None
        self.scored_step = -1
        self.meter = Meter(self.parts.device)

    def run(self) -> Result:
        """Take steps until the budget is used up or someone interrupts."""
        self._introduce()
        started = time.monotonic() - self.progress.elapsed
        phase, batches = None, iter(())
        with Interruption() as interruption, Threads() as threads:
            while True:
                stop = self._agree(time.monotonic() - started, interruption.wanted)
                used = self._used()
                if stop or used >= 1:
                    break
                within = self.objective.within(used)
                if phase is not (phase := phase_at(self.phases, within, self.progress.step)):
                    batches = self._begin(phase, threads)
                rate = self._step(batches, used)
                self._after_step(phase, rate)
            return self._finish(stop)

    def _used(self) -> float:
        """Return the share of the budget that is used up."""
        if self.config.steps:
            return self.progress.step / self.config.steps
        return self.progress.elapsed / (60 * self.config.minutes)

    def _agree(self, elapsed: float, stop: bool) -> bool:
        """Let all processes go by the main one's clock, and stop if any was told to."""
        if self.accelerator.num_processes > 1:
            mine = [elapsed if self.main else 0.0, float(stop)]
            told = torch.tensor(mine, dtype=torch.float64, device=self.parts.device)
            elapsed, stops = cast(Tensor, self.accelerator.reduce(told, "sum")).tolist()
            stop = stops > 0
        self.progress.elapsed = elapsed
        return stop

    def _begin(self, phase: Phase, threads: Threads) -> Iterator[Tensor]:
        """Make ready for a phase; return its batches."""
        self.progress.patch = phase.patch
        batches = self._batches(phase)
        # Their number changes the last bits: only where the clock decides on the steps anyway.
        if not self.config.steps:
            threads.fit(self.parts, phase.patch)
        return batches

    def _batches(self, phase: Phase) -> Iterator[Tensor]:
        """Start to load this phase's batches from the next sample on."""
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        wanted = self.config.workers
        return load_batches(
            self.data.source,
            requests(self.progress.samples, phase.patch, phase.batch, process, processes),
            default_workers(self.accelerator.num_processes) if wanted < 0 else wanted,
            pin=self.parts.device.type == "cuda",
            other_crops=self.objective.other_crops,
            mask_threshold=self.config.damage_threshold if self.objective.masks else None,
        )

    def _step(self, batches: Iterator[Tensor], used: float) -> float:
        """Make one step of the optimiser, from `accumulate` batches; return its learning rate."""
        parts, config, losses = self.parts, self.config, []
        torch_seed(config.seed, self.progress.step, self.accelerator.process_index)
        within = self.objective.within(used)
        rate = learning_rate(within, config.lr, config.lr_min, config.warmup)
        for group in parts.optimizer.param_groups:
            group["lr"] = rate
        self.objective.begin_step(used)
        for _ in range(config.accumulate):
            batch = next(batches)
            degraded, clean, *others = batch.to(parts.device, non_blocking=True)
            if config.channels_last:
                degraded = degraded.contiguous(memory_format=torch.channels_last)
            # Accelerate averages gradients over processes at the last of the batches alone.
            with self.accelerator.accumulate(parts.model):
                loss = self.objective(parts.model, degraded, clean, *others)
                self.accelerator.backward(loss)
            losses.append(loss.detach())
            images = batch.shape[1] * self.accelerator.num_processes
            self.progress.samples += images
            self.meter.images += images
        if self._update():
            self.meter.add(torch.stack(losses).mean())
        parts.optimizer.zero_grad()
        return rate

    def _update(self) -> bool:
        """Change the weights by the gradient; leave that out, and say so, if it is not finite."""
        parts, progress = self.parts, self.progress
        self.objective.after_backward()
        limit = self.config.clip or math.inf
        norm = self.accelerator.clip_grad_norm_(parts.network.parameters(), limit)
        # The gradient is the same in all processes by now, so they all decide alike.
        finite = bool(torch.isfinite(torch.as_tensor(norm)))
        if finite or self.accelerator.scaler is not None:
            # A float16 scaler leaves the step out by itself, and must see it to lower its scale.
            parts.optimizer.step()
        progress.step += 1
        if finite:
            parts.average.update(parts.network, progress.step)
            progress.skipped_in_row = 0
            return True
        progress.skipped += 1
        progress.skipped_in_row += 1
        if progress.skipped_in_row >= _MAX_SKIPPED_IN_ROW:
            raise DrcnetError(
                f"The last {progress.skipped_in_row} steps had no finite gradient: the training "
                f"has diverged at step {progress.step}.",
                "Start again with a lower --lr, or with --dtype float32",
            )
        return False

    def _after_step(self, phase: Phase, rate: float) -> None:
        """Log, show, validate and save, each when it is due."""
        progress = self.progress
        if logged := progress.step % self.config.log_every == 0:
            # All processes come here at the same step: the loss is the mean over them.
            self.meter.close(self.accelerator)
        if self.journal is None:
            return
        if logged or self.meter.stale():
            snapshot = self._snapshot(phase, rate)
            self.listener.progress(snapshot)
            if logged:
                self.journal.step(snapshot)
        if self.validate_timer.due(progress.step, progress.elapsed):
            self._validate()
        if self.save_timer.due(progress.step, progress.elapsed):
            self._save()

    def _save(self) -> None:
        """Save the state. What cannot be sent now goes with a later save, so that none is lost."""
        self.parts.save(self.objective.state())
        try:
            self.mirror.send(_SENT)
        except (RemoteError, StorageError) as error:
            self.listener.note(f"{error.message} The next save tries again.")

    def _snapshot(self, phase: Phase, rate: float) -> Snapshot:
        progress, used = self.progress, self._used()
        return Snapshot(
            step=progress.step,
            used=used,
            loss=self.meter.loss,
            learning_rate=rate,
            patch=phase.patch,
            batch=phase.batch,
            images_per_second=self.meter.rate(),
            elapsed=progress.elapsed,
            remaining=progress.elapsed * max(0.0, 1 - used) / used,
            psnr=self.psnr,
            best=progress.best,
            skipped=progress.skipped,
        )

    def _validate(self) -> None:
        """Score the averaged weights on the held pairs; keep the best."""
        parts, progress = self.parts, self.progress
        if not self.data.held or self.journal is None or self.scored_step == progress.step:
            return
        self.scored_step = progress.step
        info = parts.info(self.data.summary, {}, {})
        network = parts.average.network
        try:
            self.psnr = mean_psnr(network, info, self.data.held, parts.device, parts.dtype)
        except NonFiniteError:  # which training may come back from; if not, its steps tell
            self.listener.note(f"step {progress.step}: the averaged weights make no picture")
            return
        finally:
            self.meter.pause()
        self.journal.write("validation", progress.step, psnr=self.psnr, input_psnr=self.input_psnr)
        self.listener.note(
            f"step {progress.step}: {self.psnr:.2f} dB (input {self.input_psnr:.2f} dB)"
        )
        if progress.best is None or self.psnr > progress.best:
            progress.best = self.psnr
            self._export(BEST_NAME)

    def _export(self, name: str) -> None:
        scores = {"validation_psnr": self.psnr, "validation_input_psnr": self.input_psnr}
        info = self.parts.info(self.data.summary, self.objective.summary, scores)
        self.parts.export(name, info)

    def _introduce(self) -> None:
        """Say what is trained on what."""
        parts = self.parts
        for note in self.data.notes:
            self.listener.note(note)
        size = sum(weight.numel() for weight in parts.network.parameters()) / 1e6
        start = f", from step {self.progress.step} on" if self.progress.step else ""
        self.listener.note(
            f"{parts.architecture.title} of {parts.shape.summary} ({size:.2f} M parameters) on "
            f"{parts.device}, {dtype_name(parts.dtype)}, "
            f"{self.accelerator.num_processes} process(es){start}; results in {self.mirror.place}"
        )
        if self.config.init and self.progress.step:
            self.listener.note(
                f"The run goes on from its own state; --init {self.config.init} is not used."
            )
        if self._used() >= 1:
            self.listener.note(
                "This run has used up its budget. To go on, give more --steps or --minutes; to "
                "begin anew, --resume never."
            )

    def _finish(self, interrupted: bool) -> Result:
        """Validate, save the state, and export where the budget is used up."""
        progress, final = self.progress, None
        if left_out := self.data.left_out():
            self.listener.note(
                f"{len(left_out)} pictures could not be used and were left out: "
                f"{name_some(left_out)}"
            )
        if self.journal is not None:
            self._save()
            if not interrupted:
                self._validate()
                self._export(FINAL_NAME)
                final = self.mirror.place / FINAL_NAME
                if not self.data.held:
                    self._export(BEST_NAME)
                self.parts.save(self.objective.state())
            self.journal.write("end", progress.step, psnr=self.psnr, interrupted=interrupted)
            self.journal.close()
            try:
                self.mirror.send(_SENT)
            except DrcnetError as error:
                error.hint = f"The same command sends it; until then it is in {self.mirror.folder}"
                raise
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
        return Result(
            progress.step,
            progress.elapsed,
            self.psnr,
            progress.best,
            self.input_psnr,
            progress.skipped,
            interrupted,
            final,
            self.main,
            len(left_out),
            self.accelerator.num_processes,
        )
