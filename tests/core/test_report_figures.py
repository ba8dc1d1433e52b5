"""The report's experiment, threes against sixes of MNIST: 98.88 % on the test part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from loading import load
from threadpoolctl import threadpool_limits

from core.trainer import softmax
from core.trainer.result import Hyperparameters, Status
from core.trainer.softmax import Penalty
from core.trainer.stack import train
from core.trainer.training_data import TrainingData


def test_three_against_six(mnist_dir: Path) -> None:
    train_part, test_part = load("mnist", [3, 6], mnist_dir, print)
    assert test_part is not None
    assert (len(train_part), len(test_part)) == (12_049, 1968)
    data = TrainingData.of(train_part)

    trials = [Hyperparameters(learning_rate=0.001, weight_decay=1e-4, batch_size=200)]
    with threadpool_limits(1):
        (result,) = train(data, trials, penalty=Penalty.NORM, epochs=100, seed=0)
    assert result.status is Status.COMPLETED
    assert result.curves.train_accuracy[:5].max() > 0.95
    assert np.all(np.diff(result.curves.train_loss) < 0.001)
    assert np.isnan(result.curves.val_loss).all()

    # The report has 1946 of 1968; two images are the order of the data.
    predicted = softmax.predictions(softmax.logits(test_part.X, result.weights))
    hits = np.count_nonzero(predicted == test_part.y)
    assert abs(hits - 1946) <= 2
    assert abs(hits / 1968 - 0.9888) <= 0.0011
