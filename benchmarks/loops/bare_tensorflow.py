"""A bare loop of TensorFlow and Keras, as Keras's guide to writing a training loop has it."""

import keras
import measure
import numpy as np
import tensorflow as tf
from measure import BATCH, EPOCHS, model, train


def bare(settings, data, epoch_is_over):
    features, labels = data.train
    steps = EPOCHS * len(labels) // BATCH
    net, _ = model.create(data.info(settings))
    rising = round(settings.warmup * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(steps - rising, 1), warmup_target=settings.learning_rate, warmup_steps=rising
    )
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=settings.clip_norm)
    optimizer.build(net.trainable_variables)
    loss_function = keras.losses.SparseCategoricalCrossentropy()

    @tf.function
    def learn(features, labels):
        with tf.GradientTape() as tape:
            loss = loss_function(labels, net(features, training=True))
        gradients = tape.gradient(loss, net.trainable_variables)
        optimizer.apply(gradients, net.trainable_variables)

    random = np.random.default_rng(0)
    for _ in range(EPOCHS):
        order = random.permutation(len(labels))
        for start in range(0, len(labels), BATCH):
            batch = order[start : start + BATCH]
            learn(tf.constant(features[batch]), tf.constant(labels[batch]))
        loss = right = 0.0
        for start in range(0, len(data.validation.labels), BATCH):
            answers = data.validation.labels[start : start + BATCH]
            rows = net(data.validation.features[start : start + BATCH], training=False)
            losses = keras.losses.sparse_categorical_crossentropy(answers, rows)
            loss += float(keras.ops.sum(losses))
            right += float((rows.numpy().argmax(axis=1) == answers).sum())
        epoch_is_over()


def generated(settings, data, run):
    train.fit(settings, data, run, train.Group())


measure.main(
    measure.made(6400, 24, 24, 1), bare, generated, epochs=EPOCHS, batch_size=BATCH, device="cpu"
)
