"""Prototypes: the nearest kind in units of its scatter, and JSON that may come from anyone."""

import json

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.prototypes import MAX_KINDS, Prototypes, find_prototypes

RNG = np.random.default_rng(5)
MIX = RNG.normal(0, 1, (6, 6))
MEANS = {"nothing": np.zeros(6), "rain": np.eye(6)[0] * 3, "haze": np.eye(6)[1] * -4}


def drawn(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw pictures' summaries of each kind, alike scattered, most along one direction."""
    rng = np.random.default_rng(seed)
    spread = np.array([1, 1, 1, 1, 0.2, 30])
    return {
        kind: (mean + spread * rng.normal(0, 1, (count, 6))) @ MIX for kind, mean in MEANS.items()
    }


def test_shares_are_those_of_normal_distributions_of_one_scatter():
    """Against the textbook: distances by the pooled covariance, all kinds equally frequent."""
    groups = drawn(4000)
    found = find_prototypes(groups)
    means = {kind: group.mean(0) for kind, group in groups.items()}
    pooled = np.mean([np.cov(group.T) for group in groups.values()], axis=0)
    # The shrinkage that keeps few pictures from deciding too much, as stated.
    pooled = 0.98 * pooled + 0.02 * np.trace(pooled) / 6 * np.eye(6)
    inverse = np.linalg.inv(pooled)
    for summary in np.concatenate(list(drawn(20, 1).values())):
        weights = {
            kind: np.exp(-(mahalanobis(summary, mean, inverse) ** 2) / 2)
            for kind, mean in means.items()
        }
        total = sum(weights.values())
        for kind, share in found.shares(summary).items():
            assert share == pytest.approx(weights[kind] / total, abs=2e-3)


def test_what_scatters_most_is_no_hindrance():
    found = find_prototypes(drawn(400))
    for kind, group in drawn(100, 1).items():
        shares = [found.shares(summary) for summary in group]
        assert all(sum(share.values()) == pytest.approx(1) for share in shares)
        assert np.mean([max(share, key=share.__getitem__) == kind for share in shares]) > 0.85


def test_fewer_pictures_than_numbers_still_give_finite_shares():
    found = find_prototypes({"a": RNG.normal(0, 1, (2, 50)), "b": RNG.normal(3, 1, (2, 50))})
    assert all(np.isfinite(share) for share in found.shares(np.full(50, 1e20)).values())


def test_json_gives_the_same_back():
    found = find_prototypes(drawn(50))
    read = Prototypes.from_dict(json.loads(json.dumps(found.to_dict())))
    assert read.kinds == found.kinds == tuple(MEANS)
    for summary in drawn(3, 2)["rain"]:
        assert read.shares(summary) == pytest.approx(found.shares(summary), abs=1e-3)
    assert read.to_dict() == found.to_dict()


GOOD = {"kinds": ["a", "b"], "axes": [[1, 2.5, 0]], "places": [[0], [1]]}


@pytest.mark.parametrize(
    "changes",
    [
        {"kinds": None},
        {"kinds": ["a"]},
        {"kinds": ["a", "a"]},
        {"kinds": ["a", "\x1b[2J"]},
        {"kinds": ["a", ""]},
        {"kinds": ["a", 3]},
        {"kinds": [str(n) for n in range(MAX_KINDS + 1)]},
        {"axes": []},
        {"axes": [[]]},
        {"axes": [[1, 2], [3]]},
        {"axes": [[1, "2", 3]]},
        {"axes": [[True, 2, 3]]},
        {"axes": [[float("nan"), 2, 3]]},
        {"axes": "xx"},
        {"places": [[0]]},
        {"places": [[0, 1], [1, 2]]},
        {"places": None},
    ],
)
def test_what_are_no_prototypes_is_refused(changes):
    Prototypes.from_dict(GOOD)
    with pytest.raises(CheckpointFormatError, match="prototypes"):
        Prototypes.from_dict({**GOOD, **changes})


def test_numbers_without_end_do_not_overflow():
    huge = Prototypes.from_dict({**GOOD, "axes": [[10**400, 1e308, -(10**400)]]})
    assert sum(huge.shares([1.0, 1.0, 1.0]).values()) == pytest.approx(1)
