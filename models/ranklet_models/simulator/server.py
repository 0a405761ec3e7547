"""The server's ranker: it knows everything but the session.

The score is the exact probability of acceptance with what the server cannot see averaged out: the intent of the moment
(over the account's long-run shares), its urgency, and the person's opinion of each card. It is therefore the best order
that exists without the session, up to what people do within it (edits, refusals), which no server score contains.
"""

import numpy as np

from .people import BROWSING, HABITS, Offer, sigmoid

# Five-point Gauss-Hermite rule for the opinion, midpoints of thirds for the urgency: more points move no rank.
_OPINIONS, _MASS = np.polynomial.hermite_e.hermegauss(5)
_MASS = _MASS / _MASS.sum()
_URGENCIES = (2 / 3, 1.0, 4 / 3)


def score(offer: Offer) -> np.ndarray:
    """Marginal probability of acceptance, [surfaces, pool]."""
    total = np.zeros_like(offer.need)
    for intent, share in enumerate(offer.intents):
        for urgency in _URGENCIES:
            shift = np.where(offer.topic_of == intent, HABITS.pull, HABITS.push) * urgency if intent != BROWSING else 0.0
            for opinion, mass in zip(_OPINIONS, _MASS):
                total += share / len(_URGENCIES) * mass * sigmoid(offer.need + shift + HABITS.opinion * opinion)
    return total


def rank(offer: Offer) -> np.ndarray:
    """Score the pool, set the server's order on every surface, and return the scores."""
    scores = score(offer)
    offer.order = np.argsort(-scores, axis=1, kind="stable")
    return scores
