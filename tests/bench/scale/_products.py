"""A model file in, the graph of its matrix products alone out."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

PRODUCTS = ("MatMul", "Gemm")


def products_of(model: Path, batch: int) -> bytes:
    """A model whose nodes are the MatMul and Gemm nodes of a file, independent of each other.

    Constant operands stay constants; the others become inputs, and every result an output, of the shapes that they have
    for a batch of this size.
    """
    whole = onnx.load(model)
    window = whole.graph.input[0].type.tensor_type.shape.dim[0]
    window.Clear()
    window.dim_value = batch
    for value in whole.graph.output:
        value.type.tensor_type.shape.dim[0].Clear()
    inferred = onnx.shape_inference.infer_shapes(whole, strict_mode=True, data_prop=True).graph
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    constants = {tensor.name: tensor for tensor in inferred.initializer}
    nodes, inputs, outputs, used = [], {}, [], {}
    for node in inferred.node:
        if node.op_type not in PRODUCTS:
            continue
        nodes.append(node)
        for name in node.input:
            if name in constants:
                used[name] = constants[name]
            elif name:
                inputs[name] = helper.make_tensor_value_info(f"in/{name}", TensorProto.FLOAT, shapes[name])
        outputs.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, shapes[node.output[0]]))
    for node in nodes:
        node.input[:] = [f"in/{name}" if name in inputs else name for name in node.input]
    graph = helper.make_graph(nodes, "products", list(inputs.values()), outputs, list(used.values()))
    alone = helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)
    onnx.checker.check_model(alone, full_check=True)
    return bytes(alone.SerializeToString())
