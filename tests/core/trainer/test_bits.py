"""The same stack gives the same bits: again, in parts, from any memory, in another process.

`tests/test_kernels.py` runs this file under every kernel that OpenBLAS has for this processor.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from by_definition import pickled, same
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import diverging_trial, make_problem, stable_trials

from core.trainer.learning_rate import Schedule
from core.trainer.result import Hyperparameters
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData

pytestmark = pytest.mark.usefixtures("one_blas_thread")

EPOCHS = 6
PLAIN = Hyperparameters(1.0, 0.0, 1)
FULL = Hyperparameters(1.0, 0.0, 1, 0.9, Schedule.COSINE, warmup_epochs=1, bias=True)
# Classes, features, batch size, and the rest of the hyperparameters.
Shape = tuple[int, int, int, Hyperparameters]
SHAPES: list[Shape] = [
    *((*sizes, PLAIN) for sizes in ((2, 23, 7), (2, 300, 50), (3, 23, 7), (10, 131, 33))),
    *((*sizes, FULL) for sizes in ((2, 300, 50), (3, 23, 7), (10, 131, 33))),
]
RERUN = """
import sys
sys.path[:0] = {path!r}
from test_bits import SHAPES, digest_of, whole
for shape in SHAPES:
    print(digest_of(whole(*shape)))
"""


def data_of(n_classes: int, n_features: int, like: Hyperparameters) -> TrainingData:
    problem = make_problem(n_classes, 160, 70, n_features)
    return TrainingData.of(problem.train, problem.validation, bias=like.bias)


def stack_of(batch_size: int, like: Hyperparameters) -> Stack:
    """300 trials, more than one tile, of which some diverge, each at another epoch."""
    trials = stable_trials(300, batch_size)
    for place, factor in ((3, -1e6), (5, -40.0), (290, -7.0)):
        trials[place] = diverging_trial(batch_size, factor)
    method = {name: getattr(like, name) for name in ("momentum", "schedule", "bias")}
    alike = tuple(replace(trial, **method, warmup_epochs=like.warmup_epochs) for trial in trials)
    return Stack(alike, Penalty.SQUARED, seed=3, total_epochs=EPOCHS)


def whole(n_classes: int, n_features: int, batch_size: int, like: Hyperparameters) -> Stack:
    stack = stack_of(batch_size, like)
    stack.advance(data_of(n_classes, n_features, like), EPOCHS)
    return stack


def digest_of(stack: Stack) -> str:
    """SHA-256 of everything that the training decides."""
    parts = [stack.weights.tobytes(), stack.velocity.tobytes()]
    parts += [curves.tobytes() for curves in stack.curves]
    parts.append(repr(sorted(stack.stopped.items())).encode())
    return hashlib.sha256(b"".join(parts)).hexdigest()


@functools.cache
def digest_of_whole(shape: Shape) -> str:
    return digest_of(whole(*shape))


@pytest.fixture(scope="module")
def elsewhere() -> list[str]:
    """The digest of each shape, from another process."""
    path = [str(Path(__file__).parent), *sys.path]
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    again = subprocess.run(
        [sys.executable, "-c", RERUN.format(path=path)],
        env=os.environ | one_thread, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return again.stdout.split()


@pytest.mark.parametrize("index", range(len(SHAPES)))
def test_again_and_in_another_process(index: int, elsewhere: list[str]) -> None:
    shape = SHAPES[index]
    first = digest_of_whole(shape)
    litter = [np.empty(n) for n in range(1, 4000, 37)]  # so that memory lies elsewhere
    assert digest_of(whole(*shape)) == first
    del litter
    assert elsewhere[index] == first


@pytest.mark.parametrize("offset", [1, 4, 16, 32])
@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_the_data_was_received_in(shape: Shape, offset: int) -> None:
    """Arrays that come out of a network's buffer may begin anywhere."""
    n_classes, n_features, batch_size, like = shape
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(
        data_of(n_classes, n_features, like), protocol=5, buffer_callback=buffers.append
    )
    moved = []
    for buffer in buffers:
        raw = buffer.raw()
        place = np.empty(raw.nbytes + 128, np.uint8)
        start = -place.ctypes.data % 64 + offset
        place[start : start + raw.nbytes] = raw
        moved.append(place[start : start + raw.nbytes].data)
    received: TrainingData = pickle.loads(content, buffers=moved)
    stack = stack_of(batch_size, like)
    stack.advance(received, EPOCHS)
    assert digest_of(stack) == digest_of_whole(shape)


@given(
    cuts=st.lists(st.integers(0, EPOCHS), max_size=3),
    shape=st.sampled_from(SHAPES),
    handed_on=st.sampled_from([same, pickled]),
)
@settings(max_examples=12)
def test_in_parts(cuts: list[int], shape: Shape, handed_on: Callable[[Stack], Stack]) -> None:
    n_classes, n_features, batch_size, like = shape
    stack = stack_of(batch_size, like)
    for start, end in pairwise([0, *sorted(cuts), EPOCHS]):
        stack.advance(data_of(n_classes, n_features, like), end - start)
        stack = handed_on(stack)
    assert digest_of(stack) == digest_of_whole(shape)
