"""The table of kernels is extracted from ONNX Runtime's page, for one operator set."""

from __future__ import annotations

from tools.checks.cuda_kernels import extract

PAGE = """\
## Operators implemented by CPUExecutionProvider

|**Operator Domain:** *ai.onnx*||||
|MatMul|*in* A:**T**<br> *in* B:**T**<br> *out* Y:**T**|13+|**T** = tensor(double)|

## Operators implemented by CUDAExecutionProvider

| Op Name | Parameters | OpSet Version | Types Supported |
|---------|------------|---------------|-----------------|
|**Operator Domain:** *ai.onnx*||||
|MatMul|*in* A:**T**<br> *in* B:**T**<br> *out* Y:**T**|13+|**T** = tensor(double), tensor(float)|
|||[9, 12]|**T** = tensor(double)|
|Conv|*in* X:**T**<br> *out* Y:**T**|22+|**T** = tensor(bfloat16)|
|||[11, 21]|**T** = tensor(float16)|
|ReduceSum|*in* X:**T**<br> *in* axes:**tensor(int64)**\
<br><br>or<br><br>*in* X:**T**|13|**T** = tensor(int64)|
|RotaryEmbedding|*in* X:**T**<br> *out* Y:**T**|23+|**T** = tensor(float)|
| |
|**Operator Domain:** *com.microsoft*||||
|RotaryEmbedding|*in* X:**T**<br> *in* ids:**M**|1+|\
**M** = tensor(int64)<br/> **T** = tensor(float16)|

## Operators implemented by DmlExecutionProvider
"""


def test_the_rows_of_one_operator_set() -> None:
    wanted = {"MatMul", "Conv", "ReduceSum", "RotaryEmbedding"}
    assert extract(PAGE, wanted, 18) == {
        "MatMul": {
            "signatures": [{"in": ["T", "T"], "out": ["T"]}],
            "types": {"T": ["float"]},
        },
        "Conv": {"signatures": [{"in": ["T"], "out": ["T"]}], "types": {"T": ["float16"]}},
        "RotaryEmbedding": {
            "signatures": [{"in": ["T", "M"], "out": []}],
            "types": {"M": ["int64"], "T": ["float16"]},
        },
    }
    assert extract(PAGE, {"ReduceSum"}, 13)["ReduceSum"]["signatures"] == [
        {"in": ["T", "int64"], "out": []},
        {"in": ["T"], "out": []},
    ]
    assert extract(PAGE, {"Conv"}, 22)["Conv"]["types"] == {"T": ["bfloat16"]}
