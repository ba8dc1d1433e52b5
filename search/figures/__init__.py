"""Draw figures: arrays and trials in, PNG bytes out. Nothing here reads or writes files.

Each file draws one kind of figure, and `style.py` has what they share. `templates.py` draws weights
with Pillow, which is fast enough for one picture per trial, and `page.py` lays them out. The same
arguments give the same bytes.

May import: Matplotlib (never pyplot, and inside functions), Pillow, `search.trials`, `core`.
"""
