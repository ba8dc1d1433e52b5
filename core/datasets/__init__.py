"""Labelled examples: what they are, where they come from, how they are divided.

`dataset.py` has the `Dataset` that all other code takes. `splits.py` divides it into parts and
`folds.py` into folds, both with `groups.py` where rows belong together. `scaled.py` scales its
features as `scaling.py` scales rows, `study_data.py` has all sets of features of a study,
`remarks.py` says what is odd in it, and `curvature.py` how sharply a loss on it can bend.

`sources.py` loads every source by its name, as `source.py` describes it: `embedded.py` those of
scikit-learn, `mnist.py` those like MNIST, whose files `idx_files.py` finds, `arrays.py` a user's
arrays, and `columns.py` a user's table. Each gives a value of `raw.py`; labels are read by
`labels.py`, images by `images.py`, and `checks.py` has what is checked of all. Each file format has
a reader of its own, `idx.py`, `npz.py` and `tables.py`; `disguises.py` tells what a file is
instead, and `published.py` whether files are MNIST as it was published. The readers do not trust a
file: they check sizes before they use memory, and unpickle nothing.

Many features stay in their file: `array_file.py` maps it, `file_rows.py` stands for some of its
rows, `halves.py` converts them, and `survey.py` reads it through once, for its digest, checks and
the statistics of its columns (`column_statistics.py`).

May import: NumPy, scikit-learn's data sets, and, inside functions, pandas and pyarrow.
"""
