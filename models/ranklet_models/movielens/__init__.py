"""movielens: does the session so far help a re-ranker, on real sequences? It tests the mechanism, not a product.

Ratings are entered in the order of the site's own lists, a third of them in the same second as another. So part of what
a session tells is the list that somebody was scrolling through. Ratings of one second are therefore one moment here:
they are targets together and context together, and no order inside a second is ever used.
"""
