"""Which tests of a tree run for CUDA and not for AMD, and which of them are likely to run on AMD."""
