"""The training run. With the default settings it reaches 98.2 % on the test digits."""

import os
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from . import data, model
from .runtime import checkpoint
from .runtime.files import require_writable
from .runtime.metrics import report
from .runtime.stop import Stop
from .settings import Settings


def train(settings: Settings) -> int:
    """Train, resuming from the newest checkpoint, and write the model. Returns the exit code."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic with it
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(settings.seed)
    require_writable(settings.checkpoint_dir)
    require_writable(settings.model_path.parent)
    if settings.fresh:
        checkpoint.clear(settings.checkpoint_dir)

    device = model.pick_device()
    print(f"Training on {device}.", file=sys.stderr)
    train_set, test_set = data.load()
    dataset = TensorDataset(torch.from_numpy(train_set.images), torch.from_numpy(train_set.labels))
    steps_per_epoch = -(-len(dataset) // settings.batch_size)  # rounded up

    net = model.DigitNet().to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=settings.learning_rate)
    loss_function = nn.CrossEntropyLoss()
    loss_sum = torch.zeros((), device=device)  # stays on the device: to read it means to wait
    step = 0

    run = settings.model_dump(include={"batch_size", "learning_rate", "seed"})
    steps = settings.epochs * steps_per_epoch
    if path := checkpoint.newest(settings.checkpoint_dir):
        saved = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint.require_same_run(path, saved, run, steps)
        try:
            net.load_state_dict(saved["net"])
        except RuntimeError:
            sys.exit(f"{path} does not fit the network in model.py: use --fresh to start again.")
        optimizer.load_state_dict(saved["optimizer"])
        set_rng_state(saved["rng"])
        loss_sum, step = saved["loss_sum"].to(device), saved["step"]

    def save_checkpoint() -> None:
        with checkpoint.write(settings.checkpoint_dir, step) as file:
            torch.save(
                {
                    "run": run,
                    "net": net.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "rng": rng_state(device),
                    "loss_sum": loss_sum,
                    "step": step,
                },
                file,
            )

    # disable=None: the bar shows on a terminal only. It goes to stderr, the metrics to stdout.
    with Stop() as stop, tqdm(total=steps, initial=step, unit="step", disable=None) as progress:
        while step < steps:
            epoch, done = divmod(step, steps_per_epoch)
            # The order depends on the seed and the epoch alone, so a resumed run sees the same one.
            generator = torch.Generator().manual_seed(settings.seed + epoch)
            order = torch.randperm(len(dataset), generator=generator).tolist()
            loader = DataLoader(
                dataset,
                batch_size=settings.batch_size,
                sampler=order[done * settings.batch_size :],
                generator=generator,  # without it, the loader would change the numbers of dropout
                pin_memory=device.type == "cuda",
            )
            net.train()
            for images, labels in loader:
                if stop.exit_code:
                    save_checkpoint()
                    return stop.exit_code
                images = images.to(device, non_blocking=True)
                labels = labels.to(device, non_blocking=True)
                loss = loss_function(net(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss_sum += loss.detach() * len(labels)
                step += 1
                progress.update()

            report(epoch=epoch + 1, loss=loss_sum.item() / len(dataset))
            loss_sum.zero_()
            save_checkpoint()

    predicted = model.probabilities(net, test_set.images).argmax(axis=1)
    model.save(net, settings.model_path)
    report(test_accuracy=(predicted == test_set.labels).mean(), model=str(settings.model_path))
    return 0


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the states of the random number generators, which dropout uses: CPU and device."""
    names = ["random"] if device.type == "cpu" else ["random", device.type]
    return {name: getattr(torch, name).get_rng_state() for name in names}


def set_rng_state(state: dict[str, torch.Tensor]) -> None:
    """Go back to a state that `rng_state` returned."""
    for name, value in state.items():
        getattr(torch, name).set_rng_state(value)
