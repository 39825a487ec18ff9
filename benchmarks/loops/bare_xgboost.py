"""A bare loop of XGBoost: `xgboost.train`, which evaluates after each round.

What stands for an epoch is the ten rounds from one report to the next.
"""

import measure
import xgboost as xgb
from measure import EPOCHS, model, train

ROUNDS = 10


class Report(xgb.callback.TrainingCallback):
    """Says when ten rounds are over."""

    def __init__(self, epoch_is_over):
        super().__init__()
        self.epoch_is_over = epoch_is_over

    def after_iteration(self, model, epoch, evals_log):
        if (epoch + 1) % ROUNDS == 0:
            self.epoch_is_over()
        return False


def bare(settings, data, epoch_is_over):
    info = data.info(settings)
    parts = [train.as_matrix(info, part) for part in (data.train, data.validation)]
    parameters = {
        **model.objective(info),
        "device": "cpu",
        "learning_rate": settings.learning_rate,
        "max_depth": settings.max_depth,
        "eval_metric": ["mlogloss", "merror"],
    }
    xgb.train(
        parameters,
        parts[0],
        settings.rounds,
        evals=list(zip(parts, ("train", "validation"), strict=True)),
        callbacks=[Report(epoch_is_over)],
        verbose_eval=False,
    )


def generated(settings, data, run):
    train.fit(settings, data, run, "cpu")


rounds = EPOCHS * ROUNDS
measure.main(
    measure.made(25_600, 32), bare, generated, rounds=rounds, patience=rounds, report_every=ROUNDS
)
