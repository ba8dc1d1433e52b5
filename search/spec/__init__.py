"""A study file: TOML in, a validated `StudySpec` out, and one sentence for each mistake.

`study_spec.py` is the whole file, `search_spec.py` its table [search], `axes.py` and `fields.py`
the values in it, `objective.py` what trials are ranked by. A new key needs a field here, a line in
README, and its mistakes in `tests/search/spec`. Keys that came later are left out of the digest
while they have their defaults, so that studies of before keep theirs.

May import: pydantic, `core`, and `search.errors`.
"""
