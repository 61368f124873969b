"""SGLang's CI on AMD GPUs: catalog (what is) -> plan (decide) -> run (act) -> report (show)."""
