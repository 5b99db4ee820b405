"""How clients, clusters and futures look in a notebook: a few lines, nothing that is loaded."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_html(title: str, facts: Mapping[str, object], link: str = "") -> str:
    """A title and a table of what is known; facts that are empty are left out.

    >>> as_html("Client", {"State": "open", "Nothing": ""})
    '<div><b>Client</b><table><tr><th style="text-align:left">State</th><td style="text-align:left">open</td></tr></table></div>'
    """
    left = 'style="text-align:left"'
    rows = [
        f"<tr><th {left}>{escape(name)}</th><td {left}>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
        if value not in ("", None)
    ]
    if link.startswith(("http://", "https://")):
        place = escape(link)
        anchor = f'<a href="{place}" target="_blank" rel="noopener">{place}</a>'
        rows.append(f"<tr><th {left}>Dashboard</th><td {left}>{anchor}</td></tr>")
    return f"<div><b>{escape(title)}</b><table>{''.join(rows)}</table></div>"
