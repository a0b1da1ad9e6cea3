"""Commands about plug-ins: `expert fit`, `knowledge build`, `route`, `second-look`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from logicls.cli.environment import silence_progress_bars
from logicls.cli.options import (
    BATCH,
    BUNDLE_ARGUMENT,
    DATA,
    IMAGES_ARGUMENT,
    OUT,
    SPEC,
    TRUTH,
    AliasedCommand,
    console,
    print_line,
)
from logicls.cli.predict import predict_with_progress
from logicls.cli.report import print_outcomes, write_files
from logicls.errors import DataError, Problem, count_text, relative_path

if TYPE_CHECKING:
    from logicls.models.bundle import Bundle
    from logicls.plugins.reasoning.evaluation import ReasonerTrial
    from logicls.plugins.settings import ExpertSettings

EXPERT_HELP = "Train an anomaly detector (expert) for defects that no rule covers, such as scratches and dents."
KNOWLEDGE_HELP = "Build a knowledge base: Markdown pages about products and defects, for people to edit."
expert_app = typer.Typer(help=EXPERT_HELP, no_args_is_help=True)
knowledge_app = typer.Typer(help=KNOWLEDGE_HELP, no_args_is_help=True)
TRIAL_COLUMNS = {
    "reasoner": "reasoner", "seed": "seed", "reinspected": "second looks", "amended": "changed",
    "review": "review rate", "review_at_equal_errors": "at equal errors", "escapes": "escapes",
    "overkill": "overkill", "exact": "exact", "seconds": "seconds",
}  # fmt: skip
"""Metric of a trial → column title."""


@expert_app.callback()
def expert() -> None:
    """Keep `fit` a subcommand: Typer would otherwise merge a single command into its group."""


@expert_app.command(cls=AliasedCommand)
def fit(
    bundle: BUNDLE_ARGUMENT,
    data: DATA,
    kind: Annotated[
        str,
        typer.Option(
            help="patches: memory bank of normal patches (recommended); prototypes: learned prototypes; texts: "
            "comparison with texts; priors: prior tokens for the model."
        ),
    ] = "patches",
    encoder: Annotated[
        str, typer.Option(help="For texts and priors: a CLIP-type model by its Hugging Face name or folder.")
    ] = "",
    patches: Annotated[
        int, typer.Option(help="Patches per photo; more patches detect smaller flaws and take longer.")
    ] = 5120,
    coreset_ratio: Annotated[
        float, typer.Option(help="For patches: fraction of the good photos' patches in the memory bank.")
    ] = 0.5,
    neighbourhood: Annotated[
        int,
        typer.Option(
            help="For patches: largest distance between compared patches, in patches; -1: any, for products without "
            "a fixed position."
        ),
    ] = 3,
    overkill: Annotated[
        float, typer.Option(help="Target overkill rate: share of good photos that may be reported.")
    ] = 0.01,
    steps: Annotated[int, typer.Option(help="For prototypes and priors: training steps.")] = 400,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Train an expert on photos of good products and add it to the bundle, which then uses it by default."""
    from logicls.predict.self_test import open_bundle

    settings = parse_expert_settings(
        kind=kind, encoder=encoder, patches=patches, coreset_ratio=coreset_ratio, neighbourhood=neighbourhood,
        overkill=overkill, steps=steps, seed=seed,
    )  # fmt: skip
    silence_progress_bars()
    fit_with_progress(open_bundle(bundle), data, settings)


def parse_expert_settings(**options: object) -> ExpertSettings:
    """Validate the settings of an expert. Raises `DataError` that names the option (LC724)."""
    from pydantic import ValidationError

    from logicls.plugins.settings import ExpertSettings

    try:
        return ExpertSettings.model_validate(options)
    except ValidationError as error:
        problems = []
        for detail in error.errors():
            names = [f"{'--' + str(name).replace('_', '-')} {detail['input']}:" for name in detail["loc"]]
            problems.append(Problem("LC724", " ".join([*names, f"{_lower_first(detail['msg'])}."])))
        raise DataError(problems) from error


def _lower_first(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def fit_with_progress(bundle: Bundle, data: Path, settings: ExpertSettings) -> None:
    """Fit an expert, with progress on the console."""
    from logicls.plugins.anomaly.fit import fit_expert
    from logicls.report.progress import show_stages

    with show_stages(console) as begin_stage:
        threshold = fit_expert(bundle, data, settings, start_progress=lambda total: begin_stage("photos", total).add)
    print_line(f"{bundle.path}: expert {settings.kind}, {threshold.guarantee}")


@knowledge_app.command(cls=AliasedCommand)
def build(
    spec: SPEC,
    data: DATA,
    out: Annotated[Path, typer.Option("--out", help="Folder of the knowledge base; it may contain other products.")],
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Bundle of the product, for `logicls route --predict`.")
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="Encoder that compares photos: `base`, a bundle of the built-in model, or a CLIP-type model. "
            "Default: base."
        ),
    ] = "",
    count: Annotated[
        int, typer.Option(min=8, help="Synthesised examples used as references, in addition to the good photos.")
    ] = 64,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Draft a product's pages: its rules, a reference photo per variant, and a page per defect.

    Existing pages are not changed.
    """
    from logicls.plugins.retrieval.drafting import draft_knowledge
    from logicls.report.progress import show_progress
    from logicls.synth.pipeline import SynthesisRequest

    silence_progress_bars()
    with show_progress("photos", count, console) as counter:
        result = draft_knowledge(
            SynthesisRequest(spec, data, out, count, seed),
            encoder=_relative(Path(encoder), out) if encoder and Path(encoder).is_dir() else encoder,
            bundle=_relative(bundle, out) if bundle else "",
            on_progress=counter.add,
        )
    for name in result.without_photo:
        print_line(f"{name}: page without a photo, because the defect could not be synthesised")
    print_line(f"{out}: {count_text(len(result.written), 'page')} written, {len(result.existing):,} unchanged")


def route(
    knowledge_dir: Annotated[
        Path, typer.Argument(metavar="KNOWLEDGE", help="Knowledge base, written by `logicls knowledge build`.")
    ],
    images: IMAGES_ARGUMENT,
    out: OUT,
    predict: Annotated[
        bool, typer.Option("--predict", help="Also inspect the photos with the bundle of their product.")
    ] = False,
    batch: BATCH = 16,
) -> None:
    """Recognise which product each photo shows, for a folder of photos of several products.

    Exit code 1 if a photo needs review or does not pass.
    """
    from logicls.plugins.retrieval.knowledge import read_knowledge
    from logicls.plugins.retrieval.product_matcher import DocumentRetriever, build_index
    from logicls.plugins.retrieval.routing import REVIEW, find_bundles, route_photos, write_routes
    from logicls.plugins.selection import PluginOptions

    silence_progress_bars()
    knowledge = read_knowledge(knowledge_dir)
    bundles = find_bundles(knowledge) if predict else {}
    retriever = DocumentRetriever(knowledge, build_index(knowledge))
    photos_by_product = write_routes(route_photos(retriever, images, batch=batch, exclude=out), out)
    for name, photos in photos_by_product.items():
        print_line(f"{name}: {count_text(len(photos), 'photo')}")
    all_pass = True
    for name in sorted(set(photos_by_product) & set(bundles)):
        bundle, folder = bundles[name], out / name
        subset, selection = frozenset(photos_by_product[name]), PluginOptions().resolve(bundle)
        spec = predict_with_progress(bundle, images, folder, batch=batch, subset=subset, selection=selection)
        all_pass &= print_outcomes(write_files(spec, images, folder, knowledge=knowledge_dir), folder)
    raise typer.Exit(0 if all_pass and REVIEW not in photos_by_product else 1)


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def second_look(
    bundle: BUNDLE_ARGUMENT,
    images: IMAGES_ARGUMENT,
    truth: TRUTH,
    out: OUT,
    reasoner: Annotated[
        list[str] | None, typer.Option("--reasoner", help="Reasoner to evaluate; repeatable. Default: all.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of random seeds.")] = 3,
    min_entropy: Annotated[
        float,
        typer.Option(
            "--min-entropy", min=0,
            help="Entropy of an answer, in bits, from which a photo gets a second look; above 1: only reviews do.",
        ),
    ] = 1.01,
) -> None:  # fmt: skip
    """Evaluate second looks on photos with ground truth: fewer reviews at equal error rates, and the time they take."""
    from logicls.data.ground_truth import read_truth
    from logicls.plugins.reasoning.evaluation import run_trial, write_trial
    from logicls.plugins.registry import FACTORIES, load_factory
    from logicls.predict.input.listing import escape_name, list_photos
    from logicls.predict.self_test import open_bundle

    silence_progress_bars()
    names = reasoner or list(FACTORIES["reasoner"])
    for name in names:
        load_factory("reasoner", name)
    table = read_truth(truth)
    if not any(escape_name(name) in table for name in list_photos(images)):
        message = f"none of its {count_text(len(table), 'photo')} is in {images}."
        advice = "Paths are relative to the folder of photos."
        raise DataError(Problem("LC741", message, relative_path(truth), advice=advice))
    trial = run_trial(
        open_bundle(bundle), images, table, names, seeds=seeds, min_entropy=min_entropy, report=console.print
    )
    _print_trial(trial)
    print_line(str(write_trial(trial, out)))


def _print_trial(trial: ReasonerTrial) -> None:
    table = Table(*TRIAL_COLUMNS.values(), box=None)
    for row in trial.to_rows():
        table.add_row(*(f"{v:.3f}" if isinstance(v := row[name], float) else str(v) for name in TRIAL_COLUMNS))
    console.print(table)
