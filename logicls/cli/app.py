"""Command line: assembles the commands.

Commands import what they need when they run, so that `logicls --help` loads neither pydantic nor numpy, and
`logicls check` does not load torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import typer

from logicls.cli.demo import demo
from logicls.cli.environment import doctor, init
from logicls.cli.evaluate import evaluate, study
from logicls.cli.options import AliasedCommand
from logicls.cli.plugins import expert_app, knowledge_app, route, second_look
from logicls.cli.predict import predict
from logicls.cli.report import replay, report
from logicls.cli.rules import bundle_app, judge, limits
from logicls.cli.serve import serve
from logicls.cli.spec import check, explain, infer, schema
from logicls.cli.synth import synth
from logicls.cli.threshold import threshold
from logicls.cli.train import base, train
from logicls.diagnostics.console import handle_errors

app = typer.Typer(
    help="Visual inspection by rules: find out for each photo of a product which rules it violates, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
PANELS: Mapping[str, tuple[Callable[..., None], ...]] = {
    "Get started": (demo, init, doctor),
    "Rules": (infer, check, explain, limits, schema),
    "Training": (synth, train, base),
    "Inspection": (predict, serve, judge, report, replay),
    "Evaluation": (evaluate, threshold, study),
}
"""Panel of the help → its commands, in order."""
PLUGIN_PANEL = "Plug-ins"
NAMES: Mapping[Callable[..., None], str] = {evaluate: "eval"}
"""Names of commands that differ from the function's name."""


def _assemble() -> None:
    for panel, commands in PANELS.items():
        for command in commands:
            app.command(name=NAMES.get(command), cls=AliasedCommand, rich_help_panel=panel)(command)
    app.add_typer(bundle_app, name="bundle", rich_help_panel="Inspection")
    app.add_typer(expert_app, name="expert", rich_help_panel=PLUGIN_PANEL)
    app.add_typer(knowledge_app, name="knowledge", rich_help_panel=PLUGIN_PANEL)
    for command in (route, second_look):
        app.command(cls=AliasedCommand, rich_help_panel=PLUGIN_PANEL)(command)


_assemble()


def main() -> None:
    """Run the command line. User errors are printed without a traceback and give exit code 2."""
    with handle_errors():
        app()
