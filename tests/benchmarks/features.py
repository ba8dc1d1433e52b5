"""Benchmark: features in files. A thousand classes, a file larger than memory, and many layers."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from measure import PeakMemory, Unwatched, interleaved, ratio, sgemm_seconds, table, timed

ROWS, FEATURES, CLASSES, BATCH, HELD_OUT = 200_000, 768, 1000, 1024, 10_000
RATES = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
HERE = Path(__file__).resolve().parent


def features(
    layers: Path | None,
    torch_python: Path | None,
    rounds: int,
    quick: bool,
    say: Callable[[str], None],
) -> str:
    sections = ["## Features in files"]
    with tempfile.TemporaryDirectory(dir=os.environ.get("LOCKSTEP_SCRATCH")) as folder:
        sections.append(_thousand_classes(Path(folder), torch_python, rounds, quick, say))
        sections.append(_orders(Path(folder), rounds, quick, say))
        sections.append(_larger_than_memory(Path(folder), quick, say))
        if layers is not None and layers.is_dir():
            sections.append(_layers(Path(folder), layers, quick, say))
    return "\n\n".join(sections)


def write_features(path: Path, rows: int, features: int, classes: int, *, by_class: bool) -> None:
    """Noisy class means in float16, with their labels beside them.

    by_class: whether the rows of a class stand together.
    """
    rng = np.random.default_rng(0)
    means = rng.normal(0, 0.5, (classes, features)).astype(np.float32)
    y = rng.integers(0, classes, rows)
    y = np.sort(y) if by_class else y
    X = np.lib.format.open_memmap(path, "w+", np.float16, (rows, features))
    for start in range(0, rows, 8192):
        own = y[start : start + 8192]
        X[start : start + 8192] = means[own] + rng.normal(0, 2, (len(own), features))
    X.flush()
    np.save(path.with_name("labels.npy"), y)


def _training(path: Path, order: str = "exact", fraction: float = HELD_OUT / ROWS) -> object:
    """The examples as a launch has them."""
    from core.datasets.dataset import Dataset
    from core.datasets.loaded import Loaded
    from core.datasets.npz import map_npy
    from core.datasets.scaling import Scale
    from core.datasets.splits import prepare
    from core.datasets.survey import surveyed
    from core.trainer.order import Order
    from core.trainer.training_data import TrainingData

    rows = map_npy(path, always=True)
    assert rows is not None
    y = np.load(path.with_name("labels.npy"))
    names = tuple(map(str, range(int(y.max()) + 1)))
    whole = Dataset.of(rows, y, names)
    parts = prepare(
        Loaded(whole, test=whole.take(np.arange(10))), validation_fraction=fraction, seed=0
    )
    scaled = surveyed(parts, lambda advanced: None).scaled(Scale.STANDARD)
    return TrainingData.of(scaled.train, scaled.validation, bias=True, order=Order(order))


def _stacks(rates: Sequence[float], each: int, batch: int = BATCH) -> list[object]:
    from core.trainer.result import Hyperparameters
    from core.trainer.softmax import Penalty
    from core.trainer.stack import Stack

    tried = [Hyperparameters(rate, 0.0, batch, bias=True) for rate in rates]
    cut = [tuple(tried[k : k + each]) for k in range(0, len(tried), each)]
    return [Stack(trials, Penalty.SQUARED, 0) for trials in cut]


def _thousand_classes(
    folder: Path, torch_python: Path | None, rounds: int, quick: bool, say: Callable[[str], None]
) -> str:
    """Two processes, as a launch has on two cores, against PyTorch with two threads."""
    from search.training.executor import StackJob
    from search.training.processes import processes

    rows = ROWS // 10 if quick else ROWS
    path = folder / "features.npy"
    say("  writing the features")
    write_features(path, rows, FEATURES, CLASSES, by_class=False)
    reading = time.perf_counter()
    data = _training(path)
    reading = time.perf_counter() - reading
    n, M = len(data.y), len(data.y_val)  # type: ignore[attr-defined]
    jobs = [StackJob(stack, 1) for stack in _stacks(RATES, 2)]  # type: ignore[arg-type]
    memory = PeakMemory()

    def ours() -> float:
        return timed(lambda: list(pool.run(jobs, Unwatched())))

    def torch(how: str) -> Callable[[], float]:
        arguments = [path, path.with_name("labels.npy"), n, BATCH, CLASSES, os.cpu_count(), how]
        threads = str(os.cpu_count())
        free = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}

        def run() -> float:
            command = [torch_python, HERE / "torch_heads.py", *arguments, *RATES]
            done = subprocess.run(
                list(map(str, command)), check=True, capture_output=True, env=free
            )
            return float(json.loads(done.stdout)["seconds"])

        return run

    def peak() -> float:
        return sgemm_seconds()

    variants: dict[str, Callable[[], float]] = {"peak": peak, "ours": ours}
    if torch_python is not None:
        variants |= {"together": torch("together"), "apart": torch("apart")}
    with processes([data], 2) as pool, memory:  # type: ignore[list-item]
        ours()  # starts the processes
        say("  one epoch of eight configurations")
        found = interleaved(variants, rounds)
    # Training is two products; validation one, on the held-out rows.
    steps = n // BATCH
    operations = len(RATES) * CLASSES * FEATURES * (4 * steps * BATCH + 2 * M)
    of_peak = [
        operations * one / seconds / 2
        for one, seconds in zip(found["peak"], found["ours"], strict=True)
    ]
    rows_of = [
        ["ours, with validation", f"{statistics.median(found['ours']):.1f}", ""],
        *(
            [f"PyTorch, {what}, without", f"{statistics.median(found[name]):.1f}",
             f"{ratio(found[name], found['ours']):.2f}"]
            for name, what in (("together", "one loss"), ("apart", "one after the other"))
            if name in found
        ),
    ]  # fmt: skip
    return "\n\n".join(
        [
            f"**A thousand classes.** {rows:,} × {FEATURES} float16 on disk ({n:,} to train on, "
            f"{M:,} held out), C = {CLASSES:,}, B = {BATCH:,}, {len(RATES)} configurations, one "
            f"epoch, two processes. Reading the file through before: {reading:.1f} s. Nominal "
            f"operations over the peak of two cores: **{statistics.median(of_peak):.2f}**. Memory "
            f"of all processes: {memory.total / 1e9:.2f} GB.",
            table(["", "s", "times ours"], rows_of),
        ]
    )


def _orders(folder: Path, rounds: int, quick: bool, say: Callable[[str], None]) -> str:
    """What the block-shuffled order costs in score, where the rows of a class stand together."""
    from dataclasses import replace

    from core.trainer.order import Shuffle
    from core.trainer.softmax import Penalty
    from core.trainer.stack import train

    say("  orders")
    rows, classes, epochs = (20_000 if quick else 100_000), 100, 5
    path = folder / "sorted.npy"
    write_features(path, rows, 64, classes, by_class=True)
    data = _training(path, fraction=0.2)
    trials = [each for stack in _stacks([0.1, 0.3, 1.0], 3, 128) for each in stack.trials]  # type: ignore[attr-defined]
    lines = []
    for name, shuffle in (
        ("exact", Shuffle()),
        ("blocks of 4 rows, as a launch would for ImageNet", Shuffle(4, 4096)),
        ("blocks of 64 rows", Shuffle(64, 4096)),
        ("blocks of 64 rows, one after the other", Shuffle(64, 64)),
    ):
        losses, accuracies = [], []
        for seed in range(max(2, rounds)):
            results = train(
                replace(data.in_memory(), shuffle=shuffle),  # type: ignore[attr-defined]
                trials,
                penalty=Penalty.SQUARED,
                epochs=epochs,
                seed=seed,
            )
            best = min(results, key=lambda each: each.curves.val_loss[-1])
            losses.append(best.curves.val_loss[-1])
            accuracies.append(100 * best.curves.val_accuracy[-1])
        spread = statistics.stdev(accuracies)
        lines.append(
            [
                name,
                f"{statistics.mean(losses):.4f}",
                f"{statistics.mean(accuracies):.2f} ± {spread:.2f}",
            ]
        )
    M = len(data.y_val)  # type: ignore[attr-defined]
    return "\n\n".join(
        [
            f"**What the order of blocks costs.** {rows:,} rows sorted by class, 64 features, "
            f"{classes} classes, {epochs} epochs, the best of three rates on {M:,} held-out rows, "
            f"mean and standard deviation over {max(2, rounds)} seeds. A launch has windows of "
            "128 MiB: 5 % of ImageNet's rows, as here, and blocks of 8 KiB.",
            table(["order", "loss", "accuracy, %"], lines),
        ]
    )


_LIMITED = """
import json, sys, time
sys.path.insert(0, {here!r})
from pathlib import Path
from features import _stacks, _training
from threadpoolctl import threadpool_limits
threadpool_limits(1)
started = time.perf_counter()
data = _training(Path({path!r}), "blocks")
read = time.perf_counter() - started
(stack,) = _stacks([0.01, 0.1, 1.0, 10.0], 4)
started = time.perf_counter()
stack.advance(data, 1)
print(json.dumps([read, time.perf_counter() - started, float(stack.curves[-1][2].min())]))
"""


def _larger_than_memory(folder: Path, quick: bool, say: Callable[[str], None]) -> str:
    """An epoch in a control group whose memory is half of the file, and the disk's own speed."""
    say("  a file of twice the memory")
    group = Path("/sys/fs/cgroup/memory/lockstep-benchmark")
    rows = 500_000 if quick else 1_000_000
    path = folder / "large.npy"
    write_features(path, rows, FEATURES, 10, by_class=True)
    size = path.stat().st_size
    try:
        group.mkdir(exist_ok=True)
        (group / "memory.limit_in_bytes").write_text(str(size // 2))
    except OSError as error:
        return f"**A file of twice the memory**: not measured ({error})."
    script = _LIMITED.format(here=str(HERE), path=str(path))
    inside = f"echo $$ > {group}/cgroup.procs; exec "
    lines = []
    try:
        for name, command in (
            ("reading the file alone", ["cat", str(path)]),
            ("ours", [sys.executable, "-c", script]),
        ):
            os.sync()  # Pages that are not written yet cannot be dropped.
            with suppress(OSError):
                Path("/proc/sys/vm/drop_caches").write_text("1")
            started = time.perf_counter()
            done = subprocess.run(
                ["bash", "-c", inside + '"$@"', "bash", *command],
                check=True,
                stdout=subprocess.PIPE if name == "ours" else subprocess.DEVNULL,
            )
            seconds = time.perf_counter() - started
            if name == "ours":
                read, epoch, _ = json.loads(done.stdout)
                lines += [
                    [
                        "reading through (digest, statistics)",
                        f"{read:.1f}",
                        f"{size / read / 1e6:,.0f}",
                    ],
                    ["one epoch, with validation", f"{epoch:.1f}", f"{size / epoch / 1e6:,.0f}"],
                ]
            else:
                lines.append([name, f"{seconds:.1f}", f"{size / seconds / 1e6:,.0f}"])
        used = int((group / "memory.max_usage_in_bytes").read_text())
    finally:
        with suppress(OSError):
            group.rmdir()
    return "\n\n".join(
        [
            f"**A file of twice the memory.** {size / 1e9:.1f} GB in a control group that may use "
            f"{size / 2e9:.1f} GB, page cache included (it used {used / 1e9:.1f}); one process, "
            "four configurations, C = 10, B = 1,024, rows sorted by class, order by blocks.",
            table(["", "s", "MB/s"], lines),
        ]
    )


_STUDY = """
name = "{name}"
[data]
features = {files}
labels = "{labels}"
split = "{split}"
{classes}
[model]
penalty = "squared"
epochs = 20
[space]
learning_rate = {{ low = 1e-3, high = 1.0, log = true, points = 10 }}
weight_decay = [0.0, 1e-4, 1e-3]
batch_size = [64, 256]
"""


def _layers(folder: Path, layers: Path, quick: bool, say: Callable[[str], None]) -> str:
    """A launch and a retrain over all layers, against a logistic regression for each layer."""
    files = sorted(map(str, layers.glob("layer-*.npy")))
    peers = files[5::6]  # a fit of ten classes takes up to minutes
    lines = []
    for name, classes in (("two", 'classes = ["3", "6"]'), ("ten", "")):
        say(f"  {len(files)} layers, {name} classes")
        study = folder / f"{name}.toml"
        study.write_text(
            _STUDY.format(
                name=name,
                files=json.dumps(files),
                labels=layers / "labels.npy",
                split=layers / "split.npy",
                classes=classes,
            )
        )
        launched = _lockstep(folder, "launch", str(study))
        retrained = _lockstep(folder, "retrain", str(study), "--seeds", "0")
        configurations = launched["trials"]["complete"]
        each = launched["seconds"]["total"] / configurations
        low, high = retrained["interval"]
        lines.append(
            [
                f"{name}, ours",
                f"{len(files)} × {configurations // len(files)}",
                launched["best"]["features"],
                f"{100 * retrained['test_accuracy']:.2f} ({100 * low:.2f} to {100 * high:.2f})",
                f"{1000 * each:.0f}",
                "",
            ]
        )
        found = [_logistic_regression(Path(path), layers, classes != "") for path in peers]
        _, accuracy, chosen, _ = max(found)
        its = sum(seconds for *_, seconds in found) / (10 * len(found))
        lines.append(
            [f"{name}, scikit-learn", f"{len(found)} × 10", chosen, f"{100 * accuracy:.2f}",
             f"{1000 * its:.0f}", f"{its / each:.1f}"]
        )  # fmt: skip
    return "\n\n".join(
        [
            "**Which layer.** 12,000 images as the layers of a network see them, the official test "
            "part among them, 20 epochs. Ours: a launch with everything that it logs, then "
            "retrain. scikit-learn: `StandardScaler` and `LogisticRegressionCV` (ten strengths, "
            "five folds) on some of the layers, the best by its cross-validation. Test accuracies "
            "with a Wilson interval.",
            table(
                ["classes", "layers × configurations", "chosen", "test accuracy, %",
                 "ms a configuration", "times ours"],
                lines,
            ),
        ]
    )  # fmt: skip


def _lockstep(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run the command line and return its JSON."""
    program = str(Path(sys.executable).with_name("lockstep"))
    command = [program, *arguments, "--home", str(folder), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _logistic_regression(path: Path, layers: Path, two: bool) -> tuple[float, float, str, float]:
    """The score of cross-validation, the test accuracy, the layer, and the seconds."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = np.load(path).astype(np.float32), np.load(layers / "labels.npy")
    split = np.load(layers / "split.npy")
    used = np.isin(y, (3, 6)) if two else np.full(len(y), True)
    train, test = used & (split != "test"), used & (split == "test")
    pipeline = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=10, cv=5, max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds = timed(lambda: pipeline.fit(X[train], y[train]))
        scores = next(iter(pipeline[-1].scores_.values()))
    best = float(np.mean(scores, axis=0).max())
    return best, float((pipeline.predict(X[test]) == y[test]).mean()), path.stem, seconds
