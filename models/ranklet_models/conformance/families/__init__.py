"""To come."""


def cases():
    """No graphs yet."""
    return ()
