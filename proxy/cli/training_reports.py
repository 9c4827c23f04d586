"""Reports on training files, as `farebox finetune` writes them: problems with lines, figures with doubts."""

from collections import Counter
from typing import Any

import typer

from billing.training_tallies import LISTED_CEILING, Report, problems_shown, severity
from proxy.cli.listing import Format, show
from proxy.moderating import Flagged


def show_check(
    file: str,
    model: str | None,
    report: Report,
    flagged: list[Flagged] | None,
    limit: int,
    form: Format,
    endings: tuple[str, ...] = (),
) -> None:
    """Write the report of a check. A table has the first `limit` problems, errors before warnings, and sums; JSON is
    one object, CSV all problems that are listed. `flagged` is None where moderation was not asked; `endings` says what
    of training the model ends, and when."""
    problems = problems_shown(report)
    flags = [
        {
            "line": one.line,
            "severity": "flagged",
            "kind": ", ".join(one.categories),
            "message": f"score {one.score:.3g}",
        }
        for one in flagged or ()
    ]
    if form is not Format.JSON:
        first = (
            sorted(problems, key=lambda row: row["severity"] != "error")[:limit] if form is Format.TABLE else problems
        )
        title = f"{file}: {report.form.value}, {report.examples:,} examples"
        show(
            [*first, *flags],
            ("line", "severity", "kind", "message"),
            form,
            empty=f"{title}: nothing is wrong.",
            title=title,
        )
        if form is Format.TABLE:
            _say_in_all(report, flagged, report.errors + report.remarks - len(first))
            for ending in endings:
                typer.echo(f"* {ending}")
        return
    by_category = Counter(category for one in flagged or () for category in one.categories)
    answer = {
        "file": file,
        "model": model,
        "format": report.form.value,
        "bytes": report.bytes,
        "examples": report.examples,
        "errors": report.errors,
        "warnings": report.remarks,
        "kinds": [
            {
                "kind": kind.kind,
                "severity": severity(kind.serious),
                "count": kind.count,
                "first_line": kind.line,
                "message": kind.text,
            }
            for kind in report.kinds
        ],
        "endings": list(endings),
        "problems": problems,
        "problems_listed_at_most": LISTED_CEILING,
        "flagged": None
        if flagged is None
        else [{"line": f.line, "categories": f.categories, "score": f.score} for f in flagged],
        "flagged_by_category": None if flagged is None else dict(by_category.most_common()),
    }
    show([answer], (), form, empty="")


def _say_in_all(report: Report, flagged: list[Flagged] | None, more: int) -> None:
    if more > 0:
        rows = [
            {
                "count": kind.count,
                "severity": severity(kind.serious),
                "kind": kind.kind,
                "first_line": kind.line,
                "first_message": kind.text,
            }
            for kind in report.kinds
        ]
        typer.echo()
        show(rows, tuple(rows[0]), Format.TABLE, empty="", title=f"In all ({more:,} more are not listed)")
    typer.echo(f"{_counted(report.errors, 'error')}, {_counted(report.remarks, 'warning')}.", nl=flagged is None)
    if flagged is not None:
        by = Counter(category for one in flagged for category in one.categories)
        told = ", ".join(f"{category} {count:,}" for category, count in by.most_common())
        typer.echo(f" {_counted(len(flagged), 'example')} likely to be blocked{f': {told}' if told else ''}.")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


_FIGURES = (
    "model", "method", "examples", "tokens", "epochs", "billable_tokens", "price_usd_per_mtok", "price_usd_per_hour",
    "cost_usd_per_epoch", "cost_usd",
)  # fmt: skip


def show_estimate(answer: dict[str, Any], form: Format) -> None:
    """Write an estimate. JSON is the one object that the API answers; a table says in words what goes with it."""
    columns = [name for name in _FIGURES if answer[name] is not None or name in ("cost_usd", "price_usd_per_mtok")]
    show([answer], columns, form, empty="")
    if form is not Format.TABLE:
        return
    between = answer["uncertainty"]
    if between["cost_usd"]:
        (least, most), (low, high) = between["billable_tokens"], between["cost_usd"]
        typer.echo(f"Between {least:,} and {most:,} tokens: ${low} to ${high}.")
    if answer["inference"]:
        typer.echo()
        columns = ["model", "tier", "input_usd_per_mtok", "cached_input_usd_per_mtok", "output_usd_per_mtok"]
        show(answer["inference"], columns, form, empty="", title="Calls afterwards, and to the base")
    for warning in answer["warnings"]:
        typer.echo(f"* {warning}")
