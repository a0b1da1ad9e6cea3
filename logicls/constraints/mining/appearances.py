"""Mining of appearances: components that look alike on good photos, and could be compared with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from logicls.constraints.mining.observations import MIN_PHOTOS
from logicls.constraints.mining.orientations import MIN_SIMILARITY, PoseObservation
from logicls.constraints.mining.proposals import MiningResult, NameRegistry, OpenQuestion, Proposal


def mine_appearances(
    components: Sequence[str], poses: Mapping[str, Sequence[PoseObservation]], names: NameRegistry
) -> MiningResult:
    """Ask about the look of each component that is nearly the same on all good photos, as it lies or turned.

    It is a question, and no rule: good photos do not tell whether damage of the component matters.

    Args:
        components: Components to look at.
        poses: Component → comparisons of its instances on the photos.
        names: Names of the other rules.
    """
    questions = []
    for component in components:
        found = poses.get(component, ())
        photos = len({pose.photo for pose in found})
        likeness = sorted(max(pose.similarity, pose.turned_similarity) for pose in found)
        if photos < MIN_PHOTOS or likeness[len(likeness) // 2] < MIN_SIMILARITY:
            continue
        name, violation = names.add(f"{component}-look"), f"damaged_{component}"
        proposal = Proposal(name, "appearance", {"of": component}, violation, f"{photos}/{photos}")
        text = f'Must every "{component}" look as on good photos: whole, clean, the right part? It looks alike on all.'
        questions.append(OpenQuestion(text, proposal))
    return MiningResult(questions=tuple(questions))
