"""The same step by JAX: `vmap` over trials, `scan` over minibatches, one jitted call an epoch.

Run as a program, it is the other end of `JaxPeer`: it reads one JSON object a line and answers with
one, so that its epochs take turns with those of other variants and its threads stay its own.

    {"trials": [[learning rate, weight decay], ...], "batch_size": B, "seed": s}  →  {"compiled": s}
    {"epoch": e}  →  {"seconds": s, "val_loss": [K numbers]}
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from core.trainer.result import Hyperparameters

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class JaxPeer:
    """JAX in a process of its own, on the cores that this one may use when it starts."""

    def __init__(self, data: Path) -> None:
        environment = {**os.environ, "XLA_FLAGS": ONE_THREAD, "JAX_PLATFORMS": "cpu"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.missing = str(self._answer().get("missing", ""))
        self.val_loss: list[float] = []

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the JAX process ended: see its message above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def compile(self, trials: Sequence[Hyperparameters], seed: int) -> None:
        """Start these trials from zero weights; they share a batch size."""
        pairs = [(trial.learning_rate, trial.weight_decay) for trial in trials]
        self._ask(trials=pairs, batch_size=trials[0].batch_size, seed=seed)

    def train_epoch(self, epoch: int) -> float:
        """Seconds that the epoch took inside JAX."""
        answer = self._ask(epoch=epoch)
        self.val_loss = answer["val_loss"]
        return float(answer["seconds"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _epoch_program(n_classes: int) -> Any:
    """(W (K, D, C), rate (K,), decay (K,), batches, data) → W, curves (4, K); jitted."""
    import jax
    import jax.numpy as jnp

    def measured(log_P: Any, y: Any) -> tuple[Any, Any]:
        own = jnp.take_along_axis(log_P, y[:, None], 1)
        return -own.mean(), (log_P.argmax(1) == y).mean()

    def step(W: Any, rate: Any, decay: Any, xb: Any, yb: Any) -> tuple[Any, tuple[Any, Any]]:
        log_P = jax.nn.log_softmax(xb @ W)
        counted = measured(log_P, yb)
        gradient = xb.T @ (jnp.exp(log_P) - jax.nn.one_hot(yb, n_classes)) / len(yb)
        norm = jnp.sqrt((W * W).sum())
        shrink = jnp.where(norm > 0, decay / jnp.where(norm > 0, norm, 1), 0)
        return W - rate * (gradient + shrink * W), counted

    def validate(W: Any, X: Any, y: Any) -> Any:
        return measured(jax.nn.log_softmax(X @ W), y)

    steps = jax.vmap(step, in_axes=(0, 0, 0, None, None))
    validations = jax.vmap(validate, in_axes=(0, None, None))

    def epoch(W: Any, rate: Any, decay: Any, batches: Any, data: Any) -> tuple[Any, Any]:
        X, y, X_val, y_val = data

        def body(W: Any, rows: Any) -> Any:
            return steps(W, rate, decay, X[rows], y[rows])

        W, (losses, accuracies) = jax.lax.scan(body, W, batches)
        train = losses.mean(0), accuracies.mean(0)
        return W, jnp.stack([*train, *validations(W, X_val, y_val)])

    return jax.jit(epoch, donate_argnums=0)


def _serve(path: Path) -> None:
    try:
        import jax.numpy as jnp
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), flush=True)
        return
    arrays = np.load(path, allow_pickle=False)
    data = tuple(jnp.asarray(arrays[name]) for name in ("X", "y", "X_val", "y_val"))
    n_rows, n_features = arrays["X"].shape
    n_classes = int(arrays["n_classes"])
    W: Any = None
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "trials" in request:
            rate, decay = jnp.asarray(np.array(request["trials"], np.float32).T)
            size, seed = request["batch_size"], request["seed"]
            shape = (n_rows // size, size)
            W = jnp.zeros((len(rate), n_features, n_classes), jnp.float32)
            clock = time.perf_counter()
            rows = jnp.zeros(shape, jnp.int32)
            program = _epoch_program(n_classes).lower(W, rate, decay, rows, data).compile()
            answer: dict[str, Any] = {"compiled": time.perf_counter() - clock}
        else:
            order = np.random.default_rng((seed, request["epoch"])).permutation(n_rows)
            clock = time.perf_counter()
            rows = jnp.asarray(order[: shape[0] * shape[1]].reshape(shape).astype(np.int32))
            W, curves = program(W, rate, decay, rows, data)
            val_loss = np.asarray(curves)[2]
            answer = {"seconds": time.perf_counter() - clock, "val_loss": val_loss.tolist()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
