"""Messages about MVTec LOCO folders, faithfulness tests and decisions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from logicls.cli.evaluate import evaluate
from logicls.evaluation.agreement.decisions import read_decisions
from logicls.evaluation.agreement.repeatability import check_photos
from logicls.evaluation.faithfulness import TrialSample, measure_faithfulness
from logicls.evaluation.mvtec_loco import read_loco
from logicls.evaluation.mvtec_loco_scores import match_verdicts
from logicls.records import Answer, Verdict

Trigger = Callable[[], object]
ENTRY = {"defect_name": "missing_pin", "pixel_value": 255, "saturation_threshold": 1.0, "relative_saturation": True}
HEAD = "photo,inspector,trial,decision\n"


def save_grey(name: str, value: int = 0) -> None:
    """Save a grey image of one value."""
    path = Path("pin_box", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 3), value).save(path)


def product(*entries: dict[str, object], mask: int = 255) -> Trigger:
    """Return a trigger that reads a product whose mask has this value; no mask for 0."""

    def read() -> object:
        for name in ("good", "logical_anomalies"):
            save_grey(f"test/{name}/000.png")
        Path("pin_box/ground_truth").mkdir()
        if mask:
            save_grey("ground_truth/logical_anomalies/000/000.png", mask)
        Path("pin_box/defects_config.json").write_text(json.dumps([ENTRY, *entries]))
        return read_loco(Path("pin_box"))

    return read


def match_incomplete_verdicts() -> object:
    """Match verdicts that lack a photo of the product."""
    return match_verdicts([Verdict("000.png", "pass")], product()())


def measure(bundle: str) -> Trigger:
    """Return a trigger that tests a verdict of this bundle, on a missing photo, with the bundle 0123456789ab."""
    verdict = Verdict("kit_001.jpg", "pass", answers=(Answer("locate:pin"),), bundle=bundle)
    reader = SimpleNamespace(bundle=SimpleNamespace(id="0123456789ab"))
    return lambda: measure_faithfulness(reader, [verdict], Path("photos"), TrialSample(1, 0))


def decisions(content: str) -> Trigger:
    """Return a trigger that reads decisions on kit_001.jpg and kit_002.jpg."""

    def read() -> object:
        Path("people.csv").write_text(content)
        return read_decisions(Path("people.csv"), ("kit_001.jpg", "kit_002.jpg"))

    return read


TRIGGERS: dict[str, Trigger] = {
    "LC650": lambda: read_loco(Path("mvtec_loco")),
    "LC651": product({"defect_name": "extra_pin", "pixel_value": 300}),
    "LC652": product(mask=7),
    "LC653": product(mask=0),
    "LC654": match_incomplete_verdicts,
    "LC655": lambda: evaluate(Path("verdicts"), Path("truth.csv"), Path("scores"), faithfulness=True),
    "LC656": measure("ba9876543210"),
    "LC657": measure("0123456789ab"),
    "LC660": lambda: read_decisions(Path("monday.xlsx"), ()),
    "LC661": decisions("photo,name,decision\n"),
    "LC662": decisions(f"{HEAD}kit_001.jpg,anna,pass\nkit_001.jpg,,1,pass\nkit_001.jpg,logicls,1,pass\n"),
    "LC663": decisions(f"{HEAD}kit_001.jpg,anna,monday,pass\n"),
    "LC664": decisions(f"{HEAD}kit_001.jpg,anna,1,ok\n"),
    "LC665": decisions(f"{HEAD}kit_001.jpg,anna,1,pass\nkit_001.jpg,anna,1,fail\n"),
    "LC666": decisions(f"{HEAD}kit_01.jpg,anna,1,pass\n"),
    "LC667": decisions(f"{HEAD}kit_001.jpg,anna,1,pass\nkit_002.jpg,anna,1,pass\nkit_001.jpg,anna,2,pass\n"),
    "LC668": lambda: check_photos(("kit_001.jpg", "kit_002.jpg"), Path("photos")),
}


@pytest.mark.parametrize("code", TRIGGERS)
def test_message(check_message, code):
    """The printed message equals the golden file."""
    check_message(code, TRIGGERS[code])


def test_an_option_without_effect_is_an_error():
    """Options of the faithfulness tests are rejected without --faithfulness."""
    with pytest.raises(Exception, match="LC655 --sample has no effect without --faithfulness"):
        evaluate(Path("verdicts"), Path("truth.csv"), Path("scores"), sample=3)
