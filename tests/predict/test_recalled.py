"""What is known of a photo's product, in its verdict."""

from __future__ import annotations

from logicls.predict.amendments import apply_product_match
from logicls.predict.plugin_protocols import ProductMatch
from logicls.records import Verdict

PASSED = Verdict("a.jpg", "pass")


def test_documents_are_written_down():
    """A photo that shows what it should keeps its outcome."""
    assert apply_product_match(PASSED, ProductMatch("box", documents=("box/a",))) == Verdict(
        "a.jpg", "pass", documents=("box/a",)
    )


def test_another_product_goes_to_review():
    """The doubt is one that no threshold changes."""
    doubt = "shows another product: lid"

    found = apply_product_match(PASSED, ProductMatch("lid", review_reason=doubt))

    assert (found.outcome, found.reasons, found.unconditional_reasons) == ("review", (doubt,), (doubt,))
