"""Options about remote inspection."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from logicls.answer_format import PromptMode
from logicls.cli.remote import RemoteExecution
from logicls.errors import LogiClsError
from logicls.plugins.selection import PluginSelection

_fixtures = runpy.run_path(str(Path(__file__).parents[1] / "predict" / "conftest.py"))
_one_thread, photos, make_bundle, bundle = (
    _fixtures[name] for name in ("_one_thread", "photos", "make_bundle", "bundle")
)  # fmt: skip


@pytest.mark.parametrize(
    ("options", "watch", "message"),
    [
        (RemoteExecution(endpoint="http://a", ray="auto"), False, "--endpoint and --ray exclude each other."),
        (RemoteExecution(ray="auto"), True, "--ray and --watch exclude each other."),
        (RemoteExecution(endpoint="http://a"), True, "--endpoint and --watch exclude each other."),
        (RemoteExecution(answer_format=PromptMode.json), False, "--answer-format requires --endpoint."),
    ],
)
def test_incompatible_options_are_errors(options, watch, message):
    """Options that contradict each other, or would have no effect, are rejected."""
    with pytest.raises(LogiClsError, match=f"LC680 {message}"):
        options.check(watch=watch)


def test_default_plugins_are_dropped_for_an_endpoint(capsys):
    """An endpoint cannot use plug-ins; the message says so. Otherwise the selection stays."""
    selection = PluginSelection("patches")

    assert RemoteExecution(endpoint="http://a").drop_plugins(selection) == PluginSelection()
    assert "--endpoint does not support plug-ins" in capsys.readouterr().out
    assert RemoteExecution().drop_plugins(selection) is selection


def test_without_options_the_bundle_is_opened_here(bundle, tmp_path):
    """By default, the bundle's own model inspects the photos in this process."""
    RemoteExecution().check(watch=True)

    with RemoteExecution().open_bundle(bundle.path, tmp_path, 1, 0) as (opened, inspect):
        assert (opened.id, inspect) == (bundle.id, None)
