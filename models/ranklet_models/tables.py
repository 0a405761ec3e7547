"""Plain tables for a terminal: no colour, numbers right, text left."""

from collections.abc import Sequence


def table(title: str, head: list[str], rows: list[list[str]], notes: Sequence[str] = ()) -> str:
    """A titled table; the first column is text, the others are aligned right."""
    width = [max(len(str(r[i])) for r in [head, *rows]) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        first = str(cells[0]).ljust(width[0])
        return "  " + "  ".join([first, *(str(c).rjust(w) for c, w in zip(cells[1:], width[1:]))]).rstrip()

    rule = "  " + "  ".join("-" * w for w in width)
    return "\n".join([title, line(head), rule, *map(line, rows), *(f"  {n}" for n in notes)])


def span(low: float, high: float, signed: bool = False) -> str:
    """An interval as text."""
    return f"[{low:+.4f}, {high:+.4f}]" if signed else f"[{low:.4f}, {high:.4f}]"
