"""The parts that every page shares: facts, integrity, environment, commands.

Owns: what a section is, and these. Does not own: scores (``score_sections``), what was
trained (``run_sections``), the images (``data_sections``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tfclassify.pages.content import Command, Fact, Integrity, IntegrityRow
from tfclassify.pages.markup import Markup, join, make_table, tag
from tfclassify.pages.wording import count_of, format_count, title_of_finding

#: Findings listed on a page; the rest is in the index.
LISTED_FINDINGS = 200


@dataclass(frozen=True)
class Section:
    """One part of a page.

    Attributes:
        anchor: Its name in links, one word.
        title: Its heading.
        body: Its content.
    """

    anchor: str
    title: str
    body: Markup

    def render(self) -> Markup:
        """Return the section as HTML."""
        return tag("section", tag("h2", self.title), self.body, id=self.anchor)


def list_facts(facts: Sequence[Fact]) -> Markup:
    """Make a list of names and values."""
    return tag("dl", *(join([tag("dt", fact.name), tag("dd", fact.value)]) for fact in facts))


def make_integrity(integrity: Integrity) -> Section:
    """Make the account of bad, odd and duplicate images."""
    title = "Data integrity"
    checked = count_of(integrity.checked, "image was", "images were")
    if not integrity.rows:
        words = tag("p", f"{checked} checked: all readable, nothing to remark.")
        return Section("integrity", title, words)
    remarks = sum(row.severity != "quarantined" for row in integrity.rows)
    words = tag(
        "p",
        f"{checked} checked: {format_count(integrity.quarantined)} quarantined, which took no "
        f"part, and {count_of(remarks, 'remark')}.",
    )
    counts = Counter((row.severity, row.kind) for row in integrity.rows)
    rows = [
        [title_of_finding(kind), _badge(severity), format_count(number)]
        for (severity, kind), number in sorted(counts.items(), key=lambda item: item[0][0])
    ]
    table = make_table(
        ["Finding", "Outcome", "Number"], rows, numeric=1, caption="Findings by kind"
    )
    bad = [row for row in integrity.rows if row.severity == "quarantined"]
    odd = [row for row in integrity.rows if row.severity != "quarantined"]
    lists = [_list_findings("quarantined", bad, is_open=len(bad) <= 20)]
    lists.append(_list_findings("remarked on", odd, is_open=False))
    return Section("integrity", title, join([words, table, *lists]))


def _badge(severity: str) -> Markup:
    return tag("span", severity, class_="badge bad" if severity == "quarantined" else "badge")


def _list_findings(verb: str, rows: Sequence[IntegrityRow], *, is_open: bool) -> Markup | None:
    if not rows:
        return None
    table = make_table(
        ["Image", "Finding", "Detail"],
        [[row.image, title_of_finding(row.kind), row.detail] for row in rows[:LISTED_FINDINGS]],
        numeric=0,
        caption=f"Images {verb}",
    )
    more = len(rows) - LISTED_FINDINGS
    rest = tag("p", f"And {format_count(more)} more.", class_="quiet") if more > 0 else None
    return tag(
        "details",
        tag("summary", f"Images {verb} ({format_count(len(rows))})"),
        table,
        rest,
        open="" if is_open else None,
    )


def make_repetition(
    commands: Sequence[Command],
    environment: Sequence[Fact],
    recipe_text: str = "",
    title: str = "Do it again",
) -> Section:
    """Make what someone needs to do it again: commands, software, recipe."""
    parts: list[Markup] = []
    for command in commands:
        parts += [tag("h3", command.purpose), tag("pre", tag("code", command.line))]
    if recipe_text:
        recipe = tag("pre", tag("code", recipe_text))
        parts.append(
            tag("details", tag("summary", "The recipe with every default written out"), recipe)
        )
    if environment:
        parts += [tag("h3", "Environment"), list_facts(environment)]
    return Section("repeat", title, join(parts))
