"""Accounts, their facts, and what could be recommended to them.

A fact is drawn once per account; the *need* of a recommendation is a plain function of facts and of the candidate's own
features, so the server can know it. Some facts are absent, as they are in life: a young account has no cost per
conversion, a seller without a shop has no stock.
"""

from dataclasses import dataclass

import numpy as np

from .catalogue import SURFACES, TOPIC_OF_TYPE, TOPICS, TYPES
from .people import BROWSING, Offer

DAY = 86_400_000
EPOCH = 1_760_000_000_000  # all visits fall into the eight weeks after this moment
VERTICALS = ("fashion", "electronics", "home", "food", "travel", "services", "toys", "sports")
COUNTRIES = ("de", "fr", "gb", "us", "es", "it", "nl", "pl", "se", "jp", "br", "in", "mx", "ca", "au", "kr")
ROLES = ("owner", "agency", "analyst")
STRATEGIES = ("manual", "max_clicks", "target_cpa", "target_roas")
CAMPAIGNS = ("Spring shoes", "Brand search", "Video prospecting", "Shopping bestsellers", "Retargeting", "Local pickup")
PRODUCTS = ("the trail runner", "the linen shirt", "the desk lamp", "the espresso cup", "the rain jacket", "the yoga mat")

# Share of people's attention to each surface's favourite topics, as logits: an assistant is asked about measurement and
# keywords, a sales console about spend.
SURFACE_TASTE = np.array(
    [
        [0.2, 0.1, 0.1, 0.0, 0.0, 0.0, 0.0],
        [-0.2, 0.0, 0.4, 0.2, 0.0, 0.5, 0.1],
        [0.4, 0.3, -0.2, -0.2, 0.3, 0.0, -0.3],
    ]
)


@dataclass
class Account:
    """One account: facts as they go into a request, the candidates, and what the server may know."""

    name: str
    facts: dict
    candidates: list[dict]  # without server score; in pool order
    offer: Offer


def _facts(rng: np.random.Generator, now: int) -> dict:
    size = rng.normal(0, 1)
    seller = bool(rng.random() < 0.55)
    clicks = float(np.exp(rng.normal(6.5 + 0.9 * size, 0.7)))
    young = bool(rng.random() < 0.2)
    facts = {
        "account": {
            "created_at": int(now - (rng.uniform(5, 60) if young else rng.uniform(60, 2_500)) * DAY),
            "monthly_spend": round(float(np.exp(rng.normal(7.6 + size, 0.5))), 2),
            "vertical": str(rng.choice(VERTICALS)),
            "country": str(rng.choice(COUNTRIES)),
            "has_shop": seller,
        },
        "campaign": {
            "daily_budget": round(float(np.exp(rng.normal(4.0 + 0.8 * size, 0.5))), 2),
            "strategy": str(rng.choice(STRATEGIES, p=(0.35, 0.25, 0.25, 0.15))),
            "ad_strength": int(rng.integers(0, 4)),
            "days_left": int(rng.integers(0, 90)),
        },
        "performance": {
            "impressions": int(clicks / rng.uniform(0.008, 0.09)),
            "clicks": int(clicks),
            "lost_to_budget": round(float(rng.beta(1.2, 3.5)), 4),
            "lost_to_rank": round(float(rng.beta(1.6, 3.0)), 4),
            "cost_to_target": round(float(np.exp(rng.normal(0.05, 0.45))), 4),
            "tag_health": round(float(1 - rng.beta(0.7, 3.0)), 4),
            "wasted_searches": round(float(rng.beta(1.5, 6.0)), 4),
        },
        "market": {"auction_pressure": round(float(rng.normal(0, 1)), 4), "season": round(float(rng.normal(0, 1)), 4)},
        "workflow": {
            "open_tasks": int(rng.poisson(3)),
            "last_login_at": int(now - rng.exponential(4) * DAY),
            "pending_approval": bool(rng.random() < 0.15),
            "role": str(rng.choice(ROLES, p=(0.5, 0.3, 0.2))),
        },
    }
    if seller:
        facts["performance"]["stock_out"] = round(float(rng.beta(1.2, 5.0)), 4)
    if young or rng.random() < 0.1:
        del facts["performance"]["cost_to_target"]
    return facts


def _fit(facts: dict) -> np.ndarray:
    """How well each type answers this account's state, in logits, by type."""
    p, c, m, w = facts["performance"], facts["campaign"], facts["market"], facts["workflow"]
    dear = float(np.log(p.get("cost_to_target", 1.0)))
    owner = w["role"] == "owner"
    table = {
        "raise_budget": 3.5 * p["lost_to_budget"] - 1.0 * dear - 0.5,
        "pause_campaign": 1.4 * dear - 0.6,
        "schedule_ads": 0.5 * dear + (0.2 if owner else -0.1),
        "lower_bid": 1.2 * dear - 1.2 * p["lost_to_rank"] + 0.3,
        "raise_bid": 2.2 * p["lost_to_rank"] - 0.6 * dear + 0.25 * m["auction_pressure"] - 0.7,
        "enable_auto_bidding": 0.9 if c["strategy"] == "manual" else -0.9,
        "set_target_roas": 0.4 if c["strategy"] in ("max_clicks", "target_cpa") else -0.5,
        "add_keywords": 0.8 - 2.0 * p["wasted_searches"] + 0.2 * m["season"],
        "add_negative_keywords": 4.0 * p["wasted_searches"] - 0.6,
        "add_creative": 0.8 - 0.5 * c["ad_strength"],
        "add_sitelinks": 0.5 - 0.3 * c["ad_strength"],
        "fix_disapproved_ad": 0.9 if w["pending_approval"] else 0.0,
        "widen_audience": 0.4 * m["season"] - 0.5 * dear,
        "narrow_audience": 0.6 * dear - 0.1,
        "expand_locations": 0.3 * m["season"] + 0.2 * m["auction_pressure"],
        "fix_conversion_tag": 2.5 * (1 - p["tag_health"]) - 0.3,
        "link_merchant_center": 0.6 if facts["account"]["has_shop"] else -1.2,
        "add_product_images": 0.1,
        "restock_item": 4.0 * p.get("stock_out", 0.0) - 0.4,
        "add_promotion": 0.5 * m["season"],
    }
    return np.array([table[t.name] for t in TYPES])


def _pool(rng: np.random.Generator, facts: dict, size: int) -> list[tuple[int, str, str]]:
    """Which (type, target, target's name) pairs exist: campaigns for most types, products where there is a shop."""
    every = []
    for i, kind in enumerate(TYPES):
        names = CAMPAIGNS if kind.target == "campaign" else PRODUCTS
        if kind.target == "product" and not facts["account"]["has_shop"]:
            continue
        for j in range(len(names)):
            every.append((i, f"{kind.target[0]}{j + 1}", names[j]))
    picked = rng.choice(len(every), size=min(size, len(every)), replace=False)
    return [every[k] for k in sorted(picked)]


def account(rng: np.random.Generator, name: str, now: int, pool: int = 44) -> Account:
    """Draw one account with its pool of candidates, ordered by need until a server ranks them."""
    facts = _facts(rng, now)
    fit = _fit(facts)
    habit = rng.normal(0, 0.5, len(TOPICS))  # what these people have long liked; the server has their history
    shares = np.exp(rng.normal(0, 0.7, BROWSING + 1) + np.append(habit, 0.6))
    candidates, need, keys, fields, kinds = [], [], [], [], []
    for kind, target, title in _pool(rng, facts, pool):
        t = TYPES[kind]
        uplift, severity = float(rng.gamma(2.0, 0.05)), float(rng.beta(2, 2))
        adoption = float(rng.beta(2, 6))
        features = {
            "title": t.title.format(target=title),
            "topic": t.topic,
            "field": f"{t.field}@{target}",
            "uplift": round(uplift, 4),
            "adoption": round(adoption, 4),
            "minutes": round(float(t.minutes * np.exp(rng.normal(0, 0.3))), 2),
            "created_at": int(now - rng.exponential(6) * DAY),
        }
        logit = -4.35 + fit[kind] + 6.0 * (uplift - 0.1) + 2.2 * (adoption - 0.25) - 0.25 * np.log(features["minutes"] / 5)
        if rng.random() < 0.75:  # only some checks grade how bad it is
            features["severity"] = round(severity, 4)
            logit += 1.6 * (severity - 0.5)
        if t.spends:
            features["cost"] = round(float(t.spends * facts["campaign"]["daily_budget"] * rng.uniform(0.1, 0.6)), 2)
        logit += habit[TOPIC_OF_TYPE[kind]]
        keys.append(f"{t.name}:{target}")
        fields.append(features["field"])
        kinds.append(kind)
        need.append(logit)
        candidates.append({"key": keys[-1], "type": t.name, "features": features})
    type_of = np.array(kinds)
    topic_of = np.array(TOPIC_OF_TYPE)[type_of]
    for k, candidate in enumerate(candidates):  # what the server's catalogue calls related: the same topic
        candidate["features"]["related"] = [keys[j] for j in np.flatnonzero(topic_of == topic_of[k]) if j != k]
    needs = np.array(need)[None, :] + SURFACE_TASTE[:, topic_of]
    order = np.argsort(-needs, axis=1, kind="stable")  # until the server ranks: what is needed most
    offer = Offer(keys, fields, type_of, topic_of, needs, shares / shares.sum(), order)
    return Account(name, facts, candidates, offer)
