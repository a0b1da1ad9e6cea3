"""The commands about what is known of products: draft it, and tell by it which product a photo shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from logicls import cli_predict, cli_report, cli_train
from logicls.extras.wanted import Asked

console = Console()
knowledge = typer.Typer(help="What is known of products: pages that people edit.", no_args_is_help=True)
OUT = Annotated[Path, typer.Option("--out", help="Folder to write to.")]


@knowledge.command()
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
    from logicls.extras.retriever.draft import draft
    from logicls.report.progress import counting
    from logicls.synth.build import Order

    cli_train.quiet_libraries()
    order, where = Order(spec, data, out, count, seed), _relative(bundle, out) if bundle else ""
    with counting("photos", count, console) as counter:
        drafted = draft(
            order,
            encoder=_relative(Path(encoder), out) if Path(encoder).is_dir() and encoder else encoder,
            bundle=where,
            done=counter.add,
        )
    for name in drafted.without:
        console.print(Text(f"{name}: no photo allowed to make it; its page has none"), soft_wrap=True)
    said = f"{out}: {len(drafted.written)} pages written, {len(drafted.kept)} were there and are as they were"
    console.print(Text(said), soft_wrap=True)


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
    from logicls.extras.retriever.documents import Documents
    from logicls.extras.retriever.folder import read_knowledge
    from logicls.extras.retriever.route import REVIEW, bundles_of, route, write_routes
    from logicls.extras.retriever.sights import sights_of

    cli_train.quiet_libraries()
    known = read_knowledge(knowledge_dir)
    bundles = bundles_of(known) if predict else {}
    there = write_routes(route(Documents(known, sights_of(known)), images, batch=batch, without=out), out)
    for name, photos in there.items():
        console.print(Text(f"{name}: {len(photos)} photos"), soft_wrap=True)
    passed = True
    for name in sorted(set(there) & set(bundles)):
        where = out / name
        plugged = Asked().here(bundles[name])
        spec = cli_predict.predicted(
            bundles[name], images, where, batch=batch, among=frozenset(there[name]), wanted=plugged
        )  # fmt: skip
        passed &= cli_report.told(cli_report.write_files(spec, images, where, knowledge=knowledge_dir), where)
    raise typer.Exit(0 if passed and REVIEW not in there else 1)


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
