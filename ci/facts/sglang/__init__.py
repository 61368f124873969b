"""Reading an SGLang tree or release: its version, its variables, its server arguments."""
