"""A bare loop of PyTorch."""

import measure
import torch
from measure import BATCH, EPOCHS, model, train
from torch import nn
from torch.utils.data import DataLoader


def bare(settings, data, epoch_is_over):
    steps = EPOCHS * len(data.train.labels) // BATCH
    net = model.Network(data.info(settings))
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: train.learning_rate_factor(step, steps, settings.warmup)
    )
    loss_function = nn.CrossEntropyLoss()
    loader = DataLoader(train.as_dataset(data.train), BATCH, shuffle=True)
    held = DataLoader(train.as_dataset(data.validation), BATCH)
    for _ in range(EPOCHS):
        net.train()
        for features, labels in loader:
            loss = loss_function(net(features), labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), settings.clip_norm)
            optimizer.step()
            scheduler.step()
        net.eval()
        loss, right = 0.0, 0
        with torch.inference_mode():
            for features, labels in held:
                logits = net(features)
                loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
                right += (logits.argmax(dim=1) == labels).sum().item()
        epoch_is_over()


def generated(settings, data, run):
    train.fit(settings, data, run, torch.device("cpu"), train.Group())


measure.main(
    measure.made(6400, 24, 24, 1), bare, generated, epochs=EPOCHS, batch_size=BATCH, device="cpu"
)
