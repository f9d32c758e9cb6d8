"""A finished bundle to the Hugging Face hub.

In: a bundle's folder and a repository's name. Out: a commit that holds the whole bundle, or none.
``card`` writes the model card from the manifest, ``licence`` finds whose terms go with it, ``push``
uploads both.
"""
