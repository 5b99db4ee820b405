"""A report of what was recorded: one page that needs nothing else, and no script. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from trio_dask.dashboard.plain import plain
from trio_dask.dashboard.timeline import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trio_dask.dashboard.recording import Recorded

#: Blocks that are drawn, the longest; more than a page can show.
_BLOCKS_MAX: Final = 6_000
_LANES_MAX: Final = 64
_ROWS_MAX: Final = 200
_FAILURES_MAX: Final = 50
_WIDE: Final = 1000
#: Of functions, as on the dashboard's pages.
LIGHT: Final = (
    "#559bd0", "#7d2c04", "#006e4b", "#662d80", "#2b72c1", "#8b8b0f", "#5043ad", "#587214",
    "#b38e60", "#6d8c8c",
)  # fmt: skip
DARK: Final = (
    "#2cc1fc", "#b78968", "#9fe9d8", "#dba1b4", "#2091ff", "#e6df33", "#9a67c7", "#b6d08b",
    "#c96100", "#7a8da4",
)  # fmt: skip
_COLOURS: Final = (
    ":root{" + ";".join(f"--c{at}:{each}" for at, each in enumerate(LIGHT)) + "}"
    "@media(prefers-color-scheme:dark){:root{"
    + ";".join(f"--c{at}:{each}" for at, each in enumerate(DARK)) + "}}"
)  # fmt: skip
#: Errors are told apart by more than a colour.
_STRIPES: Final = (
    "<defs><pattern id=failed width=6 height=6 patternUnits=userSpaceOnUse patternTransform=rotate(45)>"
    '<path d="M0 0H4V6H0Z" fill="var(--bad)"/></pattern></defs>'
)
_STRIPED_PX: Final = 4.0
_STYLE: Final = """
:root{color-scheme:light dark;--paper:#f4f5f3;--card:#fff;--text:#1c2326;--dim:#5d6a70;--line:#dfe4e3;--accent:#0a7d8c;--bad:#c2410c}
@media(prefers-color-scheme:dark){:root{--paper:#111517;--card:#191f22;--text:#e6ecee;--dim:#97a5ab;--line:#2b3438;--accent:#4cc3d0;--bad:#ff8f5a}}
*{box-sizing:border-box}body{margin:0 auto;padding:20px;max-width:1400px;background:var(--paper);color:var(--text);font:14px/1.45 system-ui,sans-serif}
h1{font-size:22px;margin:0 0 2px}h2{font-size:15px;margin:22px 0 8px}p{margin:0 0 8px}.dim{color:var(--dim)}
section{background:var(--card);border:1px solid var(--line);border-radius:11px;padding:14px 16px;overflow-x:auto}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:14px 0}.tiles b{display:block;font-size:23px}
svg{display:block;width:100%;height:auto}.axis{fill:var(--dim);font:11px system-ui}.lane{stroke:var(--line)}.curve{fill:none;stroke:var(--accent);stroke-width:1.6}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{text-align:left;padding:5px 12px 5px 0;border-bottom:1px solid var(--line);font-weight:400;white-space:nowrap}
thead th{color:var(--dim)}.num{text-align:right}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--paper);padding:10px;border-radius:8px}.bad{color:var(--bad)}
i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:7px}details{margin:6px 0}summary{cursor:pointer}
"""


def report_page(recorded: Recorded, *, title: str, written: str) -> str:
    """The page; `written` says when, for people."""
    mirror = recorded.mirror
    seconds = recorded.ended - recorded.began
    rows = _functions(recorded)
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title><style>{_COLOURS}{_STYLE}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        f"<p class=dim>{_text(mirror.identity.get('address', ''))}, {_text(written)}</p>",
        _tiles(recorded, rows, seconds),
        f"<h2>Task stream</h2><section>{_stream(recorded)}</section>",
        f"<h2>Functions</h2><section>{_function_table(rows)}</section>",
        f"<h2>Tasks a second</h2><section>{_curve(recorded, 1, _count)}</section>",
        f"<h2>Memory of the workers</h2><section>{_curve(recorded, 4, _bytes)}</section>",
        f"<h2>Workers</h2><section>{_worker_table(recorded)}</section>",
        _failures(recorded, seconds),
        _events(recorded, seconds),
        _made_by(recorded),
    ]
    return "\n".join(part for part in parts if part)


def _made_by(recorded: Recorded) -> str:
    version, python = recorded.system.get("version", ""), recorded.system.get("python", "")
    made = f"Made by trio_dask {_text(version)}, Python {_text(python)}."
    return f"<p class=dim>{made}</p></body></html>"


def _functions(recorded: Recorded) -> list[tuple[str, int, int, float, int]]:
    """Name, runs, failures and seconds during the record, and a number for the colour."""
    rows = []
    for number, group in recorded.mirror.groups.items():
        name = group["name"]
        runs, failed, seconds = recorded.before.get(name, (0, 0, 0.0))
        if group["runs"] > runs or group["failures"] > failed:
            values = group["runs"] - runs, group["failures"] - failed, group["seconds"] - seconds
            rows.append((name, *values, number))
    return sorted(rows, key=lambda row: -row[3])


def _tiles(recorded: Recorded, rows: list[tuple[str, int, int, float, int]], seconds: float) -> str:
    runs, failed = sum(row[1] for row in rows), sum(row[2] for row in rows)
    busy = sum(row[3] for row in rows)
    slots = max(1, recorded.mirror.totals.get("slots", 0))
    tiles = {
        "Duration": _time(seconds),
        "Tasks run": _count(runs),
        "Running time": _time(busy),
        "Slots": f"{slots}, {min(100, round(100 * busy / slots / seconds)) if seconds else 0} % busy",
        "Workers": _count(recorded.mirror.totals.get("workers", 0)),
        "Most memory": _bytes(max((point[4] for point in recorded.points), default=0)),
        "Failed": _count(failed),
    }
    cells = (f"<section><span class=dim>{k}</span><b>{v}</b></section>" for k, v in tiles.items())
    return f"<div class=tiles>{''.join(cells)}</div>"


def _stream(recorded: Recorded) -> str:
    """A lane for each slot, a block for each task."""
    blocks = [row for row in recorded.mirror.blocks if row[2] + row[3] >= recorded.began]
    if not blocks:
        return "<p class=dim>No task has ended.</p>"
    lanes = {place: at for at, place in enumerate(sorted({(row[0], row[1]) for row in blocks}))}
    lanes = {place: at for place, at in lanes.items() if at < _LANES_MAX}
    shown = [row for row in blocks if (row[0], row[1]) in lanes]
    note = ""
    if len(shown) > _BLOCKS_MAX:
        note = f"<p class=dim>The longest {_BLOCKS_MAX:,} of {len(shown):,} blocks.</p>"
        shown = sorted(shown, key=lambda row: -row[3])[:_BLOCKS_MAX]
    high = max(4, min(20, 480 // len(lanes)))
    scale = _WIDE / max(recorded.ended - recorded.began, 1e-3)
    names, rects = recorded.mirror.names, []
    for worker, lane, began, seconds, group, count, status, task in shown:
        x = max(0.0, (began - recorded.began) * scale)
        name = names.get(group, "?")
        about = f"{key_of(name, task) or f'{name} × {count:,}'}, {_time(seconds)}"
        about += ("", ", failed", ", stopped")[status]
        wide = max(0.8, seconds * scale)
        colour = _colour(group) if status != 1 else _failed(wide)
        dim = ' opacity=".4"' if status == 2 else ""
        rects.append(
            f'<rect x="{x:.1f}" y="{lanes[worker, lane] * high}" '
            f'width="{wide:.1f}" height="{high - 1}" fill="{colour}"{dim}>'
            f"<title>{_text(about)}</title></rect>"
        )
    height = len(lanes) * high
    return note + _framed(_STRIPES + "".join(rects), height, recorded.ended - recorded.began)


def _colour(group: int) -> str:
    return f"var(--c{(group - 1) % len(LIGHT)})"


def _failed(wide: float) -> str:
    return "url(#failed)" if wide > _STRIPED_PX else "var(--bad)"


def _framed(inside: str, height: int, seconds: float, label: str = "") -> str:
    axis = "".join(
        f'<text class=axis x="{_WIDE * part / 4:.0f}" y="{height + 14}" '
        f'text-anchor="{("start", "middle", "middle", "middle", "end")[part]}">'
        f"{_time(seconds * part / 4)}</text>"
        for part in range(5)
    )
    head = f'<text class=axis x="0" y="11">{_text(label)}</text>' if label else ""
    return f'<svg viewBox="0 0 {_WIDE} {height + 18}" role=img>{inside}{head}{axis}</svg>'


def _curve(recorded: Recorded, column: int, unit: Any) -> str:
    points = recorded.points
    if len(points) < 2:
        return "<p class=dim>Too short.</p>"
    high, most = 140, max(point[column] for point in points) or 1
    scale = _WIDE / max(recorded.ended - recorded.began, 1e-3)
    path = " ".join(
        f"{(point[0] - recorded.began) * scale:.1f},{high - (high - 16) * point[column] / most:.1f}"
        for point in points
    )
    line = f'<polyline class=curve points="{path}"/><path class=lane d="M0 {high}H{_WIDE}"/>'
    return _framed(line, high, recorded.ended - recorded.began, f"at most {unit(most)}")


def _function_table(rows: list[tuple[str, int, int, float, int]]) -> str:
    return _table(
        ("Function", "Runs", "Failed", "In all", "Each"),
        (
            (
                f'<i style="background:{_colour(number)}"></i>{_text(name)}',
                _count(runs), _count(failed), _time(seconds), _time(seconds / runs) if runs else "–",
            )
            for name, runs, failed, seconds, number in rows[:_ROWS_MAX]
        ),
        "No task has run.",
    )  # fmt: skip


def _worker_table(recorded: Recorded) -> str:
    workers = sorted(recorded.mirror.workers.values(), key=lambda each: str(each["name"]))
    return _table(
        ("Worker", "Slots", "Memory", "Limit", "Values"),
        (
            (
                _text(each["name"]), _count(each["slots"]), _bytes(each["memory"] << 20),
                _bytes(each["memory_limit"] << 20), _count(each["held"]),
            )
            for each in workers[:_ROWS_MAX]
        ),
        "None at the end.",
    )  # fmt: skip


def _failures(recorded: Recorded, seconds: float) -> str:
    late = [e for e in recorded.failures if e.get("ago_s") is None or e["ago_s"] <= seconds + 1]
    if not late:
        return ""
    cards = (
        f"<details><summary><b class=bad>{_text(each.get('kind', ''))}</b> in "
        f"{_text(each.get('key', ''))}: {_text(str(each.get('message', ''))[:200])}</summary>"
        f"<pre>{_text(each.get('traceback') or each.get('message', ''))}</pre></details>"
        for each in late[:_FAILURES_MAX]
    )
    return f"<h2>Failures</h2><section>{''.join(cards)}</section>"


def _events(recorded: Recorded, seconds: float) -> str:
    late = [each for each in recorded.events if each["ago_s"] <= seconds + 1]
    rows = (
        (f"{_time(max(0.0, seconds - each['ago_s']))}", _text(each["who"]), _text(each["text"]))
        for each in reversed(late[:_ROWS_MAX])
    )
    table = _table(("After", "Who", "What"), rows, "", numbers=False)
    return f"<h2>What has happened</h2><section>{table}</section>" if late else ""


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], none: str, *, numbers: bool = True
) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        kinds = ("" if not at or not numbers else " class=num" for at in range(len(row)))
        return "".join(
            f"<{tag}{kind}>{each}</{tag}>" for kind, each in zip(kinds, row, strict=True)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    if not body:
        return f"<p class=dim>{none}</p>"
    head = f"<thead><tr>{cells(heads, 'th')}</tr></thead>"
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    return escape(plain(str(value)))


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _bytes(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1000 or unit == "TiB":
            return (
                f"{number:.1f} {unit}"
                if 0 < number < 10 and unit != "B"
                else f"{number:.0f} {unit}"
            )
        number /= 1024
    return ""


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds else "0 s"
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
