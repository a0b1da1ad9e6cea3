"""The specs of the MVTec LOCO products know every logical defect by the dataset's own name."""

from __future__ import annotations

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.io.resources import resource_path

LOGICAL = {
    "breakfast_box": """
        0_nectarines_0_tangerines 0_nectarines_1_tangerine 0_nectarines_2_tangerines 0_nectarines_3_tangerines
        0_nectarines_4_tangerines 1_nectarine_1_tangerine 2_nectarines_1_tangerine 3_nectarines_0_tangerines
        compartments_swapped missing_almonds missing_bananas missing_cereals missing_cereals_and_toppings
        missing_toppings overflow underflow wrong_ratio
    """,
    "juice_bottle": """
        empty_bottle misplaced_fruit_icon misplaced_label_bottom misplaced_label_top missing_bottom_label
        missing_fruit_icon missing_top_label swapped_labels wrong_fill_level_not_enough wrong_fill_level_too_much
        wrong_juice_type
    """,
    "pushpins": "1_additional_pushpin 2_additional_pushpins missing_pushpin missing_separator",
    "screw_bag": """
        1_additional_long_screw 1_additional_nut 1_additional_short_screw 1_additional_washer 1_missing_long_screw
        1_missing_nut 1_missing_short_screw 1_missing_washer 1_very_short_screw 2_additional_nuts
        2_additional_washers 2_missing_nuts 2_missing_washers 2_very_short_screws screw_too_long screw_too_short
    """,
    "splicing_connectors": """
        cable_color cable_cut extra_cable missing_cable missing_connector wrong_cable_location
        wrong_connector_type_3_2 wrong_connector_type_5_2 wrong_connector_type_5_3
    """,
}
"""Logical defects of each product, as the ground truth of MVTec LOCO AD names them (P. Bergmann et al., Beyond Dents
and Scratches: Logical Constraints in Unsupervised Anomaly Detection and Localization, IJCV 130, 2022); compared with
the class list that Dataset Ninja publishes of it. Names are facts: nothing of the dataset is copied."""


def test_the_names_are_those_of_the_dataset() -> None:
    """Fifty-seven defects of five products: none has been lost from the list."""
    assert {product: len(names.split()) for product, names in LOGICAL.items()} == {
        "breakfast_box": 17,
        "juice_bottle": 11,
        "pushpins": 4,
        "screw_bag": 16,
        "splicing_connectors": 9,
    }


@pytest.mark.parametrize("product", LOGICAL)
def test_every_logical_defect_can_be_named(product: str) -> None:
    """The spec has a rule that comes to it."""
    spec = load_spec(resource_path(f"constraints/{product}.yaml"))

    assert set(LOGICAL[product].split()) <= set(spec.violations)
