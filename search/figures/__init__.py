"""Pictures: arrays and trials in, PNG bytes out. Nothing here reads or writes files.

One figure a file; `style.py` has what they share, `templates.py` draws weights with Pillow, as a
study draws one picture a trial. The same arguments give the same bytes.

May import: Matplotlib (never pyplot, and inside functions), Pillow, `search.trials`, `core`.
"""
