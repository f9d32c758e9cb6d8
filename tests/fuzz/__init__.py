"""Damaged input for everything that reads input: answered, or refused with a typed error.

``surfaces/`` says what is fed to what, ``mutations.py`` how inputs are damaged, ``child.py`` tries
them in a process that may die, ``campaign.py`` watches over it, and ``corpus/`` keeps every input
that once failed. ``python -m tests.fuzz --help`` starts a campaign.
"""
