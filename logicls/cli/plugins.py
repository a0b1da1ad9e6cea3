"""The commands about what is known of products: draft it, and tell by it which product a photo shows.

The commands about experts: expert fit.

The command that measures reasoners on photos whose truth is known: is a second look worth it here?
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from logicls.cli import predict as cli_predict
from logicls.cli import report as cli_report
from logicls.cli import train as cli_train
from logicls.errors import DataError, Problem, relative
from logicls.plugins.selection import PluginOptions

if TYPE_CHECKING:
    from logicls.models.bundle import Bundle
    from logicls.plugins.reasoning.evaluation import ReasonerTrial
    from logicls.plugins.settings import ExpertSettings

console = Console()
expert_app = typer.Typer(help="Experts see defects that no rule names.", no_args_is_help=True)


@expert_app.callback()
def expert() -> None:
    """Experts see defects that no rule names."""


@expert_app.command()
def fit(
    bundle: Annotated[Path, typer.Argument(help="What `logicls train` wrote.")],
    data: Annotated[Path, typer.Option("--data", help="Dataset of good photos: annotations.json and images/.")],
    kind: Annotated[str, typer.Option(help="patches, prototypes, texts or priors.")] = "patches",
    encoder: Annotated[str, typer.Option(help="For texts and priors: a CLIP-type model by its name or folder.")] = "",
    patches: Annotated[int, typer.Option(help="Patches of a photo: more see smaller flaws, more slowly.")] = 5120,
    coreset_ratio: Annotated[float, typer.Option(help="Of the patches that is remembered.")] = 0.5,
    neighbourhood: Annotated[
        int, typer.Option(help="Compare with what good photos have within so many cells; -1: anywhere.")
    ] = 3,
    overkill: Annotated[float, typer.Option(help="Share of good photos that may be called flawed.")] = 0.01,
    steps: Annotated[int, typer.Option(help="In which prototypes and prior tokens are learned.")] = 400,
    seed: Annotated[int, typer.Option(help="Draws what is remembered, and made flaws.")] = 0,
) -> None:
    """Fit an expert to photos of good products; from then on the bundle looks for structural defects as well."""
    from logicls.predict.self_test import open_bundle

    settings = parse_expert_settings(kind=kind, encoder=encoder, cells=patches, share=coreset_ratio, reach=neighbourhood, overkill=overkill,
                           steps=steps, seed=seed)  # fmt: skip
    cli_train.silence_progress_bars()
    fit_with_progress(open_bundle(bundle), data, settings)


def parse_expert_settings(**options: object) -> ExpertSettings:
    """Those of options. Raises `DataError` (LC724)."""
    from pydantic import ValidationError

    from logicls.plugins.settings import ExpertSettings

    try:
        return ExpertSettings.model_validate(options)
    except ValidationError as error:
        problems = [
            Problem(
                "LC724",
                " ".join(
                    (*(f"--{name} {error_['input']}:" for name in error_["loc"]), f"{_lower_first(error_['msg'])}.")
                ),
            )
            for error_ in error.errors()
        ]
        raise DataError(problems) from error


def _lower_first(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def fit_with_progress(bundle: Bundle, data: Path, settings: ExpertSettings) -> None:
    """Fit, progress on the screen."""
    from logicls.plugins.anomaly.fit import fit_expert
    from logicls.report.progress import show_stages

    with show_stages(console) as begin:
        bar = fit_expert(bundle, data, settings, start_progress=lambda total: begin("photos", total).add)
    console.print(f"{bundle.path}: expert {settings.kind}, {bar.guarantee}", soft_wrap=True)


knowledge_app = typer.Typer(help="What is known of products: pages that people edit.", no_args_is_help=True)
OUT = Annotated[Path, typer.Option("--out", help="Folder to write to.")]


@knowledge_app.command()
def build(
    spec: Annotated[Path, typer.Argument(help="Spec, a YAML file.")],
    data: Annotated[Path, typer.Option("--data", help="Dataset of good photos: annotations.json and images/.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of knowledge, of this product and others.")],
    bundle: Annotated[Path | None, typer.Option("--bundle", help="The product's bundle, for `logicls route`.")] = None,
    encoder: Annotated[
        str, typer.Option(help="What photos are compared by: base, a nano bundle, or a dual encoder's name or folder.")
    ] = "",
    count: Annotated[int, typer.Option(min=8, help="Made examples to look at beside the good photos.")] = 64,
    seed: Annotated[int, typer.Option(help="The same seed makes the same pages.")] = 0,
) -> None:
    """Draft what is known of a product: its rules, a reference of each variant, a page of each defect."""
    from logicls.plugins.retrieval.drafting import draft_knowledge
    from logicls.report.progress import show_progress
    from logicls.synth.pipeline import SynthesisRequest

    cli_train.silence_progress_bars()
    order, bundle_path = SynthesisRequest(spec, data, out, count, seed), _relative(bundle, out) if bundle else ""
    with show_progress("photos", count, console) as counter:
        result = draft_knowledge(
            order,
            encoder=_relative(Path(encoder), out) if Path(encoder).is_dir() and encoder else encoder,
            bundle=bundle_path,
            on_progress=counter.add,
        )
    for name in result.without_photo:
        console.print(Text(f"{name}: no photo allowed to make it; its page has none"), soft_wrap=True)
    message = f"{out}: {len(result.written)} pages written, {len(result.existing)} were there and are as they were"
    console.print(Text(message), soft_wrap=True)


def route(
    knowledge_dir: Annotated[Path, typer.Argument(metavar="KNOWLEDGE", help="Folder of what is known of products.")],
    images: Annotated[Path, typer.Argument(help="Folder of photos of several products.")],
    out: OUT,
    predict: Annotated[
        bool, typer.Option("--predict", help="Also verdicts, by each product's bundle, in a folder each.")
    ] = False,
    batch: Annotated[int, typer.Option(min=1, help="Photos at a time.")] = 16,
) -> None:
    """Tell which product each photo shows. Exit code 1 where a person has to say, or a photo does not pass."""
    from logicls.plugins.retrieval.knowledge import read_knowledge
    from logicls.plugins.retrieval.product_matcher import DocumentRetriever, build_index
    from logicls.plugins.retrieval.routing import REVIEW, find_bundles, route_photos, write_routes

    cli_train.silence_progress_bars()
    knowledge = read_knowledge(knowledge_dir)
    bundles = find_bundles(knowledge) if predict else {}
    photos_by_product = write_routes(
        route_photos(DocumentRetriever(knowledge, build_index(knowledge)), images, batch=batch, exclude=out), out
    )
    for name, photos in photos_by_product.items():
        console.print(Text(f"{name}: {len(photos)} photos"), soft_wrap=True)
    all_pass = True
    for name in sorted(set(photos_by_product) & set(bundles)):
        folder = out / name
        plugins = PluginOptions().resolve(bundles[name])
        spec = cli_predict.predict_with_progress(
            bundles[name], images, folder, batch=batch, subset=frozenset(photos_by_product[name]), selection=plugins
        )  # fmt: skip
        all_pass &= cli_report.print_outcomes(
            cli_report.write_files(spec, images, folder, knowledge=knowledge_dir), folder
        )
    raise typer.Exit(0 if all_pass and REVIEW not in photos_by_product else 1)


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


TRIAL_COLUMNS = ("reasoner", "seed", "looked", "review", "equal", "escapes", "overkill", "exact", "seconds")


def second_look(
    bundle: Annotated[Path, typer.Argument(help="What `logicls train` wrote.")],
    images: Annotated[Path, typer.Argument(help="Folder of photos.")],
    truth: Annotated[Path, typer.Option("--truth", help="truth.csv of these photos.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    reasoner: Annotated[
        list[str] | None, typer.Option("--reasoner", help="Name of one; repeatable, all of them if left out.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of what is drawn by chance.")] = 3,
    min_entropy: Annotated[
        float, typer.Option("--open", min=0, help="Look again from this entropy of a slot on, in bits; 1.01: never.")
    ] = 1.01,
) -> None:
    """Measure second looks: which photos get one, what it changes at equal mistakes, what it costs."""
    from logicls.evaluation.ground_truth import read_truth
    from logicls.plugins.reasoning.evaluation import run_trial, write_trial
    from logicls.plugins.registry import FACTORIES, load_factory
    from logicls.predict.input.listing import list_photos, escape_name
    from logicls.predict.self_test import open_bundle

    cli_train.silence_progress_bars()
    names = reasoner or list(FACTORIES["reasoner"])
    for name in names:
        load_factory("reasoner", name)
    truth_table = read_truth(truth)
    if not any(escape_name(name) in truth_table for name in list_photos(images)):
        message = f"none of its {len(truth_table)} photos is in {images}."
        raise DataError(
            Problem("LC741", message, relative(truth), advice="Paths are relative to the folder of photos.")
        )
    trial = run_trial(
        open_bundle(bundle), images, truth_table, names, seeds=seeds, min_entropy=min_entropy, report=console.print
    )
    _print(trial)
    console.print(str(write_trial(trial, out)), soft_wrap=True)


def _print(trial: ReasonerTrial) -> None:
    table = Table(*TRIAL_COLUMNS, box=None)
    for row in trial.to_rows():
        table.add_row(*(f"{v:.3f}" if isinstance(v := row[name], float) else str(v) for name in TRIAL_COLUMNS))
    console.print(table)
