"""One self-contained HTML page: of a run, of an evaluation, of a data source.

Owns: the frame and the order of the parts. Does not own: the parts (``…sections``), the
look (``stylesheet``), saving the page (``workflows``).

A page loads nothing: styles, figures and photos are inside it, and there is no script.
"""

from __future__ import annotations

from collections.abc import Sequence

from tfclassify.pages.content import (
    EvaluationReport,
    InspectReport,
    LabelMistake,
    Mistake,
    RunReport,
    Verdict,
)
from tfclassify.pages.data_sections import make_data, make_samples, make_sizes
from tfclassify.pages.figures import (
    Figures,
    draw_evaluation_figures,
    draw_inspect_figures,
    draw_run_figures,
)
from tfclassify.pages.label_sections import (
    make_additions,
    make_label_classes,
    make_label_sets,
    make_wrong_labels,
)
from tfclassify.pages.markup import Markup, tag
from tfclassify.pages.run_sections import make_hard_images, make_summary, make_training
from tfclassify.pages.score_sections import (
    make_calibration,
    make_classes,
    make_confusion,
    make_headline,
    make_mistakes,
    make_scores,
)
from tfclassify.pages.sections import Section, make_integrity, make_repetition
from tfclassify.pages.stylesheet import STYLESHEET
from tfclassify.pages.wording import count_of, format_seconds
from tfclassify.scoring.multi_label_judgement import MultiLabelJudgement

#: Nothing may be loaded or run, not even if a fault in escaping let something through.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render_page(report: RunReport, figures: Figures | None = None) -> str:
    """Return the page of a run, ``report.html``.

    Args:
        report: What it says.
        figures: From ``draw_run_figures``, where they are drawn already.
    """
    figures = draw_run_figures(report) if figures is None else figures
    sections = [
        make_summary(report),
        make_data(report.data, figures),
        make_training(report, figures),
        *([make_hard_images(report)] if report.hard else []),
    ]
    headline: Markup = _explain_no_score()
    if report.verdict is not None:
        headline = make_headline(report.verdict, report.metric)
        sections += judge_sections(
            report.verdict, figures, report.others, report.data.counts.get("train")
        )
    sections.append(make_integrity(report.integrity))
    sections.append(make_repetition(report.commands, report.environment, report.recipe_text))
    facts = f"Run {report.run} · {report.created} · {format_seconds(report.seconds)}"
    title = f"{report.name} {report.run}"
    head = _make_header(report.name, facts, report.description)
    return _render(title, head, headline, sections, report.version)


def render_evaluation_page(report: EvaluationReport, figures: Figures | None = None) -> str:
    """Return the page of an evaluation on other images.

    Args:
        report: What it says.
        figures: From ``draw_evaluation_figures``, where they are drawn already.
    """
    figures = draw_evaluation_figures(report) if figures is None else figures
    sections = [
        *judge_sections(report.verdict, figures),
        make_data(report.data, figures),
        make_integrity(report.integrity),
        make_repetition(report.commands, report.environment),
    ]
    headline = make_headline(report.verdict, report.metric)
    images = count_of(report.verdict.headline.n, "image")
    lead = f"Judged on {images} from {report.data.source}."
    head = _make_header(f"Evaluation of {report.model}", report.created, lead)
    return _render(f"Evaluation of {report.model}", head, headline, sections, report.version)


def render_inspect_page(report: InspectReport, figures: Figures | None = None) -> str:
    """Return the page of a data source, for ``inspect --html``.

    Args:
        report: What it says.
        figures: From ``draw_inspect_figures``, where they are drawn already.
    """
    figures = draw_inspect_figures(report) if figures is None else figures
    sections = [
        make_data(report.data, figures, report.facts),
        make_samples(report),
        make_sizes(report, figures),
        make_integrity(report.integrity),
    ]
    if report.commands:
        sections.append(make_repetition(report.commands, (), title="What to do next"))
    head = _make_header(report.data.source, report.created, "")
    return _render(f"Images of {report.data.source}", head, None, sections, report.version)


def render_plain_page(
    title: str,
    facts: str,
    lead: str,
    sections: Sequence[Section],
    version: str,
    style: str = "",
    headline: Markup | None = None,
) -> str:
    """Return a page of any sections.

    Args:
        title: Its heading.
        facts: A line beside the heading, such as when it was made.
        lead: A line below it.
        sections: Its parts.
        version: Of this package.
        style: Added to the style sheet.
        headline: What stands above the parts.
    """
    return _render(title, _make_header(title, facts, lead), headline, sections, version, style)


def judge_sections(
    verdict: Verdict,
    figures: Figures,
    others: Sequence[Verdict] = (),
    trained: tuple[int, ...] | None = None,
) -> list[Section]:
    """Make the parts that say how good a model is.

    Args:
        verdict: The scores that headline.
        figures: From ``draw_verdict_figures``.
        others: Scores on other images, for the table of scores.
        trained: Training images of each class, where they are known.
    """
    judgement, scores = verdict.headline, make_scores([*others, verdict])
    if isinstance(judgement, MultiLabelJudgement):
        wrong = [row for row in verdict.mistakes if isinstance(row, LabelMistake)]
        return [
            scores,
            make_label_classes(judgement, figures, trained),
            make_label_sets(judgement, figures),
            make_additions(judgement, figures),
            make_wrong_labels(wrong, judgement),
        ]
    mistakes = [row for row in verdict.mistakes if isinstance(row, Mistake)]
    # The temperature was fitted on plain views, so it is shown on them.
    plain = judgement if isinstance(verdict.judgement, MultiLabelJudgement) else verdict.judgement
    return [
        scores,
        make_classes(judgement, figures, trained),
        make_confusion(judgement, figures),
        make_calibration(plain, figures),
        make_mistakes(mistakes, judgement),
    ]


def _explain_no_score() -> Markup:
    return tag(
        "div",
        tag("p", "No score", class_="score"),
        tag(
            "p",
            "All images were trained on, so none is left to judge the model fairly. Hold some "
            "out with data.validation, or evaluate the run on other images.",
        ),
        class_="hero",
        style="margin-top: 28px",
    )


def _make_header(title: str, facts: str, lead: str) -> Markup:
    return tag(
        "header",
        tag("h1", title),
        tag("p", facts),
        tag("p", lead, class_="lead") if lead else None,
        class_="top",
    )


def _render(
    title: str,
    head: Markup,
    headline: Markup | None,
    sections: Sequence[Section],
    version: str,
    style: str = "",
) -> str:
    links = [
        tag("a", section.anchor.capitalize(), href=f"#{section.anchor}") for section in sections
    ]
    body = tag(
        "div",
        head,
        tag("nav", *links, aria_label="Sections"),
        tag("main", headline, *(section.render() for section in sections)),
        tag("footer", f"Made by tfclassify {version}."),
        class_="sheet",
    )
    document = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            tag("title", title),
            # A style sheet is not HTML: escaping it would break its selectors.
            tag("style", Markup(STYLESHEET + style)),
        ),
        tag("body", body),
        lang="en",
    )
    return f"<!doctype html>\n{document}\n"
