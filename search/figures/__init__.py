"""Draw figures: arrays and trials in, PNG bytes out. Nothing here reads or writes files.

Each file draws one kind of figure, and `style.py` has what they share. The same arguments give the
same bytes.

`layers.py` compares sets of features; `heat_panels.py` says which panels `heat_maps.py` draws.

Weights are drawn with Pillow, which is fast enough for one picture per trial. `picture_choice.py`
says which kind of `weight_pictures.py` fits the data: `image_weights.py` (with `templates.py`),
`weights_table.py` (with `bars.py`) or `similarity.py`; `shown_classes.py` chooses among very many
classes. `matrix.py`, `sheet.py`, `page.py` and `colours.py` lay them out.

May import: Matplotlib (never pyplot, and inside functions), Pillow, `search.trials`, `core`.
"""
