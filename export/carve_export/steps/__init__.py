"""The steps around the model as ONNX graphs, for programs without Python.

In: the bundle's image rule. Out: ``preprocess.onnx`` and ``carve_refine.onnx``. ``preprocess``,
``contrast``, ``regions`` and ``refine`` are twins of modules of ``carve_runtime`` and follow
``docs/method.md`` as these do. They share ``operators`` and Pillow's ``resample``.
"""
