"""What a notebook shows of a study, as HTML that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from search.commands.compare import ERRORS_EXPLAINED

Table = tuple[Sequence[str], Sequence[Sequence[str]]]  # headings, rows

_CELL = "padding: 0.15em 0.5em; text-align: right; white-space: nowrap;"


def page(
    *,
    heading: str,
    ranking: Table | None,
    lines: Sequence[str],
    pictures: Sequence[Path],
    links: Mapping[str, str],
    remark: str,
) -> str:
    """Return a page.

    lines: of text, each of which begins with a word that says what it is about. pictures: PNG
    files. remark: on the links.
    """
    parts = [f"<h4>{escape(heading)}</h4>"]
    if ranking is not None:
        parts += [_table(*ranking), f"<p><small>{escape(ERRORS_EXPLAINED)}</small></p>"]
    parts.append("<ul>" + "".join(map(_line, lines)) + "</ul>")
    parts += map(_picture, pictures)
    if links:
        named = " · ".join(
            f'<a href="{escape(url)}" target="_blank" rel="noopener">{escape(name)}</a>'
            for name, url in links.items()
        )
        parts.append(f"<p>In MLflow: {named}<br><small>{escape(remark)}</small></p>")
    return f'<div class="lockstep">{"".join(parts)}</div>'


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts."""
    head = "".join(f'<th style="{_CELL}">{escape(each)}</th>' for each in headings)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return (
        '<div style="overflow-x: auto; max-width: 100%"><table style="font-size: 0.9em">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _line(line: str) -> str:
    """Return an entry of a list, whose first word is bold."""
    word, _, text = line.partition(" ")
    return f"<li><b>{escape(word)}</b> {escape(text.strip())}</li>"


def _picture(path: Path) -> str:
    """Return a picture that is part of the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    name = escape(path.stem.replace("_", " "))
    return f'<p><img alt="{name}" style="max-width: 100%" src="data:image/png;base64,{data}"></p>'
