"""The training run. With the default settings it reaches 98.9 % on the test part of the example."""

import math
import os
import shutil
import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from . import data, model
from .runtime import distributed
from .runtime.distributed import Group
from .runtime.examples import Data, Examples
from .runtime.run import Run
from .runtime.stop import Stop
from .settings import TrainSettings


def train(settings: TrainSettings) -> int:
    """Train, or go on with a run that was interrupted. Returns the exit code."""
    device = model.pick_device(distributed.device_name(settings.device))
    if settings.compile and not shutil.which("c++"):
        sys.exit("--compile needs a C++ compiler: the answer apt_packages=g++ is one in the image.")
    if device.index:
        torch.cuda.set_device(device)  # what is asked below of CUDA is asked of this one
    print(f"Training on {device}.", file=sys.stderr)
    with distributed.join(device) as group:  # of one process, unless torchrun has started more
        examples = data.load(settings)
        with group.start(settings, examples.fingerprint(), device=describe(device)) as run:
            return 0 if run.is_complete else fit(settings, examples, run, device, group)


def fit(
    settings: TrainSettings, examples: Data, run: Run, device: torch.device, group: Group
) -> int:
    """Train from the newest checkpoint on, and write the best model. Returns the exit code."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for the next line, on a GPU
    torch.use_deterministic_algorithms(settings.deterministic)
    torch.manual_seed(settings.seed + group.rank)

    dataset = as_dataset(examples.train)
    steps_per_epoch = -(-len(dataset) // settings.batch_size)  # rounded up
    steps = settings.epochs * steps_per_epoch

    net = model.Network(examples.info(settings)).to(device)
    if settings.compile:
        # The network within DistributedDataParallel, which torch.compile handles less well:
        # https://docs.pytorch.org/docs/stable/compile/programming_model.where_to_apply_compile.html
        net.compile()
    forward = group.parallel(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate)
    written = optimizer.state_dict()["param_groups"]  # the hyperparameters, as the code has them
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps, settings.warmup)
    )
    # An optimizer would take another one's state, and fail at its first step.
    kinds = ", ".join(type(one).__name__ for one in (optimizer, scheduler))
    loss_function = nn.CrossEntropyLoss()
    bf16 = settings.bf16 and has_bfloat16(device)
    loss_sum = torch.zeros((), device=device)  # stays on the device: to read it means to wait
    step = 0

    if saved := group.load(run.newest_checkpoint):
        with run.restoring():
            if saved["kinds"] != kinds:
                raise TypeError(f"it has the state of {saved['kinds']} and not of {kinds}")
            net.load_state_dict(saved["net"])
            optimizer.load_state_dict(saved["optimizer"])
            scheduler.load_state_dict(saved["scheduler"])
            take_edits(optimizer, scheduler, saved["written"], written)
        step = saved["step"]
        # There may have been more processes, or fewer.
        for own in saved["processes"][group.rank :: group.size]:
            loss_sum += own["loss_sum"]
            set_rng_state(own["rng"])

    def save() -> None:
        state = {
            "net": net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "kinds": kinds,
            "written": written,
            "step": step,
            "processes": group.gather({"loss_sum": loss_sum.cpu(), "rng": rng_state(device)}),
        }
        if group.is_main:
            with run.save(step) as file:
                torch.save(state, file)

    # disable=None: the bar shows on a terminal only. It goes to stderr, the metrics to stdout.
    hidden = None if group.is_main else True
    with Stop() as stop, tqdm(total=steps, initial=step, unit="step", disable=hidden) as progress:
        while step < steps:
            epoch, done = divmod(step, steps_per_epoch)
            # The order depends on the seed and the epoch alone, so a resumed run sees the same one.
            generator = torch.Generator().manual_seed(settings.seed + epoch)
            order = torch.randperm(len(dataset), generator=generator).tolist()
            batches = group.batches(order, settings.batch_size)[done:]
            loader = DataLoader(
                dataset,
                batch_sampler=[batch.indices for batch in batches],
                num_workers=settings.workers,
                generator=generator,  # without it, the loader would change the numbers of dropout
                pin_memory=device.type == "cuda",
            )
            net.train()
            for (features, labels), batch in zip(loader, batches, strict=True):
                exit_code, save_now = group.agree(stop.exit_code, run.is_due)
                if save_now:
                    save()
                if exit_code:
                    return exit_code
                features = features.to(device, non_blocking=True)
                labels = labels.to(device, non_blocking=True)
                with torch.autocast("cuda", torch.bfloat16, enabled=bf16):
                    loss = loss_function(forward(features), labels)
                optimizer.zero_grad()
                (loss * batch.weight).backward()
                nn.utils.clip_grad_norm_(net.parameters(), settings.clip_norm)
                optimizer.step()
                scheduler.step()
                loss_sum += loss.detach() * batch.examples
                step += 1
                progress.update()

            validation_loss, validation_accuracy = evaluate(
                net, examples.validation, settings, group
            )
            run.report(
                step=step,
                epoch=epoch + 1,
                loss=group.sum(loss_sum).item() / len(dataset),
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
            )
            loss_sum.zero_()
            if run.is_best("validation_loss"):
                with run.save_best(step) as file:
                    torch.save(net.state_dict(), file)
            save()

    if best := group.load(run.best_checkpoint):
        net.load_state_dict(best)
    test_loss, test_accuracy = evaluate(net, examples.test, settings, group)
    if group.is_main:
        model.save(net, run.model_path)
        run.finish(test_loss=test_loss, test_accuracy=test_accuracy)
    return 0


def take_edits(
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    before: list[dict[str, Any]],
    now: list[dict[str, Any]],
) -> None:
    """Let hyperparameters that were edited in the code count, which a saved state would undo."""
    for group, old, new in zip(optimizer.param_groups, before, now, strict=True):
        edits = {name: value for name, value in new.items() if value != old.get(name)}
        if "lr" in edits:  # the schedule has brought it elsewhere since, and goes on from there
            group["initial_lr"] = edits["lr"]
            edits["lr"] = group["lr"] * new["lr"] / old["lr"]
            scheduler.base_lrs = [one["lr"] for one in now]
        group.update(edits)


def as_dataset(part: Examples) -> TensorDataset:
    """Return examples as a data set of PyTorch."""
    return TensorDataset(torch.from_numpy(part.features), torch.from_numpy(part.labels))


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Return the share of the learning rate to use: it rises in a line, then falls in a cosine."""
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1))) / 2


@torch.inference_mode()
def evaluate(
    net: model.Network, part: Examples, settings: TrainSettings, group: Group
) -> tuple[float, float]:
    """Return the mean loss and the accuracy on these examples, of which each process takes some."""
    device = net.mean.device
    loss, right = torch.zeros((), device=device), torch.zeros((), device=device)
    group.align(net)
    net.eval()
    for features, labels in DataLoader(as_dataset(group.part(part)), settings.batch_size):
        logits, labels = net(features.to(device)), labels.to(device)
        loss += nn.functional.cross_entropy(logits, labels, reduction="sum")
        right += (logits.argmax(dim=1) == labels).sum()
    examples = len(part.labels)
    return group.sum(loss).item() / examples, group.sum(right).item() / examples


def has_bfloat16(device: torch.device) -> bool:
    """Has the device units for bfloat16? GPUs of compute capability 8.0 (Ampere) and later have."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def describe(device: torch.device) -> str:
    """Return the name of the device, for the record of the run."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the random number generators, which dropout uses: CPU and device."""
    names = ["random"] if device.type == "cpu" else ["random", device.type]
    return {name: getattr(torch, name).get_rng_state() for name in names}


def set_rng_state(state: dict[str, Tensor]) -> None:
    """Go back to a state that `rng_state` returned."""
    for name, value in state.items():
        getattr(torch, name).set_rng_state(value)
