def dynamic_per_tensor_quant() -> str:
    """Stands in for the first function that SGLang takes from AITER."""
    return "quantized"
