"""The steps around the model as ONNX operators, for programs without Python.

Each module is the twin of one of ``carve_runtime``, and follows ``docs/method.md`` as it does:
``preprocess``, ``contrast``, ``regions`` and ``refine``; ``resample`` is Pillow's resizing.
"""
