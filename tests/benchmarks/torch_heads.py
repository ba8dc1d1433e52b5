"""Linear heads in PyTorch on features in a file: what the table of feature files compares with.

    torch_heads.py FEATURES.npy LABELS.npy ROWS BATCH CLASSES THREADS together|apart RATE…

One epoch over the first ROWS rows. `together` is how DINOv2's linear evaluation trains: one list of
heads, one loss that sums theirs, one optimiser, the same batches. `apart` trains one head after the
other, each of which reads the file. Prints the seconds of training as JSON, without imports.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch


def main() -> None:
    features, labels, rows, batch, classes, threads, how, *rates = sys.argv[1:]
    torch.set_num_threads(int(threads))
    X, y = np.load(features, mmap_mode="r"), torch.from_numpy(np.load(labels).astype(np.int64))
    n, B, C = int(rows), int(batch), int(classes)

    def heads(rates: list[float]) -> tuple[torch.nn.ModuleList, torch.optim.Optimizer]:
        made = torch.nn.ModuleList(torch.nn.Linear(X.shape[1], C) for _ in rates)
        for each in made:
            torch.nn.init.zeros_(each.weight)
            torch.nn.init.zeros_(each.bias)
        groups = [{"params": h.parameters(), "lr": r} for h, r in zip(made, rates, strict=True)]
        return made, torch.optim.SGD(groups, lr=0.1)

    def epoch(made: torch.nn.ModuleList, optimiser: torch.optim.Optimizer) -> None:
        order = np.random.default_rng((0, 0)).permutation(n)
        for start in range(0, n // B * B, B):
            which = order[start : start + B]
            x = torch.from_numpy(X[which].astype(np.float32))
            target = y[torch.from_numpy(which)]
            loss = sum(torch.nn.functional.cross_entropy(head(x), target) for head in made)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    each_rate = [float(rate) for rate in rates]
    groups = [each_rate] if how == "together" else [[rate] for rate in each_rate]
    warm = heads(each_rate[:1])
    x = torch.zeros(B, X.shape[1])
    torch.nn.functional.cross_entropy(warm[0][0](x), y[:B]).backward()
    started = time.perf_counter()
    for group in groups:
        epoch(*heads(group))
    print(json.dumps({"seconds": time.perf_counter() - started}))


main()
