"""The table of layers that `compare` prints, of few layers and of many."""

from __future__ import annotations

from layered import made_layers

from search.commands.layer_table import SHOWN, layer_table


def test_few_layers_are_all_there_in_their_order() -> None:
    text, *legend = layer_table(made_layers(5))
    rows = [line.split() for line in text.splitlines()[1:]]
    assert [row[:2] for row in rows] == [[f"{k + 1}", f"layer-{k}"] for k in range(5)]
    assert [" ".join(row[-1:]) for row in rows[2:4]] == ["accurate", "best"]
    assert "tied, first as accurate" in text
    assert "< 0.0001" in text, "p values that are very small are not told apart"
    assert "Holm-corrected" in legend[0]


def test_of_many_layers_the_best_are_there() -> None:
    layers = made_layers(100)
    text, *legend = layer_table(layers)
    places = [int(line.split()[0]) for line in text.splitlines()[1:]]
    assert len(places) == SHOWN
    assert places == sorted(places)
    assert layers.best.place in places
    worst = max(layers.found[place - 1].badness for place in places)
    left = [layer for layer in layers.found if layer.place not in places]
    assert worst <= min(layer.badness for layer in left)
    assert legend[-1] == "(and 70 more, which are worse)"
