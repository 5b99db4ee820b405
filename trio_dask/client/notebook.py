"""How things look in a notebook: a few lines of HTML, nothing that is loaded, or runs."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


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


class Logs(dict[str, str]):
    """What each server has logged, as text; in a notebook what one wants to see is unfolded."""

    def _repr_html_(self) -> str:
        """Each of them under its name.

        >>> Logs({"Scheduler": "INFO - a < b"})._repr_html_()
        '<details><summary>Scheduler</summary><pre>INFO - a &lt; b</pre></details>'
        """
        return "".join(
            f"<details><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>"
            for name, text in self.items()
        )


def bars_as_html(rows: Iterable[tuple[str, int, int, str, str]]) -> str:
    """A bar for each row of name, how much is done, of how much, and what else there is to say.

    >>> bars_as_html([("inc", 3, 4, "", "1 failed")])
    '<table><tr><td>inc</td><td><progress value="3" max="4"></progress></td><td>3/4</td><td></td><td>1 failed</td></tr></table>'
    """
    lines = [
        f'<tr><td>{escape(name)}</td><td><progress value="{done}" max="{max(1, total)}"></progress></td>'
        f"<td>{done:,}/{total:,}</td><td>{escape(more)}</td><td>{escape(failed)}</td></tr>"
        for name, done, total, more, failed in rows
    ]
    return f"<table>{''.join(lines)}</table>"
