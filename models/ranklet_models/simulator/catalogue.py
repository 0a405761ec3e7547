"""The nouns of the domain: topics, surfaces and the twenty types of recommendation."""

from dataclasses import dataclass

TOPICS = ("budget", "bidding", "keywords", "creative", "audience", "measurement", "catalogue")
SURFACES = ("ads_manager", "assistant", "sales_console")


@dataclass(frozen=True)
class RecType:
    """One type of recommendation: what it is about, what it changes and how it reads on a card."""

    name: str
    topic: str
    target: str  # "campaign" or "product"
    field: str  # the draft field that somebody would edit to do the same by hand
    title: str  # a format string over {target}
    minutes: float  # typical effort to carry it out
    spends: float  # +1 raises spend, -1 lowers it, 0 leaves it


TYPES = (
    RecType("raise_budget", "budget", "campaign", "daily_budget", "Raise the daily budget of {target}", 1, 1),
    RecType("pause_campaign", "budget", "campaign", "status", "Pause {target}: it spends without selling", 1, -1),
    RecType("schedule_ads", "budget", "campaign", "schedule", "Show {target} only in its best hours", 6, -1),
    RecType("lower_bid", "bidding", "campaign", "max_bid", "Lower the bids of {target}", 2, -1),
    RecType("raise_bid", "bidding", "campaign", "max_bid", "Raise the bids of {target} to reach the first page", 2, 1),
    RecType("enable_auto_bidding", "bidding", "campaign", "bid_strategy", "Let {target} bid automatically", 3, 1),
    RecType("set_target_roas", "bidding", "campaign", "target_roas", "Set a target return for {target}", 4, 0),
    RecType("add_keywords", "keywords", "campaign", "keywords", "Add 12 keywords that {target} misses", 5, 1),
    RecType("add_negative_keywords", "keywords", "campaign", "negative_keywords", "Exclude wasted searches from {target}", 6, -1),
    RecType("add_creative", "creative", "campaign", "creatives", "Add a second creative to {target}", 20, 0),
    RecType("add_sitelinks", "creative", "campaign", "sitelinks", "Add sitelinks to {target}", 8, 0),
    RecType("fix_disapproved_ad", "creative", "campaign", "ad_text", "Fix a disapproved ad in {target}", 10, 0),
    RecType("widen_audience", "audience", "campaign", "audience", "Widen the audience of {target}", 4, 1),
    RecType("narrow_audience", "audience", "campaign", "audience", "Narrow the audience of {target}", 5, -1),
    RecType("expand_locations", "audience", "campaign", "locations", "Show {target} in neighbouring regions", 3, 1),
    RecType("fix_conversion_tag", "measurement", "campaign", "conversion_tag", "Repair the conversion tag of {target}", 25, 0),
    RecType("link_merchant_center", "measurement", "campaign", "merchant_link", "Link the shop's feed to {target}", 15, 0),
    RecType("add_product_images", "catalogue", "product", "images", "Add photographs to {target}", 12, 0),
    RecType("restock_item", "catalogue", "product", "stock", "Restock {target} before it sells out", 9, 0),
    RecType("add_promotion", "catalogue", "product", "promotion", "Put {target} on promotion", 5, 0),
)

TYPE_NAMES = tuple(t.name for t in TYPES)
TOPIC_OF_TYPE = tuple(TOPICS.index(t.topic) for t in TYPES)
