from triton import NAME

__all__ = ["NAME"]
