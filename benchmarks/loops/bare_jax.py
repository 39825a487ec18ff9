"""A bare loop of JAX and Optax."""

from functools import partial

import jax
import jax.numpy as jnp
import measure
import numpy as np
import optax
from measure import BATCH, EPOCHS, model, train


def bare(settings, data, epoch_is_over):
    info = data.info(settings)
    inputs, labels = model.inputs(info, data.train.features), data.train.labels
    held, answers = model.inputs(info, data.validation.features), data.validation.labels
    parameters = model.create(info, jax.random.key(0))
    optimizer = train.optimizer_of(settings, EPOCHS * len(labels) // BATCH)
    state = optimizer.init(parameters)

    def loss_of(parameters, inputs, labels, key):
        logits = model.logits(parameters, inputs, dropout_key=key)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @partial(jax.jit, donate_argnums=(0, 1))
    def learn(parameters, state, step, key, inputs, labels):
        key = jax.random.fold_in(key, step)
        gradients = jax.grad(loss_of)(parameters, inputs, labels, key)
        updates, state = optimizer.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), state

    @jax.jit
    def judge(parameters, inputs, labels):
        logits = model.logits(parameters, inputs)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.sum(), (logits.argmax(axis=1) == labels).sum()

    step, key, random = 0, jax.random.key(1), np.random.default_rng(0)
    for _ in range(EPOCHS):
        order = random.permutation(len(labels))
        for start in range(0, len(labels), BATCH):
            batch = order[start : start + BATCH]
            parameters, state = learn(parameters, state, step, key, inputs[batch], labels[batch])
            step += 1
        loss = right = jnp.zeros(())
        for start in range(0, len(answers), BATCH):
            part = slice(start, start + BATCH)
            losses, hits = judge(parameters, held[part], answers[part])
            loss, right = loss + losses, right + hits
        float(loss), float(right)
        epoch_is_over()


def generated(settings, data, run):
    group = train.Group(jax.devices("cpu"))
    train.fit(settings, data, run, group)


measure.main(
    measure.made(25_600, 24, 24, 1), bare, generated, epochs=EPOCHS, batch_size=BATCH, device="cpu"
)
