"""Whether our rows fit one version of SGLang: values that are read from its tree, and judgements on them. Pure."""
