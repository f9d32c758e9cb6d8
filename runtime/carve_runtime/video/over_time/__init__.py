"""CARVE over time: when in a clip, then where, and the question again about that.

In: the map of all moments of a clip. Out: an interval, a box and a :class:`VideoResult`.
"""
