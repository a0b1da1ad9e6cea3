"""Split of source photos: validation photos are never trained on, and have examples of everything."""

from __future__ import annotations

from collections import Counter

import pytest

from logicls.errors import BundleError
from logicls.train.photo_split import PhotoSplit, Split, read_split, split_photos, write_split


def make_rows(photos: dict[str, list[str]]) -> list[dict[str, object]]:
    """Make rows of a dataset: photo → violation of each of its examples, "" for a good one."""
    return [
        {"photo": name, "violations": [v] if v else [], "queries": [], "values": []}
        for name, labels in photos.items()
        for v in labels
    ]


def count_validation(rows: list[dict[str, object]], split: Split) -> Counter[str]:
    """Count the labels of the validation examples."""
    return Counter("".join(rows[number]["violations"]) for number in split.validation)


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.01, 1), (0.3, 3), (0.5, 5)])
def test_the_split_is_by_photo(share, count):
    """All examples of a photo are on one side; at least one photo, if any is requested."""
    photos = [f"{number}.jpg" for number in range(10)]

    split = split_photos(make_rows({photo: [""] for photo in photos}), share, seed=0)

    assert len(split.validation_photos) == count
    assert sorted((*split.train, *split.validation)) == list(range(10))
    assert {photos[number] for number in split.validation} == split.validation_photos
    assert {photos[number] for number in split.train} == split.train_photos == {*photos} - split.validation_photos


@pytest.mark.parametrize("previous", [None, PhotoSplit(frozenset(), frozenset({"a.jpg"}))])
def test_a_single_photo_is_for_training(previous):
    """There is no validation set then, even if an earlier run kept the photo aside."""
    rows = make_rows({"a.jpg": ["", "", ""]})

    assert split_photos(rows, 0.5, seed=0, previous=previous).train == (0, 1, 2)


@pytest.mark.parametrize("seed", range(5))
def test_validation_has_every_violation_and_good_examples(seed):
    """60 photos of which 54 have few broken examples: the six kept aside have their share of all labels."""
    photos = {f"poor{n}": ["missing"] for n in range(54)}
    photos |= {f"rich{n}": [*[""] * 100, *["missing"] * 50, *["turned"] * 20] for n in range(6)}
    rows = make_rows(photos)

    split = split_photos(rows, 0.1, seed)

    assert len(split.validation_photos) == 6
    counts = count_validation(rows, split)
    assert all(counts[label] >= 0.025 * total for label, total in {"": 600, "missing": 354, "turned": 120}.items())
    assert len(split.train) > len(rows) / 2


@pytest.mark.parametrize("seed", range(5))
def test_the_only_photo_of_a_violation_is_trained_on(seed):
    """A violation that one photo alone shows is learned rather than measured."""
    rows = make_rows({**{f"good{n}": ["", ""] for n in range(5)}, "real": ["scratch"] * 10})

    assert "real" in split_photos(rows, 0.3, seed).train_photos


@pytest.mark.parametrize("seed", range(5))
def test_the_only_photo_of_an_attribute_value_is_trained_on(seed):
    """One of five bottles is white; it has more examples than the others, as rare variants do."""
    bottles = {"white": 300, **{f"red{n}": 100 for n in range(4)}}
    rows = [
        {"photo": name, "violations": [], "queries": ["attribute:juice.colour"], "values": [[name[:3]]]}
        for name, count in bottles.items()
        for _ in range(count)
    ]

    assert "white" in split_photos(rows, 0.1, seed).train_photos


def test_proportional_choices_are_random():
    """Where any photos would do, each seed has its own, about as many examples as photos."""
    rows = make_rows({f"{n}": ["", "missing"] for n in range(100)})

    splits = [split_photos(rows, 0.1, seed) for seed in range(20)]

    assert len({split.validation_photos for split in splits}) == 20
    assert {len(split.validation) for split in splits} == {20}


def test_later_training_keeps_the_same_photos_aside():
    """Whatever the seed; of the photos that are added some are kept aside, of those trained on none."""
    old, new = {f"old{n}": ["", "missing"] for n in range(10)}, {f"new{n}": ["", "missing"] for n in range(20)}
    first = split_photos(make_rows(old), 0.2, seed=0)
    previous = PhotoSplit(first.train_photos, first.validation_photos)

    same, more = (split_photos(make_rows(photos), 0.2, seed=5, previous=previous) for photos in (old, old | new))

    assert same == first
    assert len(more.validation_photos) == 6
    assert first.validation_photos < more.validation_photos
    assert more.validation_photos.isdisjoint(first.train_photos)


def test_photos_trained_on_are_kept_aside_if_there_are_no_others():
    """The photos that were kept aside are gone: without a validation set nothing would be calibrated."""
    previous = PhotoSplit(frozenset({"a", "b", "c"}), frozenset({"d"}))

    split = split_photos(make_rows({name: [""] for name in "abc"}), 0.2, 0, previous=previous)

    assert len(split.validation_photos) == 1


def test_split_round_trip(tmp_path):
    """A bundle records both sides; a bundle of an earlier version has no such file."""
    assert read_split(tmp_path) is None

    write_split(tmp_path, split_photos(make_rows({name: [""] for name in ("a", "ß", "c")}), 0.3, 0))

    read = read_split(tmp_path)
    assert read is not None
    assert (len(read.train), len(read.validation), read.train | read.validation) == (2, 1, {"a", "ß", "c"})


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"train": 3, "validation": []}'])
def test_damaged_split_is_an_error(tmp_path, text):
    """It is not ignored: photos that were trained on would be used for validation."""
    (tmp_path / "split.json").write_text(text)

    with pytest.raises(BundleError, match="LC628"):
        read_split(tmp_path)
