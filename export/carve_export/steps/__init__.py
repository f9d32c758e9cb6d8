"""The steps around the model as ONNX graphs, for programs without Python.

In: the bundle's image rule, and how positions grow. Out: ``preprocess.onnx`` and
``carve_refine.onnx``. ``contrast``, ``regions`` and ``refine``, and ``preprocess`` with a module
for each kind of image rule, are twins of modules of ``carve_runtime`` and follow
``docs/method.md`` as these do. They share ``operators`` and Pillow's ``resample`` with its
``filters``.
"""
