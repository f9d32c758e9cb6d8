"""The model families, one declaration each.

In: nothing; a family is data. Out: :class:`~carve_models.families.family.Family` objects that say
where the parts of a Hugging Face model are, what its image processor does, how its prompts read.
A new family is one file here and one line in ``registry``.
"""
