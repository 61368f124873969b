"""The environment in which the real SGLang runs on a CPU: its interpreter, weights and hub cache, all made here."""
