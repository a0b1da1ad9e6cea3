"""Annotations in a spec's words.

Many tools know no attributes, and people box each variant as a category of its own: a box called as a variant that
leaves no choice (`one: {of: die, with: {face: one}}`) is one of the component with those attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from logicls.constraints.spec import Spec, VariantOf
from logicls.data.coco import Dataset, read_dataset
from logicls.records import Instance


def read_for(spec: Spec, root: Path, annotations: Path | None = None) -> Dataset:
    """The annotated photos in `root`, in the spec's words. Raises `DataError` as `read_dataset` does."""
    dataset = read_dataset(root, annotations)
    plain = distinct(spec)
    scenes = (replace(s, instances=tuple(_named(i, plain) for i in s.instances)) for s in dataset.scenes)
    categories = dict.fromkeys(plain[name].of if name in plain else name for name in dataset.categories)
    return replace(dataset, scenes=tuple(scenes), categories=tuple(categories))


def distinct(spec: Spec) -> dict[str, VariantOf]:
    """The variants that say of each of their attributes which value it has."""
    return {
        name: variant
        for name, variant in spec.variants.items()
        if all(isinstance(value, str) or len(value) == 1 for value in variant.with_.values())
    }


def known_names(spec: Spec) -> dict[str, dict[str, list[str]]]:
    """What a category may be called → the attributes that may be annotated of it → their values."""
    return {**spec.vocabulary, **{name: spec.vocabulary[variant.of] for name, variant in distinct(spec).items()}}


def _named(instance: Instance, variants: Mapping[str, VariantOf]) -> Instance:
    variant = variants.get(instance.component)
    if variant is None:
        return instance
    told = {key: value if isinstance(value, str) else value[0] for key, value in variant.with_.items()}
    return replace(instance, component=variant.of, attributes=tuple({**dict(instance.attributes), **told}.items()))
