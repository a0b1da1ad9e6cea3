"""Verdicts as lines of JSON, of older versions too, and result ids."""

import json
from dataclasses import replace

import pytest

from logicls.errors import DataError
from logicls.plugins.reasoning.reinspection_result import ReinspectionResult, reinspection_of
from logicls.plugins.retrieval.knowledge import documents_of
from logicls.predict.serialization import result_id, verdict_from_json, verdict_to_json
from logicls.records import Answer, Box, Finding, PluginInfo, PluginResult, Verdict

FULL = Verdict(
    "line 2/Ä,1.jpg", "fail", ("gone", "wrong cap"), ("gone",), 0.1 + 0.2, (("gone", 0.9), ("wrong cap", 0.625)),
    (Finding("one-lid", "broken", ("gone",), "1 lid", "0 lid", ("locate:lid",), 1 / 3),),
    (Answer("locate:lid", ("red",), (Box(1.5, 2.0, 3.25, 4.0),), 0.7, False),),
    (), 80, 60, "ab" * 32, "kit", "c0ffee", "7", "t1", 0.025,
)  # fmt: skip
TORN = Verdict("torn.jpg", "review", reasons=("truncated", "no answer"))
GOOD = Verdict("good.jpg", "pass", stated=(), score=0.0)
REINSPECTION = ReinspectionResult("latent", "review", 0.5, (0.5, 0.75), 1, True, "pass", (0.5, 0.25))
PLUGINS = (
    PluginInfo("expert", "patches", "0a1b"),
    PluginInfo("reasoner", "latent", settings=(("tokens", 4.0), ("steps", 20.0))),
)

OLD_RECORD = {
    "photo": "kit_000.jpg", "result": "02d94e726295", "outcome": "review", "violations": ["gone"], "stated": ["gone"],
    "score": 0.75, "scores": [["gone", 0.75]],
    "findings": [
        {"constraint": "one-lid", "status": "broken", "violations": ["gone"], "expected": "1 lid", "found": "0 lid",
         "queries": ["locate:lid"], "confidence": 0.5, "chance": 0.75},
    ],
    "answers": [
        {"query": "locate:lid", "values": [], "boxes": [{"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}],
         "confidence": 0.5, "readable": True, "chances": [0.5, 0.25]},
    ],
    "reasons": ["blurred"], "width": 80, "height": 60, "sha256": "ab", "bundle": "kit", "spec": "c0ffee",
    "version": "7", "thresholds": "t1", "seconds": 0.025, "doubts": ["blurred"],
    "second_look": {"reasoner": "latent", "before": "review", "seconds": 0.5, "rewards": [0.5, 0.75], "kept": 1,
                    "taken": True, "after": "pass", "entropies": [0.5, 0.25]},
    "documents": ["kit/lid", "kit/notes"],
    "plugged": [{"kind": "reasoner", "name": "latent", "knows": "0a1b", "settings": [["tokens", 4.0]]}],
}  # fmt: skip
"""Line of verdicts.jsonl with the old field names."""


@pytest.mark.parametrize("verdict", [FULL, TORN, GOOD])
def test_json_round_trip(verdict):
    """Every field survives, floats to the last bit; nothing stated and nothing readable stay apart."""
    text = json.dumps(verdict_to_json(verdict), allow_nan=False)

    assert verdict_from_json(json.loads(text)) == verdict


def test_plugin_results_round_trip():
    """A plug-in's record survives with the types of its values; its payload is an object in JSON."""
    verdict = replace(FULL, plugin_results=(REINSPECTION.to_plugin_result(),), plugins=PLUGINS)

    record = json.loads(json.dumps(verdict_to_json(verdict)))

    assert record["plugin_results"][0]["payload"]["rewards"] == [0.5, 0.75]
    assert verdict_from_json(record) == verdict
    assert reinspection_of(verdict_from_json(record)) == REINSPECTION


def test_old_records_are_read():
    """Renamed fields have their values; fields of plug-ins are plug-in results; the result id is the same."""
    verdict = verdict_from_json(OLD_RECORD)

    assert verdict == Verdict(
        "kit_000.jpg", "review", ("gone",), ("gone",), 0.75, (("gone", 0.75),),
        (Finding("one-lid", "broken", ("gone",), "1 lid", "0 lid", ("locate:lid",), 0.5, 0.75),),
        (Answer("locate:lid", (), (Box(1.0, 2.0, 3.0, 4.0),), 0.5, True, (0.5, 0.25)),),
        ("blurred",), 80, 60, "ab", "kit", "c0ffee", "7", "t1", 0.025, ("blurred",),
        (replace(REINSPECTION, seconds=0.5).to_plugin_result(),
         PluginResult("retriever", "documents", (("documents", ("kit/lid", "kit/notes")),))),
        (PluginInfo("reasoner", "latent", "0a1b", (("tokens", 4.0),)),),
    )  # fmt: skip
    assert reinspection_of(verdict) == REINSPECTION
    assert documents_of(verdict) == ("kit/lid", "kit/notes")


def test_old_records_keep_their_result_id():
    """The id in a line that an older version wrote is the id of the verdict that is read from it."""
    record = {
        "photo": "kit_000.jpg", "result": "02d94e726295", "outcome": "pass", "doubts": [], "second_look": None,
        "documents": [], "plugged": [], "bundle": "852ae31b67c0", "thresholds": "0c61df18b754",
        "sha256": "9760196b2ff7cc7e3de6d59756c1e8d4fee8e72f6cd8973a7c17e50261d4dfdb",
    }  # fmt: skip

    assert result_id(verdict_from_json(record)) == record["result"]


def test_records_are_written_with_current_names():
    """No old field name is written."""
    text = json.dumps(verdict_to_json(verdict_from_json(OLD_RECORD)))

    for name in ("doubts", "plugged", "knows", "chance", "chances", "second_look", "kept", "taken"):
        assert f'"{name}"' not in text


def test_invalid_fields_are_reported():
    """All invalid fields of a record are reported at once, with the photo and the field."""
    with pytest.raises(DataError) as caught:
        verdict_from_json({"photo": "a.jpg", "outcome": "maybe", "width": "wide"})

    assert str(caught.value) == (
        "LC252 verdict of \"a.jpg\", outcome: input should be 'pass', 'fail' or 'review'.\n"
        'LC252 verdict of "a.jpg", width: input should be a valid integer, unable to parse string as an integer.'
    )


@pytest.mark.parametrize("results", [3, [3], [{"kind": "reasoner"}], [{"kind": "a", "name": "b", "payload": 3}]])
def test_invalid_plugin_results_are_reported(results):
    """A plug-in result of another shape is an error of the record."""
    with pytest.raises(DataError, match=r'LC252 verdict of "a\.jpg", plugin_results'):
        verdict_from_json({"photo": "a.jpg", "outcome": "pass", "plugin_results": results})


def test_invalid_payload_of_a_reasoner_is_reported():
    """The typed view reads the payload, not the core."""
    verdict = Verdict("a.jpg", "pass", plugin_results=(PluginResult("reasoner", "latent", (("before", "maybe"),)),))

    with pytest.raises(DataError, match="LC252"):
        reinspection_of(verdict)


def test_result_id_depends_on_photo_bundle_and_thresholds():
    """Equal inputs have equal ids wherever the folder is; a copy of the photo under another path has another id."""
    name = result_id(FULL)

    assert result_id(replace(FULL, score=0.0, seconds=9.0)) == name
    others = (
        replace(FULL, photo="line 3/Ä,1.jpg"), replace(FULL, sha256="cd" * 32), replace(FULL, bundle="new"),
        replace(FULL, thresholds="t2"),
    )  # fmt: skip
    assert len({name, *map(result_id, others)}) == 5
    assert result_id(TORN) != result_id(replace(TORN, photo="torn too.jpg"))
    assert verdict_to_json(FULL)["result"] == name
    assert len(name) == 12


def test_result_id_depends_on_plugins():
    """By kind, name, knowledge and settings, whether they changed anything on the photo or not."""
    first = Verdict("a.png", "review", sha256="ab", bundle="b")
    changed = replace(first, outcome="pass", plugin_results=(REINSPECTION.to_plugin_result(),), plugins=PLUGINS)
    others = (
        replace(PLUGINS[0], knowledge_id="0a1c"), replace(PLUGINS[0], name="texts"), replace(PLUGINS[1], settings=()),
    )  # fmt: skip

    ids = [
        result_id(replace(first, plugins=plugins)) for plugins in ((), PLUGINS, PLUGINS[:1], *((o,) for o in others))
    ]

    assert len({*ids}) == 6
    assert result_id(changed) == ids[1]
