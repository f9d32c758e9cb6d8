"""Break the product on purpose, and see that a named test notices.

In: the lists beside this module, one for each room, each entry an edit of one source file and the
tests that must fail with it. Out: a table, and exit code 1 unless every edit is caught:
``python -m tools.checks.mutations``.
"""
