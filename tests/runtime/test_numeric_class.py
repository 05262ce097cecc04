"""Numeric classes and their text, which is part of keys and manifests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fsat_tasks.runtime.numeric_class import CPU_CLASS, CUDA_CLASSES, PLANNED_CLASSES, NumericClass, planned_class


@pytest.mark.parametrize(
    ("numeric_class", "text"),
    [
        (CPU_CLASS, "onnxruntime-cpu-fp32"),
        (CUDA_CLASSES[0], "onnxruntime-cuda-fp16"),
        (NumericClass("onnxruntime", "cpu"), "onnxruntime-cpu"),
        (PLANNED_CLASSES[1], "torch-cpu-bf16 by 4"),
        (NumericClass("numpy", "cpu", "fp64"), "numpy-cpu-fp64"),
        (NumericClass("numpy", "cpu", "fp64", also=PLANNED_CLASSES[0]), "numpy-cpu-fp64, torch-cuda-bf16"),
        (NumericClass("numpy", "cpu", "fp64", also=PLANNED_CLASSES[2]), "numpy-cpu-fp64, torch-cpu-bf16 by 2"),
        (replace(CPU_CLASS, compared_on="cuda"), "onnxruntime-cpu-fp32+cuda"),
    ],
)
def test_text_is_the_one_that_stands_in_keys(numeric_class: NumericClass, text: str) -> None:
    assert str(numeric_class) == text


@pytest.mark.parametrize("numeric_class", [CPU_CLASS, *CUDA_CLASSES, NumericClass("onnxruntime", "cpu", "int8")])
def test_class_of_features_is_read_from_its_text(numeric_class: NumericClass) -> None:
    assert NumericClass.parse(str(numeric_class)) == numeric_class


@pytest.mark.parametrize("text", ["exact", "", "onnxruntime-tpu-fp32", "numpy-cpu-fp64, torch-cuda-bf16", "torch-cpu-bf16 by 4"])
def test_other_texts_are_no_classes_of_features(text: str) -> None:
    with pytest.raises(ValueError, match="expected a numeric class such as onnxruntime-cpu-fp32"):
        NumericClass.parse(text)


def test_plan_of_this_machine_is_among_those_that_are_looked_for() -> None:
    assert planned_class("cpu") in PLANNED_CLASSES
    assert planned_class("cuda") == PLANNED_CLASSES[0]
