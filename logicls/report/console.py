"""Tables on a terminal: scoreboard, MVTec LOCO scores, faithfulness, agreement study, and training-data summary.

Also the number formats that the report page shares.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from logicls.errors import count_text
from logicls.evaluation import EvaluationMetrics
from logicls.evaluation.agreement.statistics import (
    EFFECTIVENESS,
    FALSE_ALARM,
    MISS,
    AgreementStudy,
    Appraisal,
    DecisionRate,
    Kappa,
    grade_kappa,
    grade_value,
)
from logicls.evaluation.agreement.statistics import study_notes as study_notes
from logicls.evaluation.evidence import Faithfulness, FaithfulnessTest
from logicls.evaluation.intervals import HasInterval, Rate
from logicls.evaluation.limits import MIN_PHOTOS, LimitProposal
from logicls.evaluation.mvtec_loco_scores import LIMITS, LocoMetrics, SproAreas
from logicls.synth.dataset_card import DatasetSummary, build_tables, compute_table_total, format_shares


def print_scoreboard(board: EvaluationMetrics, console: Console) -> None:
    """Print the rates with their confidence intervals, the scores per violation, and the escape-rate claim."""
    rates = Table("", "share", "95 % interval", "count", title=count_text(board.n, "photo"), title_justify="left")
    for name, rate in rate_rows(board):
        rates.add_row(name, format_percent(rate.value), format_interval(rate), f"{rate.count} of {rate.total}")
    for name, value in figure_rows(board):
        rates.add_row(name, format_figure(value), "", "")
    violations = Table("violation", "n", "precision", "recall", "F1", "AUROC")
    for v in board.violations:
        figures = (format_figure(v.precision), format_figure(v.recall), format_figure(v.f1), format_figure(v.auroc))
        violations.add_row(Text(v.name), str(v.n), *figures)
    for column in (*rates.columns[1:], *violations.columns[1:]):
        column.justify = "right"
    console.print(rates)
    if board.violations:
        console.print(violations)
    for note in notes(board):
        console.print(Text(note))


def print_limits(proposals: Sequence[LimitProposal], coverage: float, confidence: float, console: Console) -> None:
    """Print present and proposed limits with the readings that they stand on, and what to be careful about."""
    title = f"Limits that {coverage:.4g} of good photos meet, with {confidence:.3g} confidence"
    table = Table("rule", "key", "limit", "readings", "photos", "proposal", "method", title=title, title_justify="left")
    for proposal in proposals:
        one = proposal.readings
        key = ".".join(str(part) for part in one.path[2:])
        unit = f" {one.limit.unit}" if one.limit.unit else ""
        spread = f"{min(one.values):.4g} to {max(one.values):.4g}{unit}"
        proposed = "" if proposal.proposed is None else f"{proposal.proposed:.10g}{unit}"
        photos = f"{len(one.values):,} of {proposal.required:,}"
        table.add_row(one.constraint, key, f"{one.limit.limit:.10g}{unit}", spread, photos, proposed, proposal.method)
    for column in table.columns[2:6]:
        column.justify = "right"
    console.print(table)
    for note in limit_notes(proposals):
        console.print(Text(note), soft_wrap=True)


def limit_notes(proposals: Sequence[LimitProposal]) -> tuple[str, ...]:
    """Return what limits the value of proposals, and the photos to look at, one line each."""
    notes = []
    for proposal in proposals:
        one = proposal.readings
        name, count, required = f"{one.constraint}, {one.path[-1]}", len(one.values), proposal.required
        if proposal.proposed is None:
            notes.append(f"{name}: no proposal from {count_text(count, 'photo')}; at least {MIN_PHOTOS} are needed")
        elif proposal.method != "distribution-free":
            supposed = {"square root": "square roots", "logarithm": "logarithms"}.get(proposal.method, "readings")
            doubt = "" if proposal.is_normal else ", which they do not look like: treat it as a guess"
            notes.append(f"{name}: too few photos ({count:,} of {required:,}); supposes normal {supposed}{doubt}")
        side = "largest" if one.limit.side == "upper" else "smallest"
        value = one.outermost[0] if one.limit.side == "upper" else -one.outermost[0]
        if (value > one.limit.limit) if one.limit.side == "upper" else (value < one.limit.limit):
            notes.append(f"{name}: the {side} reading, {value:.4g}, breaks the rule: look at {one.outermost[1]!r}")
    return tuple(notes)


def rate_rows(board: EvaluationMetrics) -> tuple[tuple[str, Rate], ...]:
    """Return every rate with its label."""
    return (
        ("escape rate", board.escape_rate),
        ("overkill rate", board.overkill_rate),
        ("review rate", board.review_rate),
        ("exact match", board.exact_match),
        ("exact match, reviews excluded", board.exact_match_without_review),
        ("stated = derived violations", board.agreement),
    )


def figure_rows(board: EvaluationMetrics) -> tuple[tuple[str, float | None], ...]:
    """Return every other score with its label."""
    return ("macro F1", board.macro_f1), ("micro F1", board.micro_f1), ("AUROC", board.auroc)


def notes(board: EvaluationMetrics, max_names: int = 10) -> tuple[str, ...]:
    """Return the escape-rate claim, and notes about photos and violations that could not be matched."""
    sentences = [board.escape_bound]
    if board.unlabelled:
        verdicts, names = count_text(len(board.unlabelled), "verdict"), _join_names(board.unlabelled, max_names)
        sentences.append(f"{verdicts} without ground truth, not evaluated: {names}.")
    if board.unknown_violations:
        names = _join_names(board.unknown_violations, max_names)
        sentences.append(f"Violations in the ground truth that the spec does not declare: {names}.")
    return tuple(sentences)


def format_percent(value: float | None) -> str:
    """Format a share as `12.3 %`; a dash if it is undefined."""
    return "–" if value is None else f"{100 * value:.1f} %"


def format_figure(value: float | None) -> str:
    """Format a score from 0 to 1 with three decimals; a dash if it is undefined."""
    return "–" if value is None else f"{value:.3f}"


def format_interval(rate: HasInterval) -> str:
    """Format the 95 % confidence interval of a rate as `1.2 – 30.8 %`; a dash if it is undefined."""
    if rate.ci95 is None:
        return "–"
    low, high = rate.ci95
    return f"{100 * low:.1f} – {100 * high:.1f} %"


def _join_names(names: tuple[str, ...], max_names: int) -> str:
    return ", ".join(names[:max_names]) + (f" and {len(names) - max_names} more" if len(names) > max_names else "")


def print_dataset_summary(counts: DatasetSummary, console: Console) -> None:
    """Print the counts of training examples in one table, then the defects without an example."""
    table = Table("", "count", "share", title=f"{counts.examples} examples", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for title, _, category_counts in build_tables(counts):
        if category_counts:
            table.add_section()
            table.add_row(Text(title, style="bold"), "", "")
        for name, number, share in format_shares(category_counts, compute_table_total(counts, category_counts)):
            table.add_row(Text(f"  {name}"), number, share)
    console.print(table)
    missing = [name for name, number in counts.violations if not number and name != "none"]
    if missing:
        message = (
            f"No example has {', '.join(missing)}. Create more examples, annotate photos from which it can be made, "
            "or remove the rule."
        )
        console.print(Text(message), soft_wrap=True)


def print_loco(score: LocoMetrics, console: Console) -> None:
    """Print the scores per split and defect, and the number of verdicts that were not evaluated."""
    heads = [f"sPRO to {limit:g}" for limit in LIMITS]
    splits = Table(
        "anomalies", "n", "AUROC", *heads, "fail rate", "pass rate", title="MVTec LOCO", title_justify="left"
    )
    for split in score.splits:
        rates = format_percent(split.fail_rate.value), format_percent(split.escape_rate.value)
        splits.add_row(split.name, str(split.n), format_figure(split.auroc), *_area_cells(split.spro), *rates)
    splits.add_row("mean", "", format_figure(score.mean_auroc), *_area_cells(score.mean_spro), "", "")
    _print_table(splits, console)
    defects = Table("defect", "", "n", "AUROC", "recall", "95 % interval", "fail rate")
    for d in score.defects:
        recall = (format_percent(d.recall.value), format_interval(d.recall)) if d.recall else ("no rule", "")
        defects.add_row(
            Text(d.name), d.split, str(d.n), format_figure(d.auroc), *recall, format_percent(d.fail_rate.value)
        )
    _print_table(defects, console)
    baseline = ", ".join(f"{limit / 2:g}" for limit in LIMITS)
    console.print(Text(f"sPRO rates the boxes cited by violated rules; an uninformative map scores {baseline}."))
    if score.ignored_verdicts:
        console.print(
            Text(f"{count_text(score.ignored_verdicts, 'verdict')} on photos outside the test set, not evaluated.")
        )


def print_faithfulness(result: Faithfulness, console: Console) -> None:
    """Print the three faithfulness tests with their categories, and some of the failed trials."""
    table = Table("faithfulness", "category", "share", "95 % interval", "count", title_justify="left")
    tests: list[tuple[str, FaithfulnessTest]] = [
        ("cited region blanked: answer changes", result.necessity),
        ("only cited region visible: answer unchanged", result.sufficiency),
    ]
    if result.counterfactual:
        tests.append(("one edit violates only its rule", result.counterfactual))
    for name, tested in tests:
        table.add_section()
        for kind, rate in (("all", tested.rate), *tested.rates_by_kind):
            table.add_row(name if kind == "all" else "", kind, *_rate_row(rate))
    _print_table(table, console, left=2)
    for name, tested in tests:
        failed = [trial.description for trial in tested.trials if not trial.has_passed]
        if failed:
            console.print(Text(f"{name} failed on {_join_sentences(failed)}."))
    if result.counterfactual is None:
        console.print(Text("The edit test was skipped: it needs annotated photos of good products (--data)."))


def _rate_row(rate: Rate) -> tuple[str, str, str]:
    return format_percent(rate.value), format_interval(rate), f"{rate.count} of {rate.total}"


def _area_cells(areas: SproAreas) -> list[str]:
    return [format_figure(dict(areas).get(limit)) for limit in LIMITS]


def _print_table(table: Table, console: Console, *, left: int = 1) -> None:
    for column in table.columns[left:]:
        column.justify = "right"
    console.print(table)


def _join_sentences(names: Sequence[str], max_names: int = 5) -> str:
    return "; ".join(names[:max_names]) + (f"; and {len(names) - max_names} more" if len(names) > max_names else "")


StudyCells = tuple[str, str, str, str]
"""Value, confidence interval, count, and AIAG rating."""


def print_study(result: AgreementStudy, console: Console) -> None:
    """Print the appraisal of each inspector, the agreement between inspectors, and notes."""
    title = f"{count_text(result.photos, 'photo')}, {result.defective:,} of them bad"
    table = Table("inspector", "", "value", "95 % interval", "count", "AIAG rating", title=title, title_justify="left")
    for appraisal in result.appraisals:
        table.add_section()
        for number, (name, cells) in enumerate(_appraisal_rows(appraisal).items()):
            table.add_row(Text(appraisal.name if not number else ""), name, *cells)
    if result.between is not None:
        table.add_section()
        table.add_row("all inspectors", "all agree", *_rate_cells(result.between))
        table.add_row("", "kappa", *_kappa_cells(result.between_kappa))
        table.add_row("", "all correct", *_rate_cells(result.between_standard))
        for first, second, kappa in result.pairs:
            table.add_row("", Text(f"kappa {first} – {second}"), *_kappa_cells(kappa))
    for column in table.columns[2:5]:
        column.justify = "right"
    console.print(table)
    console.print(Text(_aiag_guidance()))
    for note in study_notes(result):
        console.print(Text(note))


def _appraisal_rows(appraisal: Appraisal) -> dict[str, StudyCells]:
    without = (
        {"  reviews excluded": _rate_cells(appraisal.effectiveness_without_review)}
        if appraisal.review_rate.count
        else {}
    )
    return {
        "within-inspector agreement": _rate_cells(appraisal.within),
        "kappa within inspector": _kappa_cells(appraisal.within_kappa),
        "effectiveness": _rate_cells(appraisal.effectiveness, EFFECTIVENESS),
        **without,
        "kappa against standard": _kappa_cells(appraisal.kappa),
        "miss rate": _rate_cells(appraisal.miss_rate, MISS),
        "false-alarm rate": _rate_cells(appraisal.false_alarm_rate, FALSE_ALARM),
        "review rate": _rate_cells(appraisal.review_rate),
    }


def _rate_cells(rate: Rate | DecisionRate | None, limits: tuple[float, float] | None = None) -> StudyCells:
    if rate is None:
        return "–", "–", "", ""
    verdict = grade_value(rate.value, limits) if limits else None
    return format_percent(rate.value), format_interval(rate), f"{rate.count} of {rate.total}", verdict or ""


def _kappa_cells(kappa: Kappa | None) -> StudyCells:
    ci95 = kappa.ci95 if kappa else None
    ci_text = f"{ci95[0]:.3f} – {ci95[1]:.3f}" if ci95 else "–"
    return format_figure(kappa.value if kappa else None), ci_text, "", grade_kappa(kappa)


def _aiag_guidance() -> str:
    limits = (
        ("effectiveness at least", EFFECTIVENESS),
        ("misses at most", MISS),
        ("false alarms at most", FALSE_ALARM),
    )
    criteria = ", ".join(f"{name} {100 * good:g} % (marginal: {100 * fair:g} %)" for name, (good, fair) in limits)
    return f"AIAG criteria: {criteria}. They do not replace an estimate of the cost of a miss."
