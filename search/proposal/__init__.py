"""What `lockstep init` proposes for some data: a study file that fits it, with its reasons.

`given.py` finds what a user's file is, which column has the labels, and which columns are texts.
`facts.py` loads, divides and measures the data. `ranges.py` chooses what to search, and
`study_text.py` writes it all down. Nothing here writes a file or trains.

May import: `search.spec`, `core`.
"""
