"""The model families, one declaration each.

In: the name of an architecture, as ``config.json`` gives it. Out: the
:class:`~carve_models.families.family.Family` that covers it, which says where the parts of the
Hugging Face model are, what its image processor does and how its prompts read. A family is data;
a new one is one file here and one line in ``registry``.
"""
