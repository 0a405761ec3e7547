"""A seeded world of advertisers and sellers, to train and to measure the ads-recs ranker on.

Order of the rooms: `catalogue` (nouns of the domain), `people` (how somebody behaves), `world` (accounts and what is
recommended to them), `server` (the ranker of the server), `logs` (requests, events and labels on disk). `people`
imports nothing but the nouns, so that no constant of the ranker can leak into behaviour.
"""
