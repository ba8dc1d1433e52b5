"""Study files: TOML is read and validated into a `StudySpec`, with one sentence for each mistake.

`study_file.py` finds and reads a study file, and `toml_text.py` its text. `named_study.py` takes
what a command was told, with the keys of `overrides.py`, which `recorded.py` records in the home;
`understood.py` and `toml_writer.py` write a file, and `growth.py` says how one may change.
`study_spec.py` is the whole file, `data_spec.py` and `search_spec.py` its tables [data] and
[search], `solver_baseline.py` one form of [baseline], and `axes.py` and `fields.py` have the values
in them. `messages.py` words the mistakes. `objective.py` is the score that trials are ranked by,
`space.py` makes the grid, and `budget.py` counts the trials and epochs of a budget. A new key needs
a field here, a line in README, and tests of its mistakes in `tests/search/spec`. Keys that were
added later are left out of the digest while they have their defaults, so that older studies keep
their digests.

May import: pydantic, `core`, and `search.errors`.
"""
