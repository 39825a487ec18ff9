"""A bare loop of scikit-learn: `partial_fit`, batch by batch."""

import measure
import numpy as np
from measure import BATCH, EPOCHS, model, train
from sklearn.metrics import accuracy_score, log_loss


def bare(settings, data, epoch_is_over):
    info = data.info(settings)
    classifier = model.create(info, settings.learning_rate, settings.seed).classifier
    features, labels = model.inputs(info, data.train.features), data.train.labels
    held, answers = model.inputs(info, data.validation.features), data.validation.labels
    classes, random = np.arange(len(info.classes)), np.random.default_rng(0)
    for _ in range(EPOCHS):
        order = random.permutation(len(labels))
        for start in range(0, len(labels), BATCH):
            batch = order[start : start + BATCH]
            classifier.partial_fit(features[batch], labels[batch], classes=classes)
        for rows, right in ((features, labels), (held, answers)):
            predicted = classifier.predict_proba(rows)
            log_loss(right, predicted, labels=classes)
            accuracy_score(right, predicted.argmax(axis=1))
        epoch_is_over()


measure.main(measure.made(25_600, 128), bare, train.fit, epochs=EPOCHS, batch_size=BATCH)
