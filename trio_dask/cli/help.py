"""How ``--help`` is laid out: as usual, but on a narrow terminal no option is torn apart, and where
lines end in our source says nothing about where they end on a terminal.
"""

from __future__ import annotations

import inspect
import math
import re
import textwrap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

#: How much of the width the names of options have, if that is enough for each.
_NAMES: Final = 0.35
#: Between two lines of one paragraph; what is set in is code.
_SOFT_END: Final = re.compile(r"(?<=\S)[ ]*\n(?=[^\s])")


def flowing(text: str) -> str:
    r"""The same with paragraphs of one line each, which whoever shows it breaks.

    >>> flowing("One\nparagraph.\n\n    some\n    code")
    'One paragraph.\n\n    some\n    code'
    """
    return _SOFT_END.sub(" ", text)


def examples(commands: str) -> str:
    """The end of a page: commands, one a line, or of several that end with a backslash."""
    return f"Examples:\n\n{textwrap.indent(inspect.cleandoc(commands), '    ')}"


def _flow(described: object) -> None:
    """Have a description, as the parser has made it, be as `flowing` says."""
    from cyclopts.help import InlineText
    from rich.text import Text

    if isinstance(described, InlineText) and isinstance(described.primary_renderable, Text):
        described.primary_renderable = Text(flowing(described.primary_renderable.plain))


class HelpLayout:
    """A formatter of help pages. What it is made of is imported when there is a page to show."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print one panel of a page."""
        from cyclopts.help import ColumnSpec, DefaultFormatter, DescriptionRenderer, NameRenderer

        for entry in panel.entries:
            _flow(entry.description)
        columns = None
        if panel.format == "parameter" and not any(each.required for each in panel.entries):
            longest = max(  # those below the first of an option are set in by two
                (
                    len(name) + 2 * (at > 0)
                    for each in panel.entries
                    for at, name in enumerate(each.names)
                ),
                default=0,
            )
            width = max(math.ceil(console.width * _NAMES), longest)
            names = NameRenderer(max_width=width)
            columns = (
                ColumnSpec(renderer=names, style="cyclopts.name", no_wrap=True, max_width=width),
                ColumnSpec(renderer=DescriptionRenderer(), overflow="fold"),
            )
        DefaultFormatter(column_specs=columns)(console, options, panel)

    def render_usage(self, console: Console, options: ConsoleOptions, usage: object) -> None:
        """Print the line that a page begins with."""
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)

    def render_description(
        self, console: Console, options: ConsoleOptions, description: object
    ) -> None:
        """Print what the command is for."""
        from cyclopts.help import DefaultFormatter

        _flow(description)
        DefaultFormatter().render_description(console, options, description)
