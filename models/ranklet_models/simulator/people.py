"""How a person behaves: a hidden intent that moves, and the events through which it shows.

Everything in this file is an assumption about people, not about ranklet. It shares no code and no constant with the
context signals or the feature schema, and it was committed before any ranker was trained.

* A visit has an *intent*: one topic, or none (browsing). It jumps after an exponential time, and more readily once
  something on the topic has been done.
* A person has an *opinion* of each recommendation that nobody else knows; opening a card reveals it.
* The probability of accepting is a logistic function of need (known to the server), intent, opinion and of what was
  done or refused in this visit. The same state drives opens, dwell, dismissals, searches and draft edits.
* In a *null* world two people share a session: a ghost makes the events, somebody else decides. The ghost's needs,
  intent and opinions are drawn independently of the account, so the events say nothing about the decision.

Times are ms since the epoch. All randomness comes from the generator that is passed in.
"""

from dataclasses import dataclass, field

import numpy as np

from .catalogue import SURFACES, TOPICS, TYPES

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
BROWSING = len(TOPICS)


@dataclass(frozen=True)
class Habits:
    """The constants of behaviour. Logits unless a unit is named."""

    pull: float = 2.1  # added on the topic of the intent, times the urgency of the visit
    push: float = -0.75  # added off it, while there is an intent
    opinion: float = 0.85  # standard deviation of the hidden opinion
    done_by_hand: float = -2.3  # the same field was edited in the draft: the suggestion comes too late
    refused_kind: float = -0.7  # a recommendation of the same type was refused in this visit
    tired: float = -0.12  # per sighting without opening, the first two free
    opened_and_liked: float = 0.45  # opened with a good opinion, not yet decided
    intent_minutes: float = 7.3  # mean life of an intent
    finished: float = 0.4  # probability that an accepted recommendation ends the intent
    gap_seconds: float = 21.0  # median pause between two actions
    gap_spread: float = 0.8  # of the log of that pause
    dwell_seconds: float = 8.5  # median look at an opened card
    dwell_opinion: float = 0.5  # change of log dwell per standard deviation of opinion
    dwell_topic: float = 0.45  # and on the topic of the intent
    dwell_spread: float = 0.65
    visible: int = 8  # cards on the first screen
    attention: float = 1.2  # weight of the acceptance logit in choosing what to open
    shallow: float = 0.035  # attention lost per card further down
    earlier_visit: float = 0.45  # probability of a visit one to four days before
    stranger_need: float = -3.2  # mean need of the null world's ghost
    stranger_spread: float = 1.1


HABITS = Habits()

# What a person does next: weights, by whether there is an intent.
ACTIONS = ("open", "scroll", "edit", "search", "dismiss", "snooze", "navigate", "undo")
WEIGHTS_WITH_INTENT = np.array([0.44, 0.17, 0.11, 0.09, 0.10, 0.03, 0.04, 0.02])
WEIGHTS_BROWSING = np.array([0.40, 0.30, 0.03, 0.03, 0.11, 0.03, 0.08, 0.02])

# What people type, by topic. Written from the user's side; some phrases name no recommendation at all.
PHRASES = {
    "budget": ("budget limited", "how much budget", "pause campaign", "spend too high", "schedule ads at night"),
    "bidding": ("bid too low", "bidding strategy", "target roas", "cost per click", "auto bidding"),
    "keywords": ("keywords ideas", "negative keywords", "search terms report", "irrelevant searches", "keyword match"),
    "creative": ("new creative", "ad disapproved", "sitelinks", "headline ideas", "ad strength"),
    "audience": ("audience size", "locations", "narrow targeting", "reach more people", "lookalike"),
    "measurement": ("conversion tag not firing", "tracking", "merchant feed", "no conversions recorded", "pixel"),
    "catalogue": ("product images", "out of stock item", "promotion price", "shop feed", "restock"),
}
IDLE_PHRASES = ("report", "help", "invoice", "account settings")
REASONS = ("not_relevant", "not_now", "already_done")


@dataclass
class Offer:
    """What could be recommended to one account, as arrays over its pool of recommendations."""

    keys: list[str]
    fields: list[str]  # draft field, named with its target
    type_of: np.ndarray  # index into TYPES
    topic_of: np.ndarray  # index into TOPICS
    need: np.ndarray  # [surfaces, pool] logits: all that the server knows of this account
    intents: np.ndarray  # [topics + 1] long-run shares of intent, browsing last
    order: np.ndarray  # [surfaces, pool] server order


@dataclass
class Decision:
    """One list put before the person, and what they would do with each item."""

    now: int
    surface: int
    rows: list[int]  # pool indexes in server order
    hidden: list[bool]  # dismissed or snoozed by this person: not shown, so no label
    labels: list[int]
    truth: list[float]  # the probability that each label was drawn from
    intent: int


@dataclass
class Session:
    """All that one person did: events in time order, and the decisions to be scored."""

    events: list[dict] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)


class Mind:
    """What one person wants and thinks; neither server nor device can see it."""

    def __init__(self, rng: np.random.Generator, offer: Offer, start: int, habits: Habits = HABITS):
        self.rng, self.offer, self.habits = rng, offer, habits
        n = len(offer.keys)
        self.opinion = rng.normal(0.0, 1.0, n)
        self.mood = np.zeros(n)  # what this visit has added to each logit
        self.sightings = np.zeros(n)
        self.intent = BROWSING
        self.urgency = 1.0
        self.until = float(start)

    def arrive(self, now: int) -> None:
        """Begin a visit: a new intent, and the moods of the last visit mostly forgotten."""
        self.mood *= 0.3
        self.sightings[:] = 0
        self._turn(now)

    def _turn(self, now: float) -> None:
        self.intent = int(self.rng.choice(BROWSING + 1, p=self.offer.intents))
        self.urgency = float(self.rng.uniform(0.5, 1.5))
        self.until = now + self.rng.exponential(self.habits.intent_minutes * MINUTE)

    def at(self, now: int) -> None:
        """Let the intent move on to `now`."""
        while now > self.until:
            self._turn(self.until)

    def finish(self, now: int) -> None:
        """Something was done: the intent may end with it."""
        if self.rng.random() < self.habits.finished:
            self._turn(now)

    def logits(self, surface: int) -> np.ndarray:
        """Acceptance of every recommendation of the pool, as logits."""
        h = self.habits
        value = self.offer.need[surface] + h.opinion * self.opinion + self.mood
        if self.intent != BROWSING:
            value = value + np.where(self.offer.topic_of == self.intent, h.pull * self.urgency, h.push * self.urgency)
        return value + h.tired * np.maximum(self.sightings - 2, 0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-x))


def ghost_of(rng: np.random.Generator, offer: Offer) -> Offer:
    """The null world's actor: the same cards, but needs and intents that belong to nobody here."""
    need = np.broadcast_to(rng.normal(HABITS.stranger_need, HABITS.stranger_spread, len(offer.keys)), offer.need.shape)
    flat = np.full(BROWSING + 1, 1.0 / (BROWSING + 1))
    return Offer(offer.keys, offer.fields, offer.type_of, offer.topic_of, need, flat, offer.order)


class Visitor:
    """Acts out visits: chooses actions from a mind and writes down the events they leave."""

    def __init__(self, rng: np.random.Generator, actor: Mind, decider: Mind, name: str):
        self.rng, self.actor, self.decider, self.name = rng, actor, decider, name
        self.habits = actor.habits
        self.offer = actor.offer
        self.session = Session()
        self.done: set[int] = set()
        self.dismissed: dict[int, int] = {}
        self.snoozed: dict[int, int] = {}
        self.edited: list[str] = []
        self.opened: set[int] = set()
        self.depth = self.habits.visible
        self.surface = 0
        self.now = 0

    def visit(self, start: int, actions: int, decide_after: set[int]) -> None:
        """One visit from `start`: a number of actions, with a decision after some of them."""
        self.now = start
        self.surface = int(self.rng.choice(len(SURFACES), p=(0.6, 0.25, 0.15)))
        self.depth = self.habits.visible
        self.edited, self.opened = [], set()
        for mind in {id(self.actor): self.actor, id(self.decider): self.decider}.values():
            mind.arrive(start)
        self._write("navigate")
        self._see()
        if 0 in decide_after:
            self._decide()
        for step in range(1, actions + 1):
            self._wait()
            weights = WEIGHTS_BROWSING if self.actor.intent == BROWSING else WEIGHTS_WITH_INTENT
            getattr(self, "_" + ACTIONS[self.rng.choice(len(ACTIONS), p=weights)])()
            if step in decide_after:
                self._decide()

    # What is on the screen

    def _shown(self) -> list[int]:
        return [int(k) for k in self.offer.order[self.surface] if k not in self.done and not self._hidden(int(k))]

    def _hidden(self, k: int) -> bool:
        return k in self.dismissed or self.snoozed.get(k, 0) > self.now

    def _see(self) -> None:
        for k in self._shown()[max(0, self.depth - self.habits.visible) : self.depth]:
            self.actor.sightings[k] += 1
            self._write("impression", k)

    # Time and writing

    def _wait(self, seconds: float | None = None) -> None:
        h = self.habits
        pause = h.gap_seconds * np.exp(self.rng.normal(0, h.gap_spread)) if seconds is None else seconds
        self.now += int(max(0.2, pause) * SECOND)
        self.actor.at(self.now)
        self.decider.at(self.now)

    def _write(self, kind: str, k: int | None = None, **more) -> None:
        event = {"id": f"{self.name}-{len(self.session.events)}", "session": self.name, "type": kind}
        if k is not None:
            event["key"] = self.offer.keys[k]
            event["candidate_type"] = TYPES[self.offer.type_of[k]].name
        event |= {"surface": SURFACES[self.surface], "time": self.now} | more
        self.session.events.append(event)

    # Actions

    def _pick(self, sign: float) -> int | None:
        cards = self._shown()[: self.depth]
        if not cards:
            return None
        pull = sign * self.habits.attention * self.actor.logits(self.surface)[cards]
        pull = pull - self.habits.shallow * np.arange(len(cards)) - 1.5 * np.array([k in self.opened for k in cards])
        weight = np.exp(pull - pull.max())
        return cards[int(self.rng.choice(len(cards), p=weight / weight.sum()))]

    def _open(self) -> None:
        k = self._pick(1.0)
        if k is None:
            return
        self._write("open", k)
        self.opened.add(k)
        self.actor.sightings[k] = 0
        h, liking = self.habits, float(self.actor.opinion[k])
        on_topic = self.offer.topic_of[k] == self.actor.intent
        look = h.dwell_seconds * np.exp(h.dwell_opinion * liking + h.dwell_topic * on_topic + self.rng.normal(0, h.dwell_spread))
        self._wait(float(look))
        self._write("dwell", k, value=int(look * SECOND))
        if self.rng.random() < sigmoid(self.actor.logits(self.surface)[k]):
            self._accept(k)
        elif liking < -0.6 and self.rng.random() < 0.5:
            self._refuse(k, "not_relevant" if liking < -1.1 else "not_now")
        elif liking > 0:
            self.actor.mood[k] += h.opened_and_liked * liking

    def _accept(self, k: int) -> None:
        self._write("accept", k)
        self.done.add(k)
        self.actor.finish(self.now)

    def _refuse(self, k: int, reason: str) -> None:
        self._write("dismiss", k, reason=reason)
        self.dismissed[k] = self.now
        if reason == "not_relevant":
            self.actor.mood[self.offer.type_of == self.offer.type_of[k]] += self.habits.refused_kind

    def _dismiss(self) -> None:
        k = self._pick(-0.6)
        if k is not None:
            self._refuse(k, REASONS[int(self.rng.choice(3, p=(0.55, 0.35, 0.10)))])

    def _snooze(self) -> None:
        k = self._pick(0.3)
        if k is not None:
            hours = int(self.rng.choice((1, 4, 24)))
            self._write("snooze", k, value=hours * HOUR)
            self.snoozed[k] = self.now + hours * HOUR

    def _scroll(self) -> None:
        self.depth = min(self.depth + self.habits.visible, len(self.offer.keys))
        self._see()

    def _search(self) -> None:
        topic = self.actor.intent
        phrases = IDLE_PHRASES if topic == BROWSING or self.rng.random() < 0.12 else PHRASES[TOPICS[topic]]
        self._write("search", value=str(self.rng.choice(phrases)))

    def _edit(self) -> None:
        able = np.flatnonzero(self.offer.topic_of == self.actor.intent)
        if len(able) == 0 or self.rng.random() < 0.15:
            able = np.arange(len(self.offer.keys))
        name = self.offer.fields[int(self.rng.choice(able))]
        self._write("edit", field=name, value=int(self.rng.integers(1, 100)))
        if name not in self.edited:
            self.edited.append(name)
            self.actor.mood[[f == name for f in self.offer.fields]] += self.habits.done_by_hand

    def _navigate(self) -> None:
        self.surface = int((self.surface + self.rng.integers(1, len(SURFACES))) % len(SURFACES))
        self.depth = self.habits.visible
        self._write("navigate")
        self._see()

    def _undo(self) -> None:
        """Take back the last draft edit, or else the last dismissal."""
        if self.edited:
            name = self.edited.pop()
            self._write("undo", field=name)
            self.actor.mood[[f == name for f in self.offer.fields]] -= self.habits.done_by_hand
        elif self.dismissed:
            k = max(self.dismissed, key=self.dismissed.__getitem__)
            del self.dismissed[k]
            self._write("undo", k)
            self.actor.mood[k] += self.habits.opened_and_liked

    # The decision that is scored

    def _decide(self) -> None:
        self._wait()
        length = int(self.rng.integers(20, 41))
        rows = [int(k) for k in self.offer.order[self.surface] if k not in self.done][:length]
        hidden = [self._hidden(k) for k in rows]
        truth = sigmoid(self.decider.logits(self.surface)[rows])
        drawn = self.rng.random(len(rows)) < truth
        labels = [int(d and not h) for d, h in zip(drawn, hidden)]
        self.session.decisions.append(
            Decision(self.now, self.surface, rows, hidden, labels, [float(p) for p in truth], self.decider.intent)
        )
        if self.actor is self.decider:
            taken = [k for k, label in zip(rows, labels) if label]
        else:  # the ghost takes what the ghost would have taken
            want = sigmoid(self.actor.logits(self.surface)[rows])
            taken = [k for k, h, d in zip(rows, hidden, self.rng.random(len(rows)) < want) if d and not h]
        for k in taken[:2]:
            self._wait(2.0 + 3.0 * self.rng.random())
            self._accept(k)


def live(rng: np.random.Generator, offer: Offer, name: str, start: int, null: bool, habits: Habits = HABITS) -> Session:
    """One person's session: perhaps an earlier visit, then the visit with one to three scored decisions."""
    decider = Mind(rng, offer, start, habits)
    actor = Mind(rng, ghost_of(rng, offer), start, habits) if null else decider
    visitor = Visitor(rng, actor, decider, name)
    if rng.random() < habits.earlier_visit:
        days = rng.uniform(1.0, 4.0)
        visitor.visit(start - int(days * 24 * HOUR), int(rng.integers(3, 16)), set())
    actions = int(rng.integers(6, 26))
    moments = rng.choice(np.arange(actions + 1), size=int(rng.integers(1, 4)), replace=False)
    visitor.visit(start, actions, {int(m) for m in moments})
    return visitor.session
